"""What both journals check in the same way: a copy's records against their chain, a snapshot against its checksum."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from core.errors import DamagedError
from core.names import ShardId
from nodes.ports import Span
from nodes.records import Record, Tip, verify

_HEAD = Struct("<QQQQQ")


@dataclass(frozen=True, slots=True)
class Scan:
    """How far a journal is good, and where it is not."""

    tip: Tip
    spans: tuple[Span, ...]
    damage: str


def scanned(shard: ShardId, floor: Tip, records: Iterable[Record]) -> Scan:
    """Check every record after ``floor``, and build the epoch table on the way."""
    tip, spans = floor, list[Span]()
    try:
        for record in records:
            tip = verify(shard, tip, (record,))
            if not spans or spans[-1].generation != record.generation:
                spans.append(Span(record.generation, record.lsn))
    except DamagedError as error:
        return Scan(tip, tuple(spans), error.message)
    return Scan(tip, tuple(spans), "")


def checked_run(shard: ShardId, before: Tip, records: list[Record], *, until_lsn: int) -> list[Record]:
    """Check records that were read, before anybody sees them.

    Args:
        shard: whose they are.
        before: the place before the first one.
        records: what was found, ascending.
        until_lsn: the journal's last entry; there is one at every place up to it.

    Raises:
        DamagedError: one is missing or altered.
    """
    verify(shard, before, records)
    if not records and before.lsn < until_lsn:
        raise DamagedError(shard=shard, lsn=before.lsn + 1, cause="the record is missing")
    return records


def snapshot_hash(shard: ShardId, tip: Tip, parts: Sequence[bytes]) -> bytes:
    """Sum a snapshot up; 16 bytes."""
    place = tip.generation
    digest = blake2b(_HEAD.pack(shard, tip.lsn, place.incarnation, place.epoch, place.boot), digest_size=16)
    digest.update(tip.hash)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def checked_snapshot(shard: ShardId, tip: Tip, parts: list[bytes], expected: bytes) -> tuple[Tip, list[bytes]]:
    """Check a snapshot that was read; raises DamagedError."""
    if snapshot_hash(shard, tip, parts) != expected:
        raise DamagedError(shard=shard, lsn=tip.lsn, cause="the snapshot does not match its checksum")
    return tip, parts
