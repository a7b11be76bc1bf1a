"""What an archive keeps of a shard: sealed pieces of its journal, and snapshots, in a form that shows what is wrong.

A piece names the places between which it stands, by lsn and chained hash, so that pieces of several primaries fit
together by themselves, and one that does not belong to a journal can't be taken for a part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b
from struct import Struct, error
from typing import NamedTuple

from core.assignments import Fence
from core.errors import TwinholdError
from core.names import ShardId
from nodes.apps.wire import Head, entry_of, items_of
from nodes.records import Generation, Record, Tip, record_hash, tip_of, verify

SEGMENT_BYTES = 512 * 1024
"""Of entries in a piece: more than this by less than one entry."""
_RECORD = Struct("<QQQI")
_PLACE = Struct("<QQQQ16s")
_HEAD = Struct("<QQQqqQ")


class Form(Enum):
    """What a piece holds."""

    SEGMENT = "segment"
    """Entries, one after the other."""
    SNAPSHOT = "snapshot"
    """The state as of one entry."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What an archive says of one piece without reading it."""

    form: Form
    shard: ShardId
    sealed_by: Fence
    """The (incarnation, epoch) of the primary that sealed it: in that one, every entry in it was committed."""
    before: Tip
    """SEGMENT: the place that it continues. SNAPSHOT: its own place, or the last one before it that the archive holds
    of the same journal: what is between is missing there."""
    after: Tip
    """The last place in it."""
    first_at_ms: int
    """When its first entry was decided, milliseconds since 1970. SNAPSHOT: when its last one was."""
    last_at_ms: int
    size_bytes: int
    checksum: bytes = b""
    """Of all of this and of what it holds; 16 bytes."""

    @property
    def name(self) -> str:
        """Name it: the same for the same content, and never for another; sorts by its last place."""
        first_lsn = self.before.lsn + 1 if self.form is Form.SEGMENT else self.after.lsn
        return f"{self.after.lsn:016d}-{first_lsn:016d}-{self.form.value}-{self.checksum.hex()}"


class Sealed(NamedTuple):
    """A piece, and what it holds."""

    piece: Piece
    parts: Sequence[bytes]


class DamagedArchiveError(TwinholdError):
    """An archive has something that was altered or torn: never used."""

    code = "DATA_LOSS"
    reason = "DATA_DAMAGED"


class DamagedPieceError(DamagedArchiveError):
    """A piece does not match its checksum, or its place in the chain; ``cause`` says which, for people."""

    def __init__(self, piece: Piece, cause: str) -> None:
        super().__init__(
            f"piece {piece.name} of shard {piece.shard} in the archive is damaged ({cause}): "
            "bring it back from a backup of the archive, or choose a time that another snapshot covers",
            piece=piece.name,
            shard=piece.shard,
        )
        self.cause = cause


def segment(shard: ShardId, sealed_by: Fence, before: Tip, records: Sequence[Record]) -> Sealed:
    """Seal entries that follow a place; raises DamagedError when they do not."""
    after = verify(shard, before, records)
    body = b"".join(part for record in records for part in (_framed(record), record.body))
    times = entry_of(records[0].body).at_ms, entry_of(records[-1].body).at_ms
    return _sealed(Piece(Form.SEGMENT, shard, sealed_by, before, after, *times, len(body)), [body])


def snapshot(shard: ShardId, sealed_by: Fence, before: Tip, tip: Tip, parts: Sequence[bytes]) -> Sealed:
    """Seal a snapshot that a journal keeps; ``before``: the last place of the journal before it that is archived."""
    at_ms = snapshot_at_ms(parts)
    size_bytes = sum(map(len, parts))
    return _sealed(Piece(Form.SNAPSHOT, shard, sealed_by, before, tip, at_ms, at_ms, size_bytes), parts)


def snapshot_at_ms(parts: Sequence[bytes]) -> int:
    """Say when the last entry in a snapshot was decided; raises MalformedError for one that has no head."""
    head = next(items_of(parts[0]))
    assert isinstance(head, Head), "a snapshot begins with its head"
    return head.at_ms


def checked(piece: Piece, parts: Sequence[bytes]) -> list[bytes]:
    """Return what was read as a piece; raises DamagedPieceError when it was altered or torn."""
    if _checksum(piece, parts) != piece.checksum:
        raise DamagedPieceError(piece, "it does not match its checksum")
    return list(parts)


def entries(piece: Piece, parts: Sequence[bytes]) -> list[Record]:
    """Read the entries of a segment, each checked against the chain; raises DamagedPieceError."""
    body, at, tip, found = b"".join(parts), 0, piece.before, list[Record]()
    try:
        while at < len(body):
            incarnation, epoch, boot, length = _RECORD.unpack_from(body, at)
            at += _RECORD.size + length
            generation, content = Generation(incarnation, epoch, boot), body[at - length : at]
            hashed = record_hash(tip.hash, tip.lsn + 1, generation, content)
            found.append(Record(tip.lsn + 1, generation, hashed, content))
            tip = tip_of(found[-1])
    except error as cause:
        raise DamagedPieceError(piece, "it ends within an entry") from cause
    if tip != piece.after or at != len(body):
        raise DamagedPieceError(piece, f"its entries end at {tip.lsn}, and their hashes do not lead where it says")
    return found


def _sealed(piece: Piece, parts: Sequence[bytes]) -> Sealed:
    return Sealed(replace(piece, checksum=_checksum(piece, parts)), parts)


def _checksum(piece: Piece, parts: Sequence[bytes]) -> bytes:
    it = piece
    digest = blake2b(it.form.value.encode(), digest_size=16)
    digest.update(_HEAD.pack(it.shard, *it.sealed_by, it.first_at_ms, it.last_at_ms, it.size_bytes))
    for place in (it.before, it.after):
        digest.update(_PLACE.pack(place.lsn, *place.generation, place.hash))
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _framed(record: Record) -> bytes:
    return _RECORD.pack(*record.generation, len(record.body))
