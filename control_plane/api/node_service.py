"""NodeService's half on control planes: Register, Report, Propose, Record; the nodes serve the rest."""
# ruff: noqa: N802 - the .proto names the methods

from collections.abc import AsyncIterator, Mapping, Sequence
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
from control_plane.views import LeaderView, ProposalAnswer
from core.assignments import Assignment
from core.errors import UnavailableError
from core.io.serve import Context
from core.names import NodeId, ShardId, node_id
from core.wire import revision_to_pb
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

_RETRY_S = 0.1


class NodeService(pb_grpc.NodeServiceServicer):
    """What nodes tell and ask their control planes."""

    def __init__(self, driver: ControlPlaneDriver, fleet: str) -> None:
        self._driver = driver
        self._fleet = fleet
        self._streams: dict[NodeId, object] = {}

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Take a node's registration."""
        known = self._driver.registered(register_from_pb(request))
        return pb.RegisterResponse(leader=known.leader or "", term=known.term)

    async def Report(
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> AsyncIterator[pb.ReportResponse]:
        """Take a node's reports; a stream that ends is news, unless a newer one of the node is there already."""
        mine = object()
        node: NodeId | None = None
        try:
            async for message in request_iterator:
                report = report_from_pb(message, self._fleet)
                node = report.node
                self._streams[node] = mine
                yield self._known(self._driver.reported(report), report.sequence)
        finally:
            if node is not None and self._streams.get(node) is mine:
                del self._streams[node]
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

    def _known(self, leader: LeaderView, sequence: int) -> pb.ReportResponse:
        return pb.ReportResponse(
            leader=leader.leader or "",
            term=leader.term,
            map=revision_to_pb(self._driver.fleet_map.revision, self._fleet),
            sequence=sequence,
        )


async def _nodes_serve_this(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "nodes serve this, control planes do not")
