"""Who was in a fault's reach and who was not, and how each fared, counted from the history.

A bystander's operation is one on a shard whose pair touches no data center that is faulted while the operation runs.
It fails if its final answer, after the client's retries, is failed or unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.history import Line, Post
from core.names import ShardId


@dataclass(frozen=True, slots=True)
class Reach:
    """While a fault was on, which shards it touched."""

    begin_ns: int
    end_ns: int
    shards: frozenset[ShardId]
    leaderless: bool = False
    """No control plane lived."""
    planned: bool = False
    """A drain: everybody is a bystander, and its writes are counted by themselves too."""

    def meets(self, line: Line) -> bool:
        """Say whether an operation ran while the fault was on."""
        ended_ns = line.completed_ns
        return line.invoked_ns <= self.end_ns and (ended_ns is None or ended_ns >= self.begin_ns)


@dataclass(slots=True)
class Tally:
    """Operations, and those of them that failed."""

    operations: int = 0
    failed: int = 0

    def count(self, line: Line) -> None:
        """Take one operation."""
        self.operations += 1
        self.failed += line.outcome != "ok"


class Census:
    """Counts a history against the reaches of its faults, line by line."""

    def __init__(self, reaches: Sequence[Reach]) -> None:
        self._reaches = reaches
        self._first_ns = min((reach.begin_ns for reach in reaches), default=2**63)
        self.bystanders = Tally()
        self.leaderless = Tally()
        self.planned_writes = Tally()

    def take(self, line: Line, shard: ShardId) -> None:
        """Count one operation on a shard; what ended before the first fault is nobody's business."""
        if line.completed_ns is not None and line.completed_ns < self._first_ns:
            return
        met = [reach for reach in self._reaches if reach.meets(line)]
        if any(shard in reach.shards for reach in met):
            return
        self.bystanders.count(line)
        if any(reach.leaderless for reach in met):
            self.leaderless.count(line)
        if isinstance(line, Post) and any(reach.planned for reach in met):
            self.planned_writes.count(line)
