"""Journals and pieces of an archive for tests, made as a node makes them."""

from collections.abc import Iterable, Sequence

from core.assignments import Fence
from core.names import ShardId
from nodes.apps.wire import Entry, entry_body
from nodes.archive import Sealed, segment, snapshot
from nodes.ledger import Ledger
from nodes.records import EMPTY, Generation, Record, Tip, following, tip_of
from tests.unit.nodes.test_ledger import ACME, SHARD, TABLE, WINDOW, Copy, create, post

FENCE = Fence(1, 1)
FIRST = Generation(1, 1, 1)
START_MS = 1_800_000_000_000


def chained(bodies: Iterable[bytes], *, tip: Tip = EMPTY, generation: Generation = FIRST) -> list[Record]:
    """Chain entries after a place."""
    records = list[Record]()
    for body in bodies:
        records.append(following(tip, generation, body))
        tip = tip_of(records[-1])
    return records


def bare(count: int, *, shard: ShardId = SHARD, step_ms: int = 1000) -> list[Record]:
    """Make entries of which only the times count."""
    times = (START_MS + number * step_ms for number in range(1, count + 1))
    entries = (Entry(ACME, "chat", 1, "a", f"{shard}-{at}", bytes(16), at, (), b"") for at in times)
    return chained(map(entry_body, entries))


def talked(texts: Sequence[str], *, step_ms: int = 1000) -> tuple[Copy, list[Record]]:
    """Let a tenant be created and post; one entry every ``step_ms``."""
    copy = Copy()
    copy.submit(create(), "create", at_ms=START_MS)
    for number, text in enumerate(texts, 1):
        copy.submit(post(text), f"r{number}", at_ms=START_MS + number * step_ms)
    return copy, chained(copy.journal)


def sealed(records: Sequence[Record], first_lsn: int, last_lsn: int, *, fence: Fence = FENCE) -> Sealed:
    """Seal a stretch of a journal."""
    before = tip_of(records[first_lsn - 2]) if first_lsn > 1 else EMPTY
    return segment(SHARD, fence, before, records[first_lsn - 1 : last_lsn])


def sealed_state(
    records: Sequence[Record], lsn: int, *, archived_lsn: int | None = None, fence: Fence = FENCE
) -> Sealed:
    """Seal the state as of an entry; entries up to ``archived_lsn`` are archived, those after it are lost."""
    ledger = Ledger(SHARD, TABLE, WINDOW)
    for record in records[:lsn]:
        ledger.apply(record.lsn, record.body)
    tip = tip_of(records[lsn - 1])
    before = tip if archived_lsn is None else tip_of(records[archived_lsn - 1]) if archived_lsn else EMPTY
    return snapshot(SHARD, fence, before, tip, list(ledger.export()))
