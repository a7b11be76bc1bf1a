"""What a node asks of the control plane's leader: propose a change of an assignment, read records linearizably."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from core.assignments import Assignment
from core.names import ShardId
from core.proposals import Proposal, ProposalAnswer, ProposalUnknown


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
