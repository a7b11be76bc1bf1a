"""The journal on a real disk: one SQLite database per node (WAL, synchronous=FULL), one thread that writes.

What is durable is shown, and nothing else. Whatever was altered is found, at start and at read, and named by shard and
entry: SQLite itself notices neither a flipped bit in a row nor a write-ahead log that ends too early.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import IO

from core.copies import NOTHING_QUARANTINED, Quarantined
from core.errors import DamagedError, UnavailableError
from core.names import CopyId, ShardId
from nodes.io.directory_lock import locked
from nodes.io.high_marks import HighMarks
from nodes.io.journal_cuts import tip_in
from nodes.io.journal_database import (
    DATABASE,
    FORMAT,
    Row,
    fetch,
    reading_connection,
    record_of,
    writing_connection,
)
from nodes.io.journal_deeds import Append, Disk, Install, SaveMeta, SetAside, StagePart, Truncate
from nodes.io.journal_files import quarantines
from nodes.io.journal_index import CopyIndex, JournalIndex
from nodes.io.journal_scan import Scanner
from nodes.io.journal_writer import CallSoon, JournalWriter
from nodes.io.meta_json import meta_body
from nodes.ports import CopyMeta, DiskError, Recovered
from nodes.records import EMPTY, Record, Tip, tip_of
from nodes.recovery import checked_run, snapshot_hash

Done = Callable[[DiskError | None], None]
_READ_ROWS = 64


class SqliteJournal:
    """The port ``Journal`` on a directory; all methods are for the loop's thread.

    Args:
        directory: where it lives; made if it is not there.
        call_soon: runs a callback on the loop's thread after the present turn; the loop's method of that name.
        call_soon_threadsafe: the same, from another thread.

    Raises:
        UnavailableError: another process has the directory, the disk refuses, or the file is no journal.
    """

    def __init__(self, directory: Path, *, call_soon: CallSoon, call_soon_threadsafe: CallSoon) -> None:
        self._open = ExitStack()
        self._open.enter_context(_taken(directory))
        try:
            writing = self._open.enter_context(closing(writing_connection(directory)))
            self._disk_id = _disk_id(writing)
            self._reading = self._open.enter_context(closing(reading_connection(directory)))
            self._marks = self._open.enter_context(closing(HighMarks(directory, self._disk_id)))
        except (sqlite3.Error, OSError) as cause:
            self._open.close()
            raise UnavailableError(
                f"the journal {directory / DATABASE} can't be opened: {cause}: free space or mend the disk; "
                f"if the file is damaged, move {directory} away, and the node rejoins with new copies",
            ) from cause
        self._index = JournalIndex()
        self._quarantines = quarantines(directory)
        self._scanner = Scanner(self._reading, self._disk_id, self._index)
        self._writer = JournalWriter(
            Disk(directory, writing, self._index, self._marks, self._quarantines),
            call_soon=call_soon,
            call_soon_threadsafe=call_soon_threadsafe,
        )

    @property
    def disk_id(self) -> str:
        """Random, made with the disk."""
        return self._disk_id

    @property
    def waiting(self) -> int:
        """How many deeds are not durable yet."""
        return self._writer.waiting

    def close(self) -> None:
        """Do what is queued, and let the directory go."""
        self._writer.close()
        self._open.close()

    def recover(self) -> Sequence[Recovered]:
        """Read what there is, every hash checked; once, before anything else."""
        found = self._scanner.whole(self._marks.found())
        self._writer.start()
        return found

    def recover_one(self, shard: ShardId) -> Recovered | None:
        """The same for one shard; None: there is no such copy."""
        copy = self._index.copies.get(shard)
        return None if copy is None else self._scanner.one(shard, self._rows(copy, copy.floor.lsn))

    def append(self, shard: ShardId, records: Sequence[Record], done: Done, *, quiet: bool) -> None:
        """Add records after the last one."""
        self._writer.add(Append(shard, tuple(records), quiet), done)

    def hasten(self) -> None:
        """Tell of everything that was asked for so far as soon as it is durable."""
        self._writer.hasten()

    def save_meta(self, shard: ShardId, meta: CopyMeta, done: Done) -> None:
        """Replace the copy's meta."""
        self._writer.add(SaveMeta(shard, meta_body(meta)), done)

    def truncate(
        self,
        shard: ShardId,
        *,
        keep_lsn: int,
        orphan: bool,
        done: Done,
        lossy: bool = False,
    ) -> None:
        """Drop everything after ``keep_lsn``; with ``orphan``, a file in ``orphan/`` keeps it."""
        self._writer.add(Truncate(shard, keep_lsn, orphan, lossy), done)

    def read(self, shard: ShardId, *, after_lsn: int, limit_bytes: int) -> list[Record]:
        """Read records in order, at least one if there is one, then until the limit.

        Of a copy that is being cut nothing is read until that is done.

        Raises:
            DamagedError: a record does not match its hash, or is missing.
        """
        copy = self._index.copies.get(shard)
        if copy is None:
            return []
        cuts, until_lsn = copy.cuts, copy.tip.lsn
        try:
            before = tip_in(self._reading, copy, after_lsn)
            if before is None:
                return []
            taken = _limited(self._rows(copy, after_lsn), limit_bytes)
            return checked_run(shard, before, taken, until_lsn=until_lsn)
        except (sqlite3.DatabaseError, DamagedError) as error:
            if copy.cutting or copy.cuts != cuts:
                return []
            raise _damaged(shard, after_lsn + 1, error) from error

    def tip_at(self, shard: ShardId, lsn: int) -> Tip | None:
        """Look the hash at a place up; None: above the tip, or below the floor."""
        copy = self._index.copies.get(shard)
        if copy is None:
            return EMPTY if lsn == 0 else None
        if lsn in (copy.floor.lsn, copy.tip.lsn):
            return copy.floor if lsn == copy.floor.lsn else copy.tip
        found = self.read(shard, after_lsn=lsn - 1, limit_bytes=1) if lsn > copy.floor.lsn else []
        return tip_of(found[0]) if found else None

    def save_snapshot(
        self, shard: ShardId, tip: Tip, parts: Sequence[bytes], done: Done, *, orphan: bool = False
    ) -> None:
        """Keep the app state as of ``tip``, and drop the records up to it, or all of another journal.

        Each part is a deed of its own, so that other shards' commits don't wait for a long snapshot.
        """
        number = secrets.randbits(62) + 1
        for place, part in enumerate(parts):
            self._writer.add(StagePart(shard, number, place, part), _ignored)
        checksum = snapshot_hash(shard, tip, parts)
        self._writer.add(Install(shard, number, len(parts), tip, checksum, orphan), done)

    def quarantined(self, shard: ShardId) -> Quarantined:
        """Say what ``orphan/`` keeps of a shard although it may have been acknowledged."""
        return self._quarantines.get(shard, NOTHING_QUARANTINED)

    def load_snapshot(self, shard: ShardId) -> tuple[Tip, list[bytes]] | None:
        """Read the snapshot back; raises DamagedError."""
        return self._scanner.snapshot(shard)

    def set_aside(self, shard: ShardId, done: Done) -> None:
        """Move a damaged copy into a file in ``aside/``."""
        self._writer.add(SetAside(shard), done)

    def fresh_copy_id(self, shard: ShardId) -> CopyId:
        """Name the copy that a new journal of this shard would be."""
        return self._scanner.fresh_copy_id(shard)

    def _rows(self, copy: CopyIndex, after_lsn: int) -> Iterator[Row]:
        places = copy.places_after(after_lsn)
        starts = range(0, len(places), _READ_ROWS)
        return chain.from_iterable(fetch(self._reading, places[start : start + _READ_ROWS]) for start in starts)


def _taken(directory: Path) -> IO[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return locked(directory)
    except OSError as cause:
        raise UnavailableError(f"{directory} can't be used: {cause}: free space, or mend the disk") from cause


def _disk_id(database: sqlite3.Connection) -> str:
    row = database.execute("SELECT id, format FROM disk").fetchone()
    if row is None:
        row = (secrets.token_bytes(6).hex().encode(), FORMAT)
        database.execute("INSERT INTO disk VALUES (?, ?)", row)
    if row[1] != FORMAT:
        raise sqlite3.DataError(f"it has format {row[1]}, and this version reads format {FORMAT}")
    return bytes(row[0]).decode("ascii", "replace")


def _limited(rows: Iterator[Row], limit_bytes: int) -> list[Record]:
    taken, size = list[Record](), 0
    for row in rows:
        size += len(row[7])
        if taken and size > limit_bytes:
            break
        taken.append(record_of(row))
    return taken


def _damaged(shard: ShardId, lsn: int, error: Exception) -> DamagedError:
    return error if isinstance(error, DamagedError) else DamagedError(shard=shard, lsn=lsn, cause=str(error))


def _ignored(outcome: DiskError | None) -> None:
    """A part that could not be written makes the snapshot's last deed fail."""
