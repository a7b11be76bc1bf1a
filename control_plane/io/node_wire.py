"""Between the control plane's values and the messages that it exchanges with nodes and other control planes."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import assert_never

from control_plane.views import ConferView, Observation, RegisterView, ReportView, Sight
from core.assignments import Add, Assignment, Cancel, Change, Evict, Fence, Swap, Switchover
from core.copies import NOTHING_QUARANTINED, CopyView, Quarantined, Role
from core.errors import MalformedError
from core.fleet_map import NO_REVISION, Revision
from core.names import ControlPlaneId, CopyId, NodeId, ShardId, control_plane_id, node_id
from core.orders import Order, PrepareResult, PrepareShard, TransferOrder, TransferResult
from core.proposals import Proposal, ProposalAnswer, ProposalApplied, ProposalRefused, ProposalUnknown
from core.wire import (
    assignment_from_pb,
    assignment_to_pb,
    copy_from_pb,
    reason_to_pb,
    revision_from_pb,
    revision_to_pb,
)
from twinhold.v1 import assignment_pb2
from twinhold.v1 import control_plane_service_pb2 as cp_pb
from twinhold.v1 import node_service_pb2 as pb

_ROLES: Mapping[int, Role] = MappingProxyType({pb.CopyReport.Role.Value(f"ROLE_{role.value}"): role for role in Role})
_SIGHTS: Mapping[int, Sight] = MappingProxyType(
    {pb.Observation.Sight.Value(f"SIGHT_{sight.value}"): sight for sight in Sight}
)
_ORDERS = MappingProxyType({order: pb.TransferOrder.Kind.Value(f"KIND_{order.value}") for order in Order})


def register_from_pb(message: pb.RegisterRequest) -> RegisterView:
    """Read who a node is; raises MalformedError."""
    return RegisterView(
        node=node_id(message.node),
        endpoint=message.endpoint,
        disk_id=message.disk_id,
        highest=Fence(message.incarnation_max, message.epoch_max),
        record_version=message.record_version,
        process_id=message.process_id,
    )


def report_from_pb(message: pb.ReportRequest, fleet: str) -> ReportView:
    """Read a node's view; raises MalformedError."""
    return ReportView(
        node=node_id(message.node),
        disk_id=message.disk_id,
        process_id=message.process_id,
        sequence=message.sequence,
        complete=message.complete,
        observations=tuple(_observation(one) for one in message.observations),
        copies=tuple(_copy(one) for one in message.copies),
        gone=tuple(ShardId(shard) for shard in message.gone),
        load=message.load,
        loop_lag_ms=message.loop_lag_ms,
        highest=Fence(message.incarnation_max, message.epoch_max),
        map=_revision(message.map, fleet) if message.HasField("map") else NO_REVISION,
        unwatched=tuple(_target(one) for one in message.unwatched),
        term_max=message.term_max,
    )


def proposal_from_pb(message: pb.Proposal) -> Proposal:
    """Read a change that a primary asks for; raises MalformedError."""
    return Proposal(
        shard=ShardId(message.shard),
        base=Fence(message.incarnation, message.epoch),
        proposer=copy_from_pb(message.proposer),
        change=_change(message),
        reason=message.reason,
    )


def proposal_answer_to_pb(answer: ProposalAnswer) -> pb.ProposalResult:
    """Write what became of a proposal."""
    match answer:
        case ProposalApplied(assignment):
            return pb.ProposalResult(outcome=pb.ProposalResult.OUTCOME_APPLIED, assignment=assignment_to_pb(assignment))
        case ProposalRefused(current, reason):
            return pb.ProposalResult(
                outcome=pb.ProposalResult.OUTCOME_REFUSED,
                assignment=None if current is None else assignment_to_pb(current),
                reason=reason_to_pb(reason),
            )
        case ProposalUnknown():
            return pb.ProposalResult(outcome=pb.ProposalResult.OUTCOME_UNKNOWN)
        case _:
            assert_never(answer)


def prepare_to_pb(term: int, shards: Sequence[PrepareShard]) -> pb.PrepareRequest:
    """Write which copies may have to take over."""
    return pb.PrepareRequest(
        term=term,
        shards=[
            pb.PrepareShard(shard=one.shard, incarnation=one.base.incarnation, epoch=one.base.epoch) for one in shards
        ],
    )


def prepare_results_from_pb(message: pb.PrepareResponse) -> tuple[PrepareResult, ...]:
    """Read which could."""
    return tuple(PrepareResult(ShardId(r.shard), r.ready, r.refusal, r.last_lsn) for r in message.results)


