"""What the journal's thread does: deeds that share a transaction (``Draft``), and cuts, which have one of their own.

A deed changes the index only after its commit.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
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
    fetch,
    insert,
    meta_checksum,
    record_of,
    row_of,
    tip_row,
)
from nodes.io.journal_files import encoded, told, write_aside, write_orphans
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
        tables: list[tuple[str, Sequence[Sequence[object]]]] = [
            (RECORDS, self.rows),
            (METAS, self._meta_rows()),
            (PARTS, self.parts),
        ]
        written = [(into, rows) for into, rows in tables if rows]
        if len(written) == 1 and len(written[0][1]) <= ROWS_MAX and not dead:
            insert(self.disk.database, *written[0])
        else:
            self._commit_all(written, dead)
        self._show(dead)

    def _append(self, deed: Append) -> DiskError | None:
        shard, first = deed.shard, deed.records[0]
        copy = self._copy(shard)
        if not copy.whole:
            return DiskError(f"shard {shard} is damaged on this disk, and takes nothing more")
        tip = self.tips.get(shard) or copy.tip
        expected = record_hash(tip.hash, tip.lsn + 1, first.generation, first.body)
        if (first.lsn, first.hash) != (tip.lsn + 1, expected):
            return DiskError(
                f"entry {first.lsn} of shard {shard} does not follow entry {tip.lsn}, the last one on disk"
            )
        for record in deed.records:
            self.rows.append(row_of(self.disk.index.next_place + len(self.rows), shard, record))
        self.tips[shard] = tip_of(deed.records[-1])
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
        for row in self.rows:
            index.copy(ShardId(row[1])).places.append(row[0])
        for shard, tip in self.tips.items():
            index.copy(shard).tip = tip
        for shard, (version, _) in self.metas.items():
            index.copy(shard).meta_version = version
        for shard in self.tips.keys() | self.metas.keys():
            _note(self.disk, shard)


def cut(disk: Disk, deed: Cut) -> None:
    """Do what takes records away, in a commit of its own; raises sqlite3.Error or OSError."""
    copy = disk.index.copy(deed.shard)
    copy.cutting = True
    try:
        match deed:
            case Truncate():
                _truncate(disk, copy, deed)
            case Install():
                _install(disk, copy, deed)
            case SetAside(shard):
                _set_aside(disk, copy, shard)
    finally:
        copy.cuts += 1
        copy.cutting = False


def tip_in(database: sqlite3.Connection, copy: CopyIndex, lsn: int) -> Tip | None:
    """Look a place of a copy up; None: not in its journal."""
    if lsn == copy.floor.lsn:
        return copy.floor
    if lsn == copy.tip.lsn:
        return copy.tip
    rows = fetch(database, copy.places_after(lsn - 1)[:1]) if lsn > copy.floor.lsn else []
    return tip_of(record_of(rows[0])) if rows else None


def _truncate(disk: Disk, copy: CopyIndex, deed: Truncate) -> None:
    tip = tip_in(disk.database, copy, deed.keep_lsn)
    assert tip is not None, f"shard {deed.shard}: nothing is at {deed.keep_lsn}, where the journal was to be cut"
    kept = deed.keep_lsn - copy.floor.lsn
    dropped = copy.places[kept:]
    if not dropped:
        return
    if deed.orphan:
        write_orphans(disk.directory, deed.shard, fetch(disk.database, dropped))
    disk.marks.forget(deed.shard)
    delete(disk.database, dropped)
    del copy.places[kept:]
    copy.tip = tip
    _note(disk, deed.shard)


def _install(disk: Disk, copy: CopyIndex, deed: Install) -> None:
    own = tip_in(disk.database, copy, deed.tip.lsn) == deed.tip
    replaced = copy.places[: deed.tip.lsn - copy.floor.lsn] if own else copy.places
    if not own:
        disk.marks.forget(deed.shard)
    _install_rows(disk, deed, gone=[] if own else [*replaced, *disk.index.dead])
    if own:
        disk.index.dead.extend(replaced)
    else:
        disk.index.dead.clear()
        copy.tip = deed.tip
    copy.places = copy.places[len(replaced) :]
    copy.floor = deed.tip
    _note(disk, deed.shard)


def _install_rows(disk: Disk, deed: Install, *, gone: list[int]) -> None:
    database = disk.database
    database.execute("BEGIN")
    staged = database.execute(
        "SELECT count(*) FROM snapshot_parts WHERE shard = ? AND number = ?", (deed.shard, deed.number)
    ).fetchone()
    if staged != (deed.parts,):
        raise OSError("a part of the snapshot could not be written")
    if gone:
        delete(database, gone)
    database.execute("DELETE FROM snapshot_parts WHERE shard = ? AND number <> ?", (deed.shard, deed.number))
    database.execute(
        "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (deed.shard, deed.number, *tip_row(deed.tip), deed.checksum),
    )
    database.execute("COMMIT")


def _set_aside(disk: Disk, copy: CopyIndex, shard: ShardId) -> None:
    number = disk.index.asides.get(shard, 0) + 1
    write_aside(disk.directory, shard, number, _remains(disk.database, copy, shard))
    disk.marks.forget(shard)
    database = disk.database
    database.execute("BEGIN")
    delete(database, [*copy.places, *disk.index.dead])
    for table in ("metas", "snapshots", "snapshot_parts"):
        database.execute(f"DELETE FROM {table} WHERE shard = ?", (shard,))
    database.execute("INSERT OR REPLACE INTO asides VALUES (?, ?)", (shard, number))
    database.execute("COMMIT")
    disk.index.dead.clear()
    disk.index.asides[shard] = number
    disk.index.copies.pop(shard, None)


def _remains(database: sqlite3.Connection, copy: CopyIndex, shard: ShardId) -> Iterator[Mapping[str, object]]:
    """Say all that can still be read of a copy."""
    for table in ("metas", "snapshots", "snapshot_parts"):
        try:
            rows = database.execute(f"SELECT * FROM {table} WHERE shard = ?", (shard,)).fetchall()
        except sqlite3.DatabaseError as error:
            yield {"unreadable": table, "cause": str(error)}
            continue
        yield from ({"table": table, "row": [encoded(column) for column in row]} for row in rows)
    for place in copy.places:
        try:
            yield from told(fetch(database, (place,)))
        except sqlite3.DatabaseError as error:
            yield {"unreadable": place, "cause": str(error)}


def _note(disk: Disk, shard: ShardId) -> None:
    copy = disk.index.copy(shard)
    disk.marks.note(shard, Mark(copy.tip.lsn, copy.tip.hash or NO_HASH, copy.meta_version))
