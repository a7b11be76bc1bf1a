"""What a node asks of the control plane's leader: propose a change of an assignment, read records linearizably."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

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
    cause: str


@dataclass(frozen=True, slots=True)
class ProposalUnknown:
    """It may have happened: read the record before acting."""

    cause: str


ProposalAnswer: TypeAlias = ProposalApplied | ProposalRefused | ProposalUnknown


class Control(Protocol):
    """The way to the leader; every call answers exactly once, in bounded time, never inside the call."""

    def propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        """Ask for changes, each judged on its own; the answers stand in the same order."""
        ...

    def record(
        self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | ProposalUnknown], None]
    ) -> None:
        """Read the records of these shards linearizably."""
        ...
