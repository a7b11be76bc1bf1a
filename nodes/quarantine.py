"""What a copy held that a lossy override gave up: kept in ``orphan/``, and told by tenant (PROTOCOL.md section 6).

Nothing else that a truncation takes away was ever acknowledged. This may have been: whoever wrote it must hear of it.
"""

from collections import Counter
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from nodes.apps.wire import entry_of

UNREADABLE = "(unreadable)"
TENANTS_TOLD = 100
"""In a report or a log line; the file in ``orphan/`` has them all."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What was kept aside, in all, since the process started."""

    tenants: tuple[tuple[str, int], ...] = ()
    """Entries by tenant, the most first."""
    snapshot_lsn: int = 0
    """Not 0: the state as of this entry was kept too; what it holds is not counted by tenant."""

    def __bool__(self) -> bool:
        return bool(self.tenants or self.snapshot_lsn)

    def joined(self, other: "Quarantined") -> "Quarantined":
        """Add what another cut took away."""
        counts = Counter(dict(self.tenants))
        counts.update(dict(other.tenants))
        return Quarantined(_ordered(counts), max(self.snapshot_lsn, other.snapshot_lsn))


NOTHING = Quarantined()


@dataclass(slots=True)
class Census:
    """Counts entries by tenant while they leave the journal, on the journal's thread; read when they have left."""

    _counts: Counter[str] = field(default_factory=Counter)

    def take(self, body: bytes) -> None:
        """Count an entry; one that a disk spoilt belongs to nobody."""
        try:
            tenant = entry_of(body).tenant
        except DecodeError:
            tenant = UNREADABLE
        self._counts[tenant] += 1

    @property
    def result(self) -> Quarantined:
        """Say what was counted."""
        return Quarantined(_ordered(self._counts))


def _ordered(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:TENANTS_TOLD])
