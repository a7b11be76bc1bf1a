"""A control plane that decides nothing by itself: it keeps records honestly, and a test says when to promote.

It stands in one process with the test; nodes reach it over gRPC as they would the real one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from core.assignments import (
    Add,
    Assignment,
    Cancel,
    Change,
    Copy,
    Evict,
    Fence,
    Leader,
    Promote,
    Proposer,
    Swap,
    Switchover,
    fits_base,
    legal_successor,
    successor,
)
from core.errors import TwinholdError
from core.fleet_map import Delta, FleetMap, Revision, residency
from core.gate import LoopbackPolicy
from core.io import map_feed
from core.io.dial import channel
from core.io.map_feed import MapFeed
from core.io.serve import Context, Server
from core.names import CopyId, NodeId, ShardId, copy_id
from core.topology import Kind, Topology
from core.wire import assignment_to_pb, copy_from_pb, reason_to_pb
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["NodeService"].full_name


class ScriptedControlPlane(pb_grpc.NodeServiceServicer):
    """The only control plane of a fleet, and its leader.

    Args:
        topology: names one control plane.
        pair: the nodes that hold every shard: primary, standby.
    """

    def __init__(self, topology: Topology, pair: tuple[NodeId, NodeId]) -> None:
        self._topology = topology
        self._pair = pair
        self._here = topology.control_planes[0]
        self._server: Server | None = None
        self.map = FleetMap(topology)
        self.feed = MapFeed(self.map, lambda: 0, gap_s=0)
        self.disks: dict[NodeId, str] = {}
        self.copies: dict[tuple[NodeId, ShardId], pb.CopyReport] = {}
        self.sights: dict[tuple[NodeId, str], pb.Observation] = {}

    def copy(self, node: NodeId, shard: ShardId) -> pb.CopyReport:
        """Look up what a node reported of a copy; an empty report as long as it did not."""
        return self.copies.get((node, shard), pb.CopyReport())

    async def start(self) -> None:
        """Listen."""
        self._server = Server(self._here.host, self._here.port, LoopbackPolicy())
        pb_grpc.add_NodeServiceServicer_to_server(self, self._server.server)
        self._server.server.add_generic_rpc_handlers((map_feed.handlers(self.feed),))
        await self._server.start([SERVICE, map_feed.SERVICE])

    async def stop(self) -> None:
        """Be gone; what it knows stays for the next start."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None
        await self.feed.close()

    def apply(self, shard: int, change: Change, proposer: Proposer, base: Fence) -> Assignment:
        """Compare and set one record, and publish it; raises what the store would refuse with."""
        old = self.map.shards[ShardId(shard)]
        fits_base(old, base)
        new = successor(old, change, reason="the script")
        legal_successor(old, new, change, proposer=proposer, geography_of=residency(self._topology).__getitem__)
        here = self.map.revision
        delta = Delta(here, replace(here, n=here.n + 1), (new,))
        self.map.apply(delta)
        self.feed.stepped(delta)
        return new

    def promote(self, shard: int) -> Assignment:
        """Let the standby take over."""
        return self.apply(shard, Promote(), Leader(), self.map.shards[ShardId(shard)].fence)

    async def transfer(self, shard: int, kind: "pb.TransferOrder.Kind.ValueType", target: str = "") -> str:
        """Order the primary; returns the refusal, empty when it is under way."""
        held = self.map.shards[ShardId(shard)]
        order = pb.TransferOrder(
            shard=shard, incarnation=held.incarnation, epoch=held.epoch, kind=kind, target=target, reason="the script"
        )
        line = channel(self._topology.node(held.primary.node).endpoint)
        try:
            answer = await pb_grpc.NodeServiceStub(line).Transfer(pb.TransferRequest(term=1, orders=[order]))
            return answer.results[0].refusal
        finally:
            await line.close(None)

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Place every shard once both nodes are here."""
        self.disks[NodeId(request.node)] = request.disk_id
        if not self.map.shards and set(self._pair) <= self.disks.keys():
            primary, standby = (Copy(node, copy_id(self.disks[node], 1)) for node in self._pair)
            shards = range(self._topology.shards)
            self.map.replace_all(
                Revision(1, 1, 1),
                [Assignment(ShardId(n), Kind.COLLAB, 1, 1, primary, standby) for n in shards],
                {},
            )
            self.feed.replaced()
        return pb.RegisterResponse(leader=self._here.id, term=1)

    async def Report(
        self, request_iterator: AsyncIterator[pb.ReportRequest], context: Context
    ) -> AsyncIterator[pb.ReportResponse]:
        """Keep what is reported."""
        async for report in request_iterator:
            node = NodeId(report.node)
            self.copies.update({(node, ShardId(one.shard)): one for one in report.copies})
            self.sights.update({(node, one.target): one for one in report.observations})
            yield pb.ReportResponse(leader=self._here.id, term=1, sequence=report.sequence)

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeResponse:
        """Judge each proposal."""
        return pb.ProposeResponse(results=[self._judged(proposal) for proposal in request.proposals])

    async def Record(self, request: pb.RecordRequest, context: Context) -> pb.RecordResponse:
        """Read records."""
        held = [self.map.shards[ShardId(shard)] for shard in request.shards if ShardId(shard) in self.map.shards]
        return pb.RecordResponse(assignments=[assignment_to_pb(one) for one in held])

    def _judged(self, proposal: pb.Proposal) -> pb.ProposalResult:
        base = Fence(proposal.incarnation, proposal.epoch)
        try:
            new = self.apply(proposal.shard, _change(proposal), copy_from_pb(proposal.proposer), base)
        except TwinholdError as error:
            held = assignment_to_pb(self.map.shards[ShardId(proposal.shard)])
            return pb.ProposalResult(
                outcome=pb.ProposalResult.OUTCOME_REFUSED, assignment=held, reason=reason_to_pb(error.reason)
            )
        return pb.ProposalResult(outcome=pb.ProposalResult.OUTCOME_APPLIED, assignment=assignment_to_pb(new))


def _change(proposal: pb.Proposal) -> Change:
    match proposal.WhichOneof("change"):
        case "evict":
            return Evict()
        case "add":
            return Add(copy_from_pb(proposal.add.learner))
        case "swap":
            return Swap(copy_from_pb(proposal.swap.old), copy_from_pb(proposal.swap.new))
        case "switchover":
            return Switchover()
        case "cancel":
            return Cancel()
        case other:
            raise AssertionError(f"a proposal of {other}")


async def until(holds: Callable[[], object], patience_s: float = 15.0) -> None:
    """Wait until something holds; fails when it does not in time."""
    async with asyncio.timeout(patience_s):
        while not holds():
            await asyncio.sleep(0.01)


def disk_of(copy: CopyId) -> str:
    """Say on which disk a copy was made."""
    return copy.rpartition(".")[0]
