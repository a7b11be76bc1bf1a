"""Calls to nodes: Prepare and Transfer, over the distance, each with a deadline and one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from grpc import aio

from control_plane.io.lines import Lines
from control_plane.io.node_wire import (
    prepare_results_from_pb,
    prepare_to_pb,
    transfer_results_from_pb,
    transfer_to_pb,
)
from control_plane.views import Unreached
from core.errors import TwinholdError
from core.io.delay import across, trip_s
from core.io.status import error_of
from core.names import DcId, NodeId
from core.orders import PrepareResult, PrepareShard, TransferOrder, TransferResult
from core.timers import Timers
from core.topology import Topology
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

Answer = TypeVar("Answer")

TRANSFER_S = 2.0


class NodeCalls:
    """The port ``Nodes``; used on one event loop.

    Args:
        topology: where the nodes are.
        home: the data center in which this control plane stands.
        timers: an answer to Prepare that is older than these allow is worth nothing.
        lines: channels to the nodes.
    """

    def __init__(self, topology: Topology, *, home: DcId, timers: Timers, lines: Lines) -> None:
        self._topology = topology
        self._home = home
        self._prepare_s = timers.prepare_s
        self._lines = lines
        self._calls: set[asyncio.Task[None]] = set()

    def prepare(
        self,
        node: NodeId,
        term: int,
        shards: Sequence[PrepareShard],
        done: Callable[[Sequence[PrepareResult] | Unreached], None],
    ) -> None:
        """Ask whether these copies could take over now."""
        request = prepare_to_pb(term, shards)

        async def call() -> Sequence[PrepareResult]:
            return prepare_results_from_pb(await self._stub(node).Prepare(request, timeout=self._prepare_s))

        self._start(node, call, done)

    def transfer(
        self,
        node: NodeId,
        term: int,
        orders: Sequence[TransferOrder],
        done: Callable[[Sequence[TransferResult] | Unreached], None],
    ) -> None:
        """Give orders to primaries."""
        request = transfer_to_pb(term, orders)

        async def call() -> Sequence[TransferResult]:
            return transfer_results_from_pb(await self._stub(node).Transfer(request, timeout=TRANSFER_S))

        self._start(node, call, done)

    async def close(self) -> None:
        """Drop the calls in flight; their callbacks never come."""
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _stub(self, node: NodeId) -> "pb_grpc.NodeServiceAsyncStub":
        return pb_grpc.NodeServiceStub(self._lines.to(self._topology.node(node).endpoint))

    def _start(
        self, node: NodeId, call: Callable[[], Awaitable[Answer]], done: Callable[[Answer | Unreached], None]
    ) -> None:
        task = asyncio.ensure_future(self._call(node, call, done))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(
        self, node: NodeId, call: Callable[[], Awaitable[Answer]], done: Callable[[Answer | Unreached], None]
    ) -> None:
        trip = trip_s(self._topology, self._home, self._topology.node(node).dc)
        try:
            answer: Answer | Unreached = await across(trip, call)
        except aio.AioRpcError as failure:
            answer = Unreached(error_of(failure).message)
        except TwinholdError as error:
            answer = Unreached(error.message)
        done(answer)
