"""Journal records and the chain of hashes that makes a flipped bit visible.

``hash(n) = blake2b-128(hash(n-1) | lsn | incarnation | epoch | boot | body)``: a record that was altered, moved or left
out does not match, at read, at start, and at the standby. SQLite itself does not detect corruption.

The values here are named tuples: every write makes several of each, and a frozen dataclass takes three times as long to
make and ten times as long to compare.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from core.errors import DamagedError

NO_HASH = bytes(16)
"""What the first record of a journal is chained to."""
_HEAD = Struct("<QQQQ")


class Generation(NamedTuple):
    """(incarnation, epoch, boot): whose journal a record was decided in; grows with every change and every restart."""

    incarnation: int
    epoch: int
    boot: int


class Record(NamedTuple):
    """A decided entry, in its place; ``body`` is a serialized ``JournalEntry``."""

    lsn: int
    """From 1, without gaps."""
    generation: Generation
    hash: bytes
    body: bytes


class Tip(NamedTuple):
    """Where a journal ends, or where two have in common: a place and the hash there."""

    lsn: int
    generation: Generation
    hash: bytes


EMPTY = Tip(0, Generation(0, 0, 0), NO_HASH)


def record_hash(previous: bytes, lsn: int, generation: Generation, body: bytes) -> bytes:
    """Chain a record to the one before it; 16 bytes."""
    return blake2b(previous + _HEAD.pack(lsn, *generation) + body, digest_size=16).digest()


def following(tip: Tip, generation: Generation, body: bytes) -> Record:
    """Build the record that comes after ``tip``."""
    lsn = tip.lsn + 1
    return Record(lsn, generation, record_hash(tip.hash, lsn, generation, body), body)


def tip_of(record: Record) -> Tip:
    """Name the place that a record stands at."""
    return Tip(record.lsn, record.generation, record.hash)


def verify(shard: int, tip: Tip, records: Iterable[Record]) -> Tip:
    """Check that records continue ``tip`` unbroken; return the new tip.

    Raises:
        DamagedError: a record is missing, misplaced or altered; names the shard and the lsn.
    """
    for record in records:
        if record.lsn != tip.lsn + 1:
            raise DamagedError(shard=shard, lsn=tip.lsn + 1, cause="the record is missing")
        if record.hash != record_hash(tip.hash, record.lsn, record.generation, record.body):
            raise DamagedError(shard=shard, lsn=record.lsn, cause="the record does not match its hash")
        tip = tip_of(record)
    return tip
