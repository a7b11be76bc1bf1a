"""What a primary asks of the control plane's leader: a change of its shard's assignment, and what comes of it."""

from dataclasses import dataclass
from typing import TypeAlias

from core.assignments import Assignment, Change, Copy, Fence
from core.names import ShardId


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that the present primary asks for, on exactly that base."""

    shard: ShardId
    base: Fence
    proposer: Copy
    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class ProposalApplied:
    """In force: the new record."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class ProposalRefused:
    """Not in force, and never will be by this call: what the store holds; None: no record."""

    current: Assignment | None
    reason: str
    """A name of ``errors.proto``'s Reason: CONFLICT, STALE_EPOCH, REFUSED_BY_SAFETY, UNKNOWN_SHARD."""


@dataclass(frozen=True, slots=True)
class ProposalUnknown:
    """It may have happened: read the record before acting."""

    cause: str


ProposalAnswer: TypeAlias = ProposalApplied | ProposalRefused | ProposalUnknown
