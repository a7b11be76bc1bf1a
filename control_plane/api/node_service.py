"""NodeService's half on control planes: Register, Report, Propose, Record; the nodes serve the rest."""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import grpc
from grpc import aio

from control_plane.api.asking import answered
from control_plane.driver import ControlPlaneDriver
from control_plane.io.node_wire import (
    proposal_answer_to_pb,
    proposal_from_pb,
    records_to_pb,
    register_from_pb,
    report_from_pb,
)
from control_plane.ports import Unknown
from control_plane.views import LeaderView, ProposalAnswer
from core.assignments import Assignment
from core.errors import UnavailableError
from core.fleet_map import Revision
from core.io.dial import BROKEN
from core.io.serve import Context
from core.names import NodeId, ShardId, node_id
from core.wire import revision_to_pb
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

_RETRY_S = 0.1


class _ReportStream:
    """One node's stream; its answers may come unasked, and must not overlap."""

    def __init__(self, context: Context) -> None:
        self.sequence = 0
        self.told: tuple[LeaderView, Revision] | None = None
        self.told_at = 0.0
        self._context = context
        self._turn = asyncio.Lock()

    async def tell(self, response: pb.ReportResponse) -> None:
        async with self._turn:
            await self._context.write(response)


class NodeService(pb_grpc.NodeServiceServicer):
    """What nodes tell and ask their control planes.

    Args:
        driver: told everything.
        fleet: its id.
        awake: looks at the clock; a report must not be judged by a process that does not know that it was away.
        quiet_s: how long a report may go without an answer when there is no news; each answer costs as much as a
            report, on both sides.
    """

    def __init__(self, driver: ControlPlaneDriver, fleet: str, *, awake: Callable[[], None], quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._driver = driver
        self._awake = awake
        self._fleet = fleet
        self._streams: dict[NodeId, _ReportStream] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def leader_changed(self) -> None:
        """Tell every node at once, so that none asks the old leader until its next report."""
        for stream in self._streams.values():
            telling = asyncio.ensure_future(self._tell(stream))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Take a node's registration."""
        known = self._driver.registered(register_from_pb(request))
        return pb.RegisterResponse(leader=known.leader or "", term=known.term)

    async def Report(  # type: ignore[override]  # a coroutine serves a stream as well, which the stub does not know
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> None:
        """Take a node's reports; a stream that ends is news, unless a newer one of the node is there already."""
        stream = _ReportStream(context)
        node: NodeId | None = None
        try:
            async for message in request_iterator:
                self._awake()
                report = report_from_pb(message, self._fleet)
                node, stream.sequence = report.node, report.sequence
                self._streams[node] = stream
                await self._answer(stream, self._driver.reported(report))
        finally:
            if node is not None and self._streams.get(node) is stream:
                del self._streams[node]
                self._awake()
                self._driver.report_broken(node)

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeResponse:
        """Write changes that primaries ask for."""
        node = node_id(request.node)
        proposals = [proposal_from_pb(one) for one in request.proposals]
        answers: Sequence[ProposalAnswer] = await answered(lambda done: self._driver.propose(node, proposals, done))
        return pb.ProposeResponse(results=[proposal_answer_to_pb(answer) for answer in answers])

    async def Record(self, request: pb.RecordRequest, context: Context) -> pb.RecordResponse:
        """Read records linearizably."""
        shards = [ShardId(shard) for shard in request.shards]
        found: Mapping[ShardId, Assignment] | Unknown = await answered(lambda done: self._driver.record(shards, done))
        if isinstance(found, Unknown):
            raise UnavailableError(f"the records can't be read now: {found.cause}", retry_after_s=_RETRY_S)
        return records_to_pb(found.values())

    async def Prepare(self, request: pb.PrepareRequest, context: Context) -> pb.PrepareResponse:
        """Refuse: nodes serve this."""
        await _nodes_serve_this(context)

    async def Transfer(self, request: pb.TransferRequest, context: Context) -> pb.TransferResponse:
        """Refuse: nodes serve this."""
        await _nodes_serve_this(context)

    async def Probe(  # type: ignore[override]  # a coroutine serves a stream as well, which the stub does not know
        self, request_iterator: AsyncIterator[pb.ProbeRequest], context: Context
    ) -> None:
        """Refuse: nodes serve this."""
        await _nodes_serve_this(context)

    async def _tell(self, stream: _ReportStream) -> None:
        with suppress(*BROKEN, aio.BaseError):
            await stream.tell(self._known(self._driver.leader(), stream.sequence))

    async def _answer(self, stream: _ReportStream, leader: LeaderView) -> None:
        now = asyncio.get_running_loop().time()
        news = (leader, self._driver.fleet_map.revision)
        if news != stream.told or now - stream.told_at >= self._quiet_s:
            stream.told, stream.told_at = news, now
            await stream.tell(self._known(leader, stream.sequence))

    def _known(self, leader: LeaderView, sequence: int) -> pb.ReportResponse:
        return pb.ReportResponse(
            leader=leader.leader or "",
            term=leader.term,
            map=revision_to_pb(self._driver.fleet_map.revision, self._fleet),
            sequence=sequence,
        )


async def _nodes_serve_this(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "nodes serve this, control planes do not")
