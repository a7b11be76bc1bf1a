"""Reads a whole journal at start, every hash checked, and finds out where each copy's records stand."""

import sqlite3
from collections.abc import Iterator, Sequence

from core.errors import DamagedError
from core.names import CopyId, ShardId, copy_id
from nodes.io.high_marks import Mark
from nodes.io.journal_database import Row, all_rows, meta_checksum, record_of
from nodes.io.journal_index import CopyIndex, JournalIndex
from nodes.io.meta_json import meta_of
from nodes.ports import CopyMeta, Recovered
from nodes.records import Generation, Tip
from nodes.recovery import Progress, checked_snapshot

_SNAPSHOT = (
    "SELECT lsn, incarnation, epoch, boot, hash, checksum, body"
    " FROM snapshots LEFT JOIN snapshot_parts USING (shard, number) WHERE shard = ? ORDER BY part"
)
"""One statement, so that a snapshot which is just being replaced is read whole, old or new."""


class Scanner:
    """Reads one database.

    Args:
        database: a connection to it.
        disk_id: names copies.
        index: filled by ``whole``.
    """

    def __init__(self, database: sqlite3.Connection, disk_id: str, index: JournalIndex) -> None:
        self._database = database
        self._disk_id = disk_id
        self._index = index

    def whole(self, marks: dict[ShardId, Mark]) -> list[Recovered]:
        """Read everything, and compare with how far each copy had come."""
        self._index.asides.update(self._asides())
        known = sorted({*self._shards("metas"), *self._shards("snapshots"), *marks})
        found = {shard: self._begun(shard) for shard in known}
        for row in self._rows():
            self._place(row, found)
        return [self._recovered(progress, marks.get(progress.shard)) for progress in found.values()]

    def one(self, shard: ShardId, rows: Iterator[Row]) -> Recovered:
        """Read one copy whose places are known; the index stays as it is."""
        copy = self._index.copy(shard)
        progress = Progress(shard, copy.floor, copy.floor)
        try:
            for row in rows:
                progress.take(record_of(row))
        except sqlite3.DatabaseError as error:
            progress.blame(progress.tip.lsn + 1, str(error))
        if progress.tip.lsn < copy.tip.lsn:
            progress.blame(progress.tip.lsn + 1, "the record is missing")
        meta = self._meta(progress, copy, expected=copy.meta_version > 0)
        self.check_snapshot(progress)
        return progress.recovered(meta)

    def fresh_copy_id(self, shard: ShardId) -> CopyId:
        """Name the copy that stands here, or would."""
        return copy_id(self._disk_id, self._index.asides.get(shard, 0) + 1)

    def check_snapshot(self, progress: Progress) -> None:
        """Blame a snapshot that does not match its checksum."""
        try:
            self.snapshot(progress.shard)
        except DamagedError as error:
            progress.damage = progress.damage or error.message

    def snapshot(self, shard: ShardId) -> tuple[Tip, list[bytes]] | None:
        """Read a snapshot; raises DamagedError."""
        try:
            rows = self._database.execute(_SNAPSHOT, (shard,)).fetchall()
        except sqlite3.DatabaseError as error:
            lsn = self._index.copy(shard).floor.lsn
            raise DamagedError(shard=shard, lsn=lsn, cause=f"the snapshot can't be read: {error}") from error
        if not rows:
            return None
        place, checksum, parts = rows[0][:5], rows[0][5], [row[6] for row in rows if row[6] is not None]
        if not _is_tip(place) or not all(isinstance(part, bytes) for part in parts):
            raise DamagedError(shard=shard, lsn=0, cause="the snapshot does not match its checksum")
        return checked_snapshot(shard, _tip_of(place), parts, checksum)

    def _shards(self, table: str) -> list[ShardId]:
        try:
            return [ShardId(shard) for (shard,) in self._database.execute(f"SELECT shard FROM {table}")]
        except sqlite3.DatabaseError:
            return []

    def _asides(self) -> dict[ShardId, int]:
        try:
            return {ShardId(shard): count for shard, count in self._database.execute("SELECT * FROM asides")}
        except sqlite3.DatabaseError:
            return {}

    def _begun(self, shard: ShardId) -> Progress:
        copy = self._index.copy(shard)
        progress = Progress(shard)
        try:
            row = self._database.execute(
                "SELECT lsn, incarnation, epoch, boot, hash FROM snapshots WHERE shard = ?", (shard,)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            progress.blame(0, f"the snapshot can't be read: {error}")
            return progress
        if row is not None and _is_tip(row):
            copy.floor = copy.tip = progress.floor = progress.tip = _tip_of(row[:5])
        return progress

    def _rows(self) -> Iterator[Row]:
        """Read all records; over a page that can't be read, step by growing steps."""
        last, step, end = 0, 0, self._last_place()
        while last + step <= end:
            try:
                for row in all_rows(self._database, last + step):
                    last, step = row[0], 0
                    yield row
                break
            except sqlite3.DatabaseError:
                step = max(1, 2 * step)

    def _last_place(self) -> int:
        try:
            found = self._database.execute("SELECT max(place) FROM records").fetchone()
        except sqlite3.DatabaseError:
            return 0
        return int(found[0] or 0)

    def _place(self, row: Row, found: dict[ShardId, Progress]) -> None:
        index = self._index
        index.next_place = row[0] + 1
        progress = found.get(ShardId(row[1]))
        if progress is None:
            return  # A row whose shard was altered: it is missed where it belongs, and nobody's here.
        if row[2] <= progress.floor.lsn:
            index.dead.append(row[0])
            return
        index.copy(progress.shard).places.append(row[0])
        progress.take(record_of(row))

    def _recovered(self, progress: Progress, mark: Mark | None) -> Recovered:
        copy = self._index.copy(progress.shard)
        copy.tip = progress.tip
        meta = self._meta(progress, copy, expected=mark is not None and mark.meta_version > 0)
        if mark is not None:
            self._compare(progress, copy, mark)
        self.check_snapshot(progress)
        return progress.recovered(meta)

    def _compare(self, progress: Progress, copy: CopyIndex, mark: Mark) -> None:
        if progress.tip.lsn < mark.lsn:
            progress.blame(progress.tip.lsn + 1, f"the disk held entries up to {mark.lsn} before")
        if progress.tip.lsn == mark.lsn and progress.tip.hash != mark.hash:
            progress.blame(mark.lsn, "the disk held another entry here before")
        if copy.meta_version < mark.meta_version:
            progress.blame(progress.tip.lsn, "the copy's meta is older than it was before")

    def _meta(self, progress: Progress, copy: CopyIndex, *, expected: bool) -> CopyMeta:
        shard = progress.shard
        stand_in = CopyMeta(self.fresh_copy_id(shard), progress.tip.generation)
        try:
            row = self._database.execute(
                "SELECT version, body, checksum FROM metas WHERE shard = ?", (shard,)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            progress.blame(progress.tip.lsn, f"the copy's meta can't be read: {error}")
            return stand_in
        if row is None:
            if expected:
                progress.blame(progress.tip.lsn, "the copy's meta is missing")
            return stand_in
        version, body, checksum = row
        if not isinstance(version, int) or not isinstance(body, bytes):
            progress.blame(progress.tip.lsn, "the copy's meta does not match its checksum")
            return stand_in
        copy.meta_version = version
        if meta_checksum(shard, version, body) != checksum:
            progress.blame(progress.tip.lsn, "the copy's meta does not match its checksum")
            return stand_in
        return meta_of(body)


def _is_tip(row: Sequence[object]) -> bool:
    return all(isinstance(one, int) and one >= 0 for one in row[:4]) and isinstance(row[4], bytes)


def _tip_of(row: tuple[int, int, int, int, bytes]) -> Tip:
    return Tip(row[0], Generation(row[1], row[2], row[3]), row[4])
