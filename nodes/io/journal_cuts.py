"""What takes records away: truncation, a snapshot in their place, a copy set aside. Each has a commit of its own."""

import sqlite3
from collections.abc import Iterator, Mapping

from core.copies import Quarantined
from core.names import ShardId
from nodes.io.journal_database import Row, delete, fetch, record_of, tip_row
from nodes.io.journal_deeds import Cut, Disk, Install, SetAside, Truncate, note
from nodes.io.journal_files import (
    encoded,
    told,
    write_aside,
    write_lossy_orphans,
    write_orphan_snapshot,
    write_orphans,
)
from nodes.io.journal_index import CopyIndex
from nodes.quarantine import counted
from nodes.records import EMPTY, Tip, tip_of


def cut(disk: Disk, deed: Cut) -> None:
    """Do what takes records away, in a commit of its own; raises sqlite3.Error or OSError."""
    if isinstance(deed, Truncate) and deed.shard not in disk.index.copies:
        return
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
    anew = deed.keep_lsn == 0 and copy.floor.lsn > 0
    if 0 < deed.keep_lsn < copy.floor.lsn:
        raise OSError(f"entries up to {copy.floor.lsn} of shard {deed.shard} are in its snapshot")
    tip = EMPTY if anew else tip_in(disk.database, copy, deed.keep_lsn)
    assert tip is not None, f"shard {deed.shard}: nothing is at {deed.keep_lsn}, where the journal was to be cut"
    kept = 0 if anew else deed.keep_lsn - copy.floor.lsn
    dropped = copy.places[kept:]
    if not dropped and not anew:
        return
    if deed.orphan and dropped:
        _keep(disk, deed, fetch(disk.database, dropped))
    disk.marks.forget(deed.shard)
    if anew:
        _drop_all(disk, copy, deed)
    else:
        delete(disk.database, dropped)
    del copy.places[kept:]
    copy.tip = tip
    note(disk, deed.shard, copy)


def _keep(disk: Disk, deed: Truncate, rows: list[Row]) -> None:
    """Move entries to ``orphan/``; those that may have been acknowledged are counted."""
    if not deed.lossy:
        write_orphans(disk.directory, deed.shard, rows)
        return
    found = counted(record_of(row).body for row in rows)
    write_lossy_orphans(disk.directory, deed.shard, rows, dict(found.tenants))
    disk.quarantine(deed.shard, found)


def _drop_all(disk: Disk, copy: CopyIndex, deed: Truncate) -> None:
    """Drop the snapshot and every record, those included that it took the place of, in one commit."""
    database, shard = disk.database, deed.shard
    if deed.orphan:
        write_orphan_snapshot(disk.directory, shard, copy.floor, _snapshots(database, shard, but=0))
        disk.quarantine(shard, Quarantined(snapshot_lsn=copy.floor.lsn))
    database.execute("BEGIN")
    delete(database, [*copy.places, *disk.index.dead])
    for table in ("snapshots", "snapshot_parts"):
        database.execute(f"DELETE FROM {table} WHERE shard = ?", (shard,))
    database.execute("COMMIT")
    disk.index.dead.clear()
    copy.floor = EMPTY


def _install(disk: Disk, copy: CopyIndex, deed: Install) -> None:
    own = tip_in(disk.database, copy, deed.tip.lsn) == deed.tip
    replaced = copy.places[: deed.tip.lsn - copy.floor.lsn] if own else copy.places
    if not own:
        if deed.orphan and copy.floor.lsn:
            lines = _snapshots(disk.database, deed.shard, but=deed.number)
            write_orphan_snapshot(disk.directory, deed.shard, copy.floor, lines)
            disk.quarantine(deed.shard, Quarantined(snapshot_lsn=copy.floor.lsn))
        disk.marks.forget(deed.shard)
    _install_rows(disk, deed, gone=[] if own else [*replaced, *disk.index.dead])
    if own:
        disk.index.dead.extend(replaced)
    else:
        disk.index.dead.clear()
        copy.tip = deed.tip
    copy.places = copy.places[len(replaced) :]
    copy.floor = deed.tip
    note(disk, deed.shard, copy)


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


def _snapshots(database: sqlite3.Connection, shard: ShardId, *, but: int) -> Iterator[Mapping[str, object]]:
    """Say the snapshot of a shard; ``but``: of another number than the one that takes its place."""
    for table in ("snapshots", "snapshot_parts"):
        rows = database.execute(f"SELECT * FROM {table} WHERE shard = ? AND number <> ?", (shard, but))
        yield from ({"table": table, "row": [encoded(column) for column in row]} for row in rows)


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
