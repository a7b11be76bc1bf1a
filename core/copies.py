"""What a copy of a shard tells of itself: what nodes report, and what the control plane decides by."""

from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum

from core.assignments import Assignment, Fence
from core.names import CopyId, NodeId, ShardId

TENANTS_TOLD = 100
"""In a report or a log line; the files in ``orphan/`` have them all."""


class Role(Enum):
    """What a copy does (PROTOCOL.md section 1); the values are those of ``CopyReport.Role`` without its prefix."""

    PRIMARY = "PRIMARY"
    STANDBY = "STANDBY"
    LEARNER = "LEARNER"
    OUT = "OUT"
    DRAINED = "DRAINED"
    PROMOTED = "PROMOTED"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What a copy moved to ``orphan/`` although it may have been acknowledged: a lossy override gave it up."""

    tenants: tuple[tuple[str, int], ...] = ()
    """Entries by tenant, the most first."""
    snapshot_lsn: int = 0
    """Not 0: the state as of this entry is kept too; what it holds is not counted by tenant."""

    def __bool__(self) -> bool:
        return bool(self.tenants or self.snapshot_lsn)

    @property
    def most(self) -> "Quarantined":
        """Leave all tenants out but those with most entries: a report has a bound."""
        return self if len(self.tenants) <= TENANTS_TOLD else replace(self, tenants=self.tenants[:TENANTS_TOLD])

    def joined(self, other: "Quarantined") -> "Quarantined":
        """Add what another cut took away."""
        counts = Counter(dict(self.tenants))
        counts.update(dict(other.tenants))
        return Quarantined(most_first(counts), max(self.snapshot_lsn, other.snapshot_lsn))


NOTHING_QUARANTINED = Quarantined()


@dataclass(frozen=True, slots=True)
class CopyView:
    """One copy, as its node reports it."""

    shard: ShardId
    copy_id: CopyId
    fence: Fence
    role: Role
    last_lsn: int
    commit_lsn: int
    learner: NodeId | None
    learner_lag: int
    complaint: str
    """Not empty: the copy asks to be relieved, and why."""
    writes_per_s: int
    orphaned: int
    serving: bool
    last: tuple[int, int, int] = (0, 0, 0)
    """(incarnation, epoch, boot) of its last entry: of two copies, the one that ends later holds more."""
    quarantined: Quarantined = NOTHING_QUARANTINED
    decided: Assignment | None = None
    """The record that it acts on, that of ``fence``: what a restored store is rebuilt from (C10).

    None: it is member of nothing yet.
    """


def most_first(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """Order counts by tenant, those of one number by name."""
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