def transfer_to_pb(term: int, orders: Sequence[TransferOrder]) -> pb.TransferRequest:
    """Write orders to primaries."""
    return pb.TransferRequest(
        term=term,
        orders=[
            pb.TransferOrder(
                shard=one.shard,
                incarnation=one.base.incarnation,
                epoch=one.base.epoch,
                kind=_ORDERS[one.order],
                target=one.target or "",
                reason=one.reason,
            )
            for one in orders
        ],
    )


def transfer_results_from_pb(message: pb.TransferResponse) -> tuple[TransferResult, ...]:
    """Read what became of orders."""
    return tuple(TransferResult(ShardId(r.shard), r.accepted, r.refusal) for r in message.results)


def confer_to_pb(view: ConferView, fleet: str) -> cp_pb.ConferRequest:
    """Write a heartbeat."""
    return cp_pb.ConferRequest(
        control_plane=view.control_plane,
        term=view.term,
        leads=view.leads,
        leader_silent_ms=view.leader_silent_ms,
        map=revision_to_pb(view.map, fleet),
        misses=view.misses,
    )


def confer_from_pb(message: cp_pb.ConferRequest, fleet: str) -> ConferView:
    """Read a heartbeat; raises MalformedError."""
    return ConferView(
        control_plane=control_plane_id(message.control_plane),
        term=message.term,
        leads=message.leads,
        leader_silent_ms=message.leader_silent_ms,
        map=_revision(message.map, fleet) if message.HasField("map") else NO_REVISION,
        misses=tuple(node_id(one) for one in message.misses),
    )


def confer_answer_to_pb(view: ConferView) -> cp_pb.ConferResponse:
    """Write the answer to a heartbeat."""
    return cp_pb.ConferResponse(
        control_plane=view.control_plane,
        term=view.term,
        leads=view.leads,
        leader_silent_ms=view.leader_silent_ms,
        misses=view.misses,
    )


def confer_answer_from_pb(message: cp_pb.ConferResponse) -> ConferView:
    """Read the answer to a heartbeat; raises MalformedError."""
    return ConferView(
        control_plane=control_plane_id(message.control_plane),
        term=message.term,
        leads=message.leads,
        leader_silent_ms=message.leader_silent_ms,
        misses=tuple(node_id(one) for one in message.misses),
    )


def records_to_pb(assignments: Iterable[Assignment]) -> pb.RecordResponse:
    """Write records."""
    return pb.RecordResponse(assignments=[assignment_to_pb(one) for one in assignments])


def records_from_pb(message: pb.RecordResponse) -> tuple[Assignment, ...]:
    """Read records; raises MalformedError."""
    return tuple(assignment_from_pb(one) for one in message.assignments)


def _revision(message: assignment_pb2.Revision, fleet: str) -> Revision:
    return revision_from_pb(message, fleet) if message.fleet else NO_REVISION


def _observation(message: pb.Observation) -> Observation:
    if message.sight not in _SIGHTS:
        raise MalformedError("sight", message.sight, expected="ALIVE, REFUSED, SILENT or SUSPECT")
    return Observation(_target(message.target), _SIGHTS[message.sight], message.silent_ms, message.paired)


def _target(text: str) -> NodeId | ControlPlaneId:
    return control_plane_id(text) if text.endswith("-cp") else node_id(text)


def _copy(message: pb.CopyReport) -> CopyView:
    if message.role not in _ROLES:
        raise MalformedError("role", message.role, expected="one of " + ", ".join(role.value for role in Role))
    return CopyView(
        shard=ShardId(message.shard),
        copy_id=CopyId(message.copy_id),
        fence=Fence(message.incarnation, message.epoch),
        role=_ROLES[message.role],
        last_lsn=message.last_lsn,
        commit_lsn=message.commit_lsn,
        learner=node_id(message.learner) if message.learner else None,
        learner_lag=message.learner_lag,
        complaint=message.complaint,
        writes_per_s=message.writes_per_s,
        orphaned=message.orphaned,
        serving=message.serving,
        last=(message.last_incarnation, message.last_epoch, message.last_boot),
        quarantined=_quarantined(message),
        decided=assignment_from_pb(message.decided) if message.HasField("decided") else None,
    )


def _quarantined(message: pb.CopyReport) -> Quarantined:
    if not message.quarantined and not message.quarantined_snapshot_lsn:
        return NOTHING_QUARANTINED
    tenants = tuple((one.tenant, one.entries) for one in message.quarantined)
    return Quarantined(tenants, message.quarantined_snapshot_lsn)


def _change(message: pb.Proposal) -> Change:
    match message.WhichOneof("change"):
        case "evict":
            return Evict()
        case "add":
            return Add(copy_from_pb(message.add.learner))
        case "swap":
            return Swap(copy_from_pb(message.swap.old), copy_from_pb(message.swap.new))
        case "switchover":
            return Switchover()
        case "cancel":
            return Cancel()
        case _:
            raise MalformedError("change", "", expected="evict, add, swap, switchover or cancel")
