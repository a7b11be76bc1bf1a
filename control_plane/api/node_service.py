"""NodeService's half on control planes: Register, Report, Propose, Record; the nodes serve the rest."""
# ruff: noqa: N802 - the .proto names the methods

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import grpc

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
from control_plane.views import LeaderView
from core.assignments import Assignment
from core.errors import UnavailableError
from core.fleet_map import Revision
from core.io.serve import Context
from core.io.two_way import TwoWay
from core.names import NodeId, ShardId, node_id
from core.proposals import ProposalAnswer
from core.wire import report_brings_news, revision_to_pb
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

_RETRY_S = 0.1


@dataclass(slots=True, eq=False)
class _ReportStream:
    """One node's stream, and what it was told last; its answers may come unasked."""

    way: TwoWay[pb.ReportRequest, pb.ReportResponse]
    node: NodeId | None = None
    """Known from its first report on."""
    trip_s: float = 0.0
    """One way."""
    sequence: int = 0
    leader: LeaderView | None = None
    revision: Revision | None = None
    told_at: float = 0.0


class NodeService(pb_grpc.NodeServiceServicer):
    """What nodes tell and ask their control planes.

    Args:
        driver: told everything.
        fleet: its id.
        awake: looks at the clock; a report must not be judged by a process that does not know that it was away.
        now: reads this process's clock.
        trips_s: one way from each node: a report without news is not held for its trip, but counts from its end.
        quiet_s: how long a report may go without an answer when there is no news; each answer costs as much as a
            report, on both sides.
    """

    def __init__(
        self,
        driver: ControlPlaneDriver,
        fleet: str,
        *,
        awake: Callable[[], None],
        now: Callable[[], float],
        trips_s: Mapping[NodeId, float],
        quiet_s: float,
    ) -> None:
        self._driver = driver
        self._awake = awake
        self._fleet = fleet
        self._now = now
        self._trips_s = trips_s
        self._quiet_s = quiet_s
        self._streams: dict[NodeId, _ReportStream] = {}

    def leader_changed(self) -> None:
        """Tell every node at once, so that none asks the old leader until its next report."""
        for stream in self._streams.values():
            self._tell(stream)

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Take a node's registration."""
        known = self._driver.registered(register_from_pb(request))
        return pb.RegisterResponse(leader=known.leader or "", term=known.term)

    async def Report(  # type: ignore[override]  # a coroutine serves a stream as well, which the stub does not know
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> None:
        """Take a node's reports; a stream that ends is news, unless a newer one of the node is there already."""
        stream = _ReportStream(TwoWay(context))
        try:
            await stream.way.hear(partial(self._reported, stream))
        finally:
            if stream.node is not None and self._streams.get(stream.node) is stream:
                del self._streams[stream.node]
                self._awake()
                self._driver.report_broken(stream.node)

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

    def _reported(self, stream: _ReportStream, message: pb.ReportRequest) -> None:
        """Take a report; most bring nothing new, and of those not every one is answered."""
        self._awake()
        stream.sequence = message.sequence
        if stream.node is None or report_brings_news(message):
            report = report_from_pb(message, self._fleet)
            stream.node, stream.trip_s = report.node, self._trips_s.get(report.node, 0.0)
            self._streams[report.node] = stream
            leader = self._driver.reported(report)
        else:
            leader = self._driver.still(stream.node, message.loop_lag_ms, trip_s=stream.trip_s)
        told = leader is stream.leader and self._driver.fleet_map.revision is stream.revision
        if not told or self._now() - stream.told_at >= self._quiet_s:
            self._tell(stream)

    def _tell(self, stream: _ReportStream) -> None:
        leader, revision = self._driver.leader(), self._driver.fleet_map.revision
        stream.leader, stream.revision, stream.told_at = leader, revision, self._now()
        stream.way.say(
            pb.ReportResponse(
                leader=leader.leader or "",
                term=leader.term,
                map=revision_to_pb(revision, self._fleet),
                sequence=stream.sequence,
            )
        )


async def _nodes_serve_this(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "nodes serve this, control planes do not")
