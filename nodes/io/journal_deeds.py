"""What the journal's thread does, and the deeds that share a transaction. The index changes only after the commit."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from core.names import ShardId
from nodes.io.high_marks import HighMarks, Mark
from nodes.io.journal_database import (
    METAS,
    PARTS,
    RECORDS,
    ROWS_MAX,
    Row,
    delete,
    insert,
    meta_checksum,
    rows_of,
)
from nodes.io.journal_index import CopyIndex, JournalIndex
from nodes.ports import DiskError
from nodes.records import NO_HASH, Record, Tip, record_hash, tip_of

PURGE_ROWS = 512
"""Dead records deleted with one commit: enough to keep up, too few to be felt."""


@dataclass(frozen=True, slots=True)
class Append:
    """Add records."""

    shard: ShardId
    records: tuple[Record, ...]
    quiet: bool
    """Nobody waits for it alone."""

    @property
    def size_bytes(self) -> int:
        """How much it writes."""
        return sum(len(record.body) for record in self.records)


@dataclass(frozen=True, slots=True)
class SaveMeta:
    """Replace the meta."""

    shard: ShardId
    body: bytes

    @property
    def size_bytes(self) -> int:
        """How much it writes."""
        return len(self.body)


@dataclass(frozen=True, slots=True)
class StagePart:
    """Put a part of a coming snapshot where nobody looks yet."""

    shard: ShardId
    number: int
    part: int
    body: bytes

    @property
    def size_bytes(self) -> int:
        """How much it writes."""
        return len(self.body)


@dataclass(frozen=True, slots=True)
class Truncate:
    """Drop the records after one."""

    shard: ShardId
    keep_lsn: int
    orphan: bool


@dataclass(frozen=True, slots=True)
class Install:
    """Let a staged snapshot replace the records up to its tip, or all if they don't lead there."""

    shard: ShardId
    number: int
    parts: int
    tip: Tip
    checksum: bytes


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move all that is left of a copy out of the way."""

    shard: ShardId


Shared: TypeAlias = Append | SaveMeta | StagePart
Cut: TypeAlias = Truncate | Install | SetAside
Deed: TypeAlias = Shared | Cut


@dataclass(slots=True)
class Disk:
    """What deeds work on; the writer's thread's."""

    directory: Path
    database: sqlite3.Connection
    index: JournalIndex
    marks: HighMarks


@dataclass(slots=True)
class Draft:
    """Deeds of many shards on their way into one commit."""

    disk: Disk
    tips: dict[ShardId, Tip] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    runs: list[tuple[ShardId, range]] = field(default_factory=list)
    """Whose rows stand where, in order."""
    metas: dict[ShardId, tuple[int, bytes]] = field(default_factory=dict)
    parts: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def take(self, deed: Shared) -> DiskError | None:
        """Take a deed in, or refuse it; what is refused leaves no trace."""
        match deed:
            case Append():
                return self._append(deed)
            case SaveMeta(shard, body):
                version = self.metas[shard][0] if shard in self.metas else self._copy(shard).meta_version
                self.metas[shard] = (version + 1, body)
            case StagePart(shard, number, part, body):
                self.parts.append((shard, number, part, body))
        return None

    def commit(self) -> None:
        """Make everything durable, then show it; raises sqlite3.Error."""
        dead = self.disk.index.dead[:PURGE_ROWS]
        metas = self._meta_rows() if self.metas else ()
        tables: tuple[tuple[str, Sequence[Sequence[object]]], ...]
        tables = ((RECORDS, self.rows), (METAS, metas), (PARTS, self.parts))
        written = [(into, rows) for into, rows in tables if rows]
        if len(written) == 1 and len(written[0][1]) <= ROWS_MAX and not dead:
            insert(self.disk.database, *written[0])
        else:
            self._commit_all(written, dead)
        self._show(dead)

    def _append(self, deed: Append) -> DiskError | None:
        shard, records = deed.shard, deed.records
        first = records[0]
        copy = self._copy(shard)
        if not copy.whole:
            return DiskError(f"shard {shard} is damaged on this disk, and takes nothing more")
        tip = self.tips.get(shard) or copy.tip
        expected = record_hash(tip.hash, tip.lsn + 1, first.generation, first.body)
        if (first.lsn, first.hash) != (tip.lsn + 1, expected):
            return DiskError(
                f"entry {first.lsn} of shard {shard} does not follow entry {tip.lsn}, the last one on disk"
            )
        first_place = self.disk.index.next_place + len(self.rows)
        self.rows += rows_of(first_place, shard, records)
        self.runs.append((shard, range(first_place, first_place + len(records))))
        self.tips[shard] = tip_of(records[-1])
        return None

    def _copy(self, shard: ShardId) -> CopyIndex:
        return self.disk.index.copies.get(shard) or CopyIndex()

    def _meta_rows(self) -> list[tuple[int, int, bytes, bytes]]:
        found = self.metas.items()
        return [(shard, version, body, meta_checksum(shard, version, body)) for shard, (version, body) in found]

    def _commit_all(self, written: Sequence[tuple[str, Sequence[Sequence[object]]]], dead: list[int]) -> None:
        database = self.disk.database
        database.execute("BEGIN")
        for into, rows in written:
            insert(database, into, rows)
        if dead:
            delete(database, dead)
        database.execute("COMMIT")

    def _show(self, dead: list[int]) -> None:
        index = self.disk.index
        del index.dead[: len(dead)]
        index.next_place += len(self.rows)
        for shard, places in self.runs:
            index.copy(shard).places.extend(places)
        for shard in {**self.tips, **self.metas}:
            copy = index.copy(shard)
            copy.tip = self.tips.get(shard) or copy.tip
            if shard in self.metas:
                copy.meta_version = self.metas[shard][0]
            note(self.disk, shard, copy)


def note(disk: Disk, shard: ShardId, copy: CopyIndex) -> None:
    """Note how far a copy has come."""
    disk.marks.note(shard, Mark(copy.tip.lsn, copy.tip.hash or NO_HASH, copy.meta_version))
