"""What a copy held that a lossy override gave up: kept in ``orphan/``, and told by tenant (PROTOCOL.md section 6).

Nothing else that a truncation takes away was ever acknowledged. This may have been: whoever wrote it must hear of it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from nodes.apps.wire import entry_of

UNREADABLE = "(unreadable)"
TENANTS_TOLD = 100
"""In a report or a log line; the files in ``orphan/`` have them all."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What ``orphan/`` keeps of a shard although it may have been acknowledged."""

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
        return Quarantined(_ordered(counts), max(self.snapshot_lsn, other.snapshot_lsn))


NOTHING = Quarantined()


def counted(bodies: Iterable[bytes]) -> Quarantined:
    """Count entries by tenant; one that a disk spoilt belongs to nobody."""
    return Quarantined(_ordered(Counter(map(_tenant, bodies))))


def _tenant(body: bytes) -> str:
    try:
        return entry_of(body).tenant
    except DecodeError:
        return UNREADABLE


def _ordered(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
