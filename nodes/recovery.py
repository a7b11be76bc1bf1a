"""What both journals check in the same way: a copy's records against their chain, a snapshot against its checksum."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct

from core.errors import DamagedError
from core.names import ShardId
from nodes.ports import CopyMeta, Recovered, Span
from nodes.records import EMPTY, Record, Tip, verify

_HEAD = Struct("<QQQQQ")


@dataclass(slots=True)
class Progress:
    """How far the records of one copy are good, and the epoch table up to there."""

    shard: ShardId
    floor: Tip = EMPTY
    tip: Tip = EMPTY
    spans: list[Span] = field(default_factory=list)
    damage: str = ""

    def take(self, record: Record) -> None:
        """Check the next record; after damage nothing counts any more."""
        if self.damage:
            return
        try:
            self.tip = verify(self.shard, self.tip, (record,))
        except DamagedError as error:
            self.damage = error.message
            return
        if not self.spans or self.spans[-1].generation != record.generation:
            self.spans.append(Span(record.generation, record.lsn))

    def blame(self, lsn: int, cause: str) -> None:
        """Note damage, unless an earlier one is known."""
        self.damage = self.damage or DamagedError(shard=self.shard, lsn=lsn, cause=cause).message

    def recovered(self, meta: CopyMeta) -> Recovered:
        """Say what is known of the copy."""
        return Recovered(self.shard, meta, self.tip, self.floor, tuple(self.spans), self.damage)


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
