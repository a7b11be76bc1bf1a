"""Between the values of the control port, reports and their messages."""

from core.assignments import Add, Cancel, Evict, Swap, Switchover
from core.copies import CopyView, Role
from core.errors import MalformedError
from core.proposals import Proposal, ProposalAnswer, ProposalApplied, ProposalRefused, ProposalUnknown
from core.wire import assignment_from_pb, assignment_to_pb, copy_to_pb
from nodes.sighting import Sight
from twinhold.v1 import errors_pb2
from twinhold.v1 import node_service_pb2 as pb

_ROLES = {role: pb.CopyReport.Role.Value(f"ROLE_{role.value}") for role in Role}
_SIGHTS = {sight: pb.Observation.Sight.Value(f"SIGHT_{sight.value}") for sight in Sight}


def proposal_to_pb(proposal: Proposal) -> pb.Proposal:
    """Write a change that a primary asks for.

    Raises:
        MalformedError: a primary does not propose such a change.
    """
    message = pb.Proposal(
        shard=proposal.shard,
        incarnation=proposal.base.incarnation,
        epoch=proposal.base.epoch,
        proposer=copy_to_pb(proposal.proposer),
        reason=proposal.reason,
    )
    match proposal.change:
        case Evict():
            message.evict.SetInParent()
        case Add(learner):
            message.add.learner.CopyFrom(copy_to_pb(learner))
        case Swap(old, new):
            message.swap.old.CopyFrom(copy_to_pb(old))
            message.swap.new.CopyFrom(copy_to_pb(new))
        case Switchover():
            message.switchover.SetInParent()
        case Cancel():
            message.cancel.SetInParent()
        case change:
            raise MalformedError("proposal", type(change).__name__, expected="a change that a primary proposes")
    return message


def proposal_answer_from_pb(message: pb.ProposalResult) -> ProposalAnswer:
    """Read what became of a proposal; whatever is not said clearly is unknown."""
    held = assignment_from_pb(message.assignment) if message.HasField("assignment") else None
    if message.outcome == pb.ProposalResult.OUTCOME_APPLIED and held is not None:
        return ProposalApplied(held)
    if message.outcome == pb.ProposalResult.OUTCOME_REFUSED:
        return ProposalRefused(held, errors_pb2.Reason.Name(message.reason).removeprefix("REASON_"))
    return ProposalUnknown("the store did not answer")


def copy_report(view: CopyView, complaint: str) -> pb.CopyReport:
    """Write what a copy does; ``complaint`` is the node's own, for a copy that has none."""
    last_incarnation, last_epoch, last_boot = view.last
    return pb.CopyReport(
        shard=view.shard,
        copy_id=view.copy_id,
        incarnation=view.fence.incarnation,
        epoch=view.fence.epoch,
        role=_ROLES[view.role],
        last_lsn=view.last_lsn,
        commit_lsn=view.commit_lsn,
        learner=view.learner or "",
        learner_lag=view.learner_lag,
        complaint=view.complaint or complaint,
        writes_per_s=view.writes_per_s,
        orphaned=view.orphaned,
        serving=view.serving,
        last_incarnation=last_incarnation,
        last_epoch=last_epoch,
        last_boot=last_boot,
        quarantined=[pb.TenantEntries(tenant=tenant, entries=count) for tenant, count in view.quarantined.tenants],
        quarantined_snapshot_lsn=view.quarantined.snapshot_lsn,
        decided=None if view.decided is None else assignment_to_pb(view.decided),
    )


def observation(target: str, sight: Sight, *, silent_ms: int, paired: bool) -> pb.Observation:
    """Write what is seen of a target."""
    return pb.Observation(target=target, sight=_SIGHTS[sight], silent_ms=silent_ms, paired=paired)
