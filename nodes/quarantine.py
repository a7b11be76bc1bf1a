"""What a copy held that a lossy override gave up: kept in ``orphan/``, and told by tenant (PROTOCOL.md section 6).

Nothing else that a truncation takes away was ever acknowledged. This may have been: whoever wrote it must hear of it.
"""

from collections import Counter
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from core.copies import Quarantined, most_first
from nodes.apps.wire import entry_of

UNREADABLE = "(unreadable)"


def counted(bodies: Iterable[bytes]) -> Quarantined:
    """Count entries by tenant; one that a disk spoilt belongs to nobody."""
    return Quarantined(most_first(Counter(map(_tenant, bodies))))


def _tenant(body: bytes) -> str:
    try:
        return entry_of(body).tenant
    except DecodeError:
        return UNREADABLE
