"""The embedded assignment store: one SQLite database (WAL, synchronous=FULL), one thread, one process per directory.

Every conditional write repeats its base in SQL. Deeds come in batches: one transaction, one fsync, then all answers.
A database that is older than what was served from here before is noticed (C10), for ``identity.json`` beside it
remembers: it then takes no rows and docs until it is adopted.
"""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from control_plane.io.store_directory import Identity, StoreDirectory
from control_plane.io.store_rows import COLUMNS, DOC_COLUMNS, MARKS, assignment, doc_values, values
from control_plane.io.store_rows import doc as read_doc
from control_plane.ports import (
    FLEET,
    Adoption,
    Applied,
    Doc,
    Partition,
    PartitionState,
    Refused,
    Row,
    StaleTerm,
    Unknown,
)
from control_plane.store_rules import EVENTS_KEPT, RESTORED, StoreRules, judged_doc, numbered, outdated
from core.assignments import Assignment
from core.errors import TwinholdError, UnavailableError
from core.names import GeographyId, ShardId
from core.topology import Topology

DATABASE = "store.sqlite"
_SIDECAR_EVERY = 256
"""Commits between two notes of how far the database has come."""
_PRAGMAS = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (fleet TEXT NOT NULL, incarnation INTEGER NOT NULL, commits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS terms (
  geography TEXT NOT NULL, segment INTEGER NOT NULL, term INTEGER NOT NULL, PRIMARY KEY (geography, segment)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assignments (
  shard INTEGER PRIMARY KEY, geography TEXT NOT NULL, segment INTEGER NOT NULL, kind TEXT NOT NULL,
  incarnation INTEGER NOT NULL, epoch INTEGER NOT NULL, primary_node TEXT NOT NULL, primary_copy TEXT NOT NULL,
  standby_node TEXT, standby_copy TEXT, reason TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS assignments_by_partition ON assignments (geography, segment);
CREATE TABLE IF NOT EXISTS docs (
  geography TEXT NOT NULL, segment INTEGER NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
  digest TEXT NOT NULL, PRIMARY KEY (geography, segment, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restored (commits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""

Deed = Callable[["SqliteStore"], object]
"""One call's work inside a transaction."""


class SqliteStore:
    """The database; after opening, everything runs on one thread.

    Args:
        directory: where it lives; made if it is not there.
        topology: the fleet that it belongs to.

    Raises:
        UnavailableError: another process has the directory, or the database can't be read.
        MalformedError: it belongs to another fleet.
    """

    def __init__(self, directory: Path, topology: Topology) -> None:
        self._directory = StoreDirectory(directory)
        self._rules = StoreRules(topology)
        self._database = sqlite3.connect(directory / DATABASE, isolation_level=None, check_same_thread=False)
        self._written = self._adopted = False
        self.restored = False
        """It is older than what was served before: rows and docs are not taken until it is adopted."""
        try:
            self._open(topology.fleet)
        except TwinholdError:
            self._let_go()
            raise
        except sqlite3.Error as cause:
            self._let_go()
            raise UnavailableError(
                f"the store in {directory} can't be opened: {cause}: restore {DATABASE} from a backup"
            ) from cause

    def transact(self, deeds: Sequence[Deed]) -> list[object]:
        """Do deeds in one transaction and return their answers once all of it is durable.

        Raises:
            UnavailableError: the disk refused, or a record is not what was written; nothing of it happened.
        """
        self._written = self._adopted = False
        try:
            self._database.execute("BEGIN")
            answers = [deed(self) for deed in deeds]
            if self._written:
                self._database.execute("UPDATE identity SET commits = commits + 1")
            self._database.execute("COMMIT")
        except TwinholdError:
            self._roll_back()
            raise
        except sqlite3.Error as cause:
            self._roll_back()
            raise UnavailableError(f"the store's disk refuses: {cause}: free space or mend it") from cause
        if self._adopted:
            self.restored = False
            self._note()
        elif self._written:
            self._note_now_and_then()
        return answers

    def write(
        self, partition: Partition, term: int, rows: Sequence[Row], docs: Sequence[Doc]
    ) -> tuple[Applied | Refused, ...] | StaleTerm | Unknown:
        """Judge and write each row and doc under ``IF term <= mine``; nothing once it knows that it was restored."""
        if self.restored:
            return Unknown(RESTORED)
        held = self._term(partition)
        stale = outdated(term, held)
        if stale is not None:
            return stale
        self._raise(partition, term, held)
        written: list[Applied | Refused] = [self._write_row(partition, row) for row in rows]
        return (*written, *(self._write_doc(partition, doc) for doc in docs))

    def read(
        self, partitions: Sequence[Partition] | None, shards: Collection[ShardId] | None = None
    ) -> dict[Partition, PartitionState]:
        """Read partitions, or some records of them; one that was never written is empty, with term 0."""
        wanted = self._partitions() if partitions is None else partitions
        if shards is None:
            return {partition: self._state(partition) for partition in wanted}
        return {partition: self._records(partition, shards) for partition in wanted}

    def raise_term(self, term: int) -> Applied | StaleTerm:
        """Take the fleet partition over; only a higher term than the present one does."""
        held = self._term(FLEET)
        if term <= held:
            return StaleTerm(held)
        self._raise(FLEET, term, held)
        return Applied()

    def adopt(self, term: int, adoption: Adoption) -> Applied | Refused | StaleTerm:
        """Put records in place of what is held, under the next incarnation; all or nothing."""
        (highest,) = self._database.execute("SELECT coalesce(max(term), 0) FROM terms").fetchone()
        stale = outdated(term, highest)
        if stale is not None:
            return stale
        judged = self._rules.adoption(
            adoption,
            incarnation=self.identity().incarnation,
            record=self._record,
            doc=lambda key: self._doc(FLEET, key),
        )
        if isinstance(judged, Applied):
            self._written = True
            self._put(term, adoption)
        return judged

    def append_events(self, term: int, bodies: Sequence[bytes]) -> Applied | StaleTerm:
        """Number and keep events; the oldest beyond the bound go."""
        stale = outdated(term, self._term(FLEET))
        if stale is not None:
            return stale
        self._written = True
        self._database.executemany("INSERT INTO events (body) VALUES (?)", [(body,) for body in bodies])
        self._database.execute(
            "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (EVENTS_KEPT,)
        )
        return Applied()

    def read_events(self, before_number: int | None, limit: int) -> list[bytes]:
        """Read events, newest first, numbers filled in."""
        found = self._database.execute(
            "SELECT number, body FROM events WHERE ? IS NULL OR number < ? ORDER BY number DESC LIMIT ?",
            (before_number, before_number, limit),
        )
        return [numbered(body, number) for number, body in found]

    def identity(self) -> Identity:
        """Say whose store this is."""
        fleet, incarnation, commits = self._database.execute(
            "SELECT fleet, incarnation, commits FROM identity"
        ).fetchone()
        return Identity(fleet, incarnation, commits)

    def close(self) -> None:
        """Note how far the database has come, and let the directory go."""
        self._note()
        self._let_go()

    def _let_go(self) -> None:
        self._database.close()
        self._directory.close()

    def _open(self, fleet: str) -> None:
        self._database.executescript(_PRAGMAS + _SCHEMA)
        if self._database.execute("SELECT count(*) FROM identity").fetchone() == (0,):
            self._database.execute("INSERT INTO identity VALUES (?, 1, 0)", (fleet,))
        if self._directory.own(self.identity(), fleet):
            # In the database that was put back: later commits don't hide it, and a newer one has nothing of it.
            self._database.execute("INSERT INTO restored SELECT commits FROM identity")
        self.restored = self._is_restored()
        self.read(None)  # checks every digest
        self._note()

    def _is_restored(self) -> bool:
        return bool(self._database.execute("SELECT count(*) FROM restored").fetchone() != (0,))

    def _note_now_and_then(self) -> None:
        if self.identity().commits % _SIDECAR_EVERY == 0:
            self._note()

    def _note(self) -> None:
        if not self.restored:
            self._directory.note(self.identity())

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _partitions(self) -> list[Partition]:
        found = self._database.execute("SELECT geography, segment FROM terms ORDER BY geography, segment")
        return [Partition(GeographyId(geography) if geography else None, segment) for geography, segment in found]

    def _state(self, partition: Partition) -> PartitionState:
        rows = self._database.execute(
            f"SELECT {COLUMNS} FROM assignments WHERE geography = ? AND segment = ? ORDER BY shard", _key(partition)
        )
        docs = self._database.execute(
            f"SELECT {DOC_COLUMNS} FROM docs WHERE geography = ? AND segment = ? ORDER BY key", _key(partition)
        )
        return PartitionState(
            self._term(partition), tuple(assignment(row) for row in rows), tuple(read_doc(doc) for doc in docs)
        )

    def _records(self, partition: Partition, shards: Collection[ShardId]) -> PartitionState:
        named = ", ".join("?" for _ in shards)
        rows = self._database.execute(
            f"SELECT {COLUMNS} FROM assignments"
            f" WHERE geography = ? AND segment = ? AND shard IN ({named}) ORDER BY shard",
            (*_key(partition), *shards),
        )
        return PartitionState(self._term(partition), tuple(assignment(row) for row in rows), ())

    def _term(self, partition: Partition) -> int:
        found = self._database.execute("SELECT term FROM terms WHERE geography = ? AND segment = ?", _key(partition))
        row = found.fetchone()
        return 0 if row is None else int(row[0])

    def _raise(self, partition: Partition, term: int, held: int) -> None:
        if term > held or held == 0:
            self._written = True
            self._database.execute(
                "INSERT INTO terms VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET term = excluded.term WHERE term = ?",
                (*_key(partition), term, held),
            )

    def _record(self, shard: ShardId) -> Assignment | None:
        found = self._database.execute(f"SELECT {COLUMNS} FROM assignments WHERE shard = ?", (shard,)).fetchone()
        return None if found is None else assignment(found)

    def _doc(self, partition: Partition, key: str) -> Doc | None:
        found = self._database.execute(
            f"SELECT {DOC_COLUMNS} FROM docs WHERE geography = ? AND segment = ? AND key = ?", (*_key(partition), key)
        ).fetchone()
        return None if found is None else read_doc(found)

    def _put(self, term: int, adoption: Adoption) -> None:
        homes = {new.shard: self._rules.home(new) for new in adoption.assignments}
        for partition in {FLEET, *homes.values()}:
            self._raise(partition, term, self._term(partition))
        self._database.execute("UPDATE terms SET term = ?", (term,))
        self._database.executemany(
            f"INSERT OR REPLACE INTO assignments (geography, segment, {COLUMNS}) VALUES (?, ?, {MARKS})",
            [(*_key(homes[new.shard]), *values(new)) for new in adoption.assignments],
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO docs VALUES (?, ?, ?, ?, ?, ?)",
            [(*_key(FLEET), *doc_values(doc)) for doc in adoption.docs],
        )
        self._database.execute("UPDATE identity SET incarnation = ?", (adoption.next_incarnation,))
        self._database.execute("DELETE FROM restored")
        self._adopted = True

    def _write_row(self, partition: Partition, row: Row) -> Applied | Refused:
        judged = self._rules.row(partition, row, self._record(row.new.shard))
        if isinstance(judged, Applied):
            self._written = True
            self._put_row(partition, row)
        return judged

    def _put_row(self, partition: Partition, row: Row) -> None:
        new = values(row.new)
        if row.base is None:
            self._database.execute(
                f"INSERT INTO assignments (geography, segment, {COLUMNS}) VALUES (?, ?, {MARKS})",
                (*_key(partition), *new),
            )
            return
        changed = self._database.execute(
            f"UPDATE assignments SET ({COLUMNS}) = ({MARKS}) WHERE shard = ? AND incarnation = ? AND epoch = ?",
            (*new, row.new.shard, row.base.incarnation, row.base.epoch),
        )
        assert changed.rowcount == 1, f"shard {row.new.shard} changed inside a transaction"

    def _write_doc(self, partition: Partition, doc: Doc) -> Applied | Refused:
        judged = judged_doc(doc, self._doc(partition, doc.key))
        if isinstance(judged, Applied):
            self._written = True
            self._database.execute(
                "INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET version = excluded.version, body = excluded.body, digest = excluded.digest WHERE version = ?",
                (*_key(partition), *doc_values(doc), doc.version - 1),
            )
        return judged


def _key(partition: Partition) -> tuple[str, int]:
    return (partition.geography or "", partition.segment)
