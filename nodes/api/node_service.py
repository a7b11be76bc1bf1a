"""NodeService on nodes: could these copies take over, orders of the leader, and an observer's heartbeat.

Register, Report, Propose and Record are the control plane's half: they answer UNIMPLEMENTED here.
"""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

import grpc

from core.assignments import Fence
from core.errors import MalformedError
from core.io.beat import Beat
from core.io.serve import Context
from core.io.two_way import TwoWay
from core.names import ShardId, node_id
from core.orders import Order, PrepareResult, PrepareShard, TransferOrder
from core.ports import Timer
from nodes.driver import NodeDriver
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["NodeService"].full_name
_ORDERS = {
    pb.TransferOrder.KIND_ADD: Order.ADD,
    pb.TransferOrder.KIND_SWAP: Order.SWAP,
    pb.TransferOrder.KIND_SWITCHOVER: Order.SWITCHOVER,
    pb.TransferOrder.KIND_CANCEL: Order.CANCEL,
}


class NodeService(pb_grpc.NodeServiceServicer):
    """What the leader and observers ask of a node.

    Args:
        driver: answers the leader.
        beat: when signs of life are due.
    """

    def __init__(self, driver: NodeDriver, beat: Beat) -> None:
        self._driver = driver
        self._beat = beat

    async def Prepare(self, request: pb.PrepareRequest, context: Context) -> pb.PrepareResponse:
        """Say which copies could take over now."""
        waiting: asyncio.Future[Sequence[PrepareResult]] = asyncio.get_running_loop().create_future()
        shards = [PrepareShard(ShardId(s.shard), Fence(s.incarnation, s.epoch)) for s in request.shards]

        def done(results: Sequence[PrepareResult]) -> None:
            if not waiting.done():
                waiting.set_result(results)

        self._driver.prepare(shards, request.term, done)
        return pb.PrepareResponse(
            results=[
                pb.PrepareResult(shard=r.shard, ready=r.ready, refusal=r.refusal, last_lsn=r.last_lsn)
                for r in await waiting
            ]
        )

    async def Transfer(self, request: pb.TransferRequest, context: Context) -> pb.TransferResponse:
        """Take orders."""
        results = self._driver.transfer([order_from_pb(order) for order in request.orders], request.term)
        return pb.TransferResponse(
            results=[pb.TransferResult(shard=r.shard, accepted=r.accepted, refusal=r.refusal) for r in results]
        )

    async def Probe(  # type: ignore[override]  # a coroutine serves a stream as well, which the stub does not know
        self, request_iterator: AsyncIterator[pb.ProbeRequest], context: Context
    ) -> None:
        """Give an observer signs of life."""
        signs = Signs(TwoWay(context), self._beat)
        try:
            await signs.way.hear(signs.asked)
            await signs.over()
        finally:
            signs.stop()

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Refuse: this is a node."""
        return await _elsewhere(context)

    async def Report(  # type: ignore[override]  # a coroutine serves a stream as well, which the stub does not know
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> None:
        """Refuse: this is a node."""
        await _elsewhere(context)

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeResponse:
        """Refuse: this is a node."""
        return await _elsewhere(context)

    async def Record(self, request: pb.RecordRequest, context: Context) -> pb.RecordResponse:
        """Refuse: this is a node."""
        return await _elsewhere(context)


class Signs:
    """Signs of life for one observer.

    Args:
        way: its stream.
        beat: when they are due.
    """

    def __init__(self, way: TwoWay[pb.ProbeRequest, pb.ProbeResponse], beat: Beat) -> None:
        self.way = way
        self._beat = beat
        self._timer: Timer | None = None
        self._interval_s = 0.0
        self._sequence = 0

    def asked(self, request: pb.ProbeRequest) -> None:
        """Begin anew, as the last request says."""
        self.stop()
        self._sequence, self._interval_s = request.sequence, request.interval_ms / 1000
        self._give()

    async def over(self) -> None:
        """Wait for the end of a stream whose observer asks no more: at once if nothing is due, else until cancelled."""
        if self._interval_s > 0:
            await asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Give no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _give(self) -> None:
        self.way.say(pb.ProbeResponse(sequence=self._sequence))
        if self._interval_s > 0:
            self._sequence += 1
            self._timer = self._beat.call_after(self._interval_s, self._give)


async def _elsewhere(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "control planes serve this; a node does not")


def order_from_pb(message: pb.TransferOrder) -> TransferOrder:
    """Read an order; raises MalformedError."""
    order = _ORDERS.get(message.kind)
    if order is None:
        raise MalformedError("order", message.kind, expected=", ".join(Order.__members__))
    return TransferOrder(
        shard=ShardId(message.shard),
        base=Fence(message.incarnation, message.epoch),
        order=order,
        target=node_id(message.target) if message.target else None,
        reason=message.reason,
    )
