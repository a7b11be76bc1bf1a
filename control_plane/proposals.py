"""Judges what primaries propose, and writes what is legal: one answer per proposal, in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from control_plane.office import Office
from control_plane.ports import Applied, Refused, Row
from control_plane.writer import PENDING_MAX, Answer
from core.assignments import (
    Add,
    Assignment,
    Cancel,
    Change,
    Evict,
    Override,
    Promote,
    Swap,
    Switchover,
    legal_successor,
    successor,
)
from core.errors import ConflictError, OverloadedError, RefusedBySafetyError, StaleEpochError, TwinholdError
from core.names import NodeId
from core.proposals import Proposal, ProposalAnswer, ProposalApplied, ProposalRefused, ProposalUnknown

Done = Callable[[Sequence[ProposalAnswer]], None]


def event_type(change: Change) -> str:
    """Name the line that a change in force gets in the audit journal."""
    match change:
        case Evict():
            return "copy.evicted"
        case Add():
            return "copy.added"
        case Swap():
            return "copy.swapped"
        case Switchover():
            return "shard.switched"
        case Cancel():
            return "shard.cancelled"
        case Promote():
            return "failover.promoted"
        case Override():
            return "failover.overridden"


@dataclass(slots=True)
class _Answers:
    """The answers of one call, until all are there."""

    done: Done
    waiting: int
    answers: list[ProposalAnswer | None]

    def take(self, place: int, answer: ProposalAnswer) -> None:
        self.answers[place] = answer
        self.waiting -= 1
        if not self.waiting:
            self.done([known for known in self.answers if known is not None])


@dataclass(slots=True)
class Proposals:
    """The part of a leader that primaries talk to."""

    office: Office

    def take(self, node: NodeId, proposals: Sequence[Proposal], done: Done) -> None:
        """Judge and write proposals.

        Raises:
            OverloadedError: too many rows wait for the store.
        """
        if self.office.writer.pending + len(proposals) > PENDING_MAX:
            raise OverloadedError("the assignment store is behind: ask again", retry_after_s=0.5)
        if not proposals:
            done(())
            return
        answers = _Answers(done, len(proposals), [None] * len(proposals))
        for place, proposal in enumerate(proposals):
            self._judge(node, proposal, partial(answers.take, place))

    def _judge(self, node: NodeId, proposal: Proposal, done: Callable[[ProposalAnswer], None]) -> None:
        record = self.office.catalog.get(proposal.shard)
        if record is None:
            done(ProposalRefused(None, "UNKNOWN_SHARD"))
            return
        try:
            new = self._legal(node, proposal, record)
        except TwinholdError as refusal:
            done(ProposalRefused(record, refusal.reason))
            return
        row = Row(record.fence, new, proposal.change, proposal.proposer)
        partition = self.office.catalog.home(proposal.shard)
        self.office.writer.put(partition, row, lambda answer: self._answered(proposal, new, answer, done))

    def _legal(self, node: NodeId, proposal: Proposal, record: Assignment) -> Assignment:
        if proposal.base != record.fence:
            raise StaleEpochError(f"shard {proposal.shard} is at {record.incarnation}.{record.epoch}")
        if proposal.proposer.node != node:
            raise RefusedBySafetyError(f"{node} proposes in another node's name")
        self._welcome_learner(proposal.change)
        new = successor(record, proposal.change, reason=proposal.reason)
        legal_successor(
            record, new, proposal.change, proposer=proposal.proposer, geography_of=self.office.catalog.geography_of
        )
        return new

    def _welcome_learner(self, change: Change) -> None:
        learner = change.learner if isinstance(change, Add) else change.new if isinstance(change, Swap) else None
        if learner is not None and self.office.known().holds_lost(learner.node):
            raise ConflictError(f"{learner.node} is held lost", node=learner.node)

    def _answered(
        self, proposal: Proposal, new: Assignment, answer: Answer, done: Callable[[ProposalAnswer], None]
    ) -> None:
        if isinstance(answer, Applied):
            reasons = (proposal.reason or "no reason given", f"asked for by {proposal.proposer.node}")
            self.office.audit(event_type(proposal.change), f"shards/{proposal.shard}", acted=True, reasons=reasons)
            done(ProposalApplied(new))
        elif isinstance(answer, Refused):
            current = answer.current if isinstance(answer.current, Assignment) else None
            done(ProposalRefused(current, "CONFLICT"))
        else:
            done(ProposalUnknown(answer.cause))
