"""The embedded assignment store: one SQLite database (WAL, synchronous=FULL), one thread, one process per directory.

Every conditional write repeats its base in SQL. Deeds come in batches: one transaction, one fsync, then all answers.
A database that is older than what was served from here before is noticed (C10): ``identity.json`` beside it remembers.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from control_plane.ports import (
    FLEET,
    Applied,
    Doc,
    Partition,
    PartitionState,
    Refused,
    Row,
    StaleTerm,
)
from control_plane.store_rules import EVENTS_KEPT, StoreRules, judged_doc, numbered, outdated
from core.assignments import Assignment, Copy
from core.errors import MalformedError, TwinholdError, UnavailableError
from core.io.hosted import write_whole
from core.names import CopyId, GeographyId, NodeId, ShardId
from core.topology import Kind, Topology

DATABASE = "store.sqlite"
IDENTITY = "identity.json"
LOCK = "lock"
_SIDECAR_EVERY = 256
"""Commits between two notes of how far the database has come."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (fleet TEXT NOT NULL, incarnation INTEGER NOT NULL, commits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS terms (
  geography TEXT NOT NULL, segment INTEGER NOT NULL, term INTEGER NOT NULL, PRIMARY KEY (geography, segment)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assignments (
  shard INTEGER PRIMARY KEY, geography TEXT NOT NULL, segment INTEGER NOT NULL, kind TEXT NOT NULL,
  incarnation INTEGER NOT NULL, epoch INTEGER NOT NULL, primary_node TEXT NOT NULL, primary_copy TEXT NOT NULL,
  standby_node TEXT, standby_copy TEXT, reason TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS assignments_by_partition ON assignments (geography, segment);
CREATE TABLE IF NOT EXISTS docs (
  geography TEXT NOT NULL, segment INTEGER NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (geography, segment, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""
_COLUMNS = "shard, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason"

Deed = Callable[["SqliteStore"], object]
"""One call's work inside a transaction."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose store it is, and how far it has come."""

    fleet: str
    incarnation: int
    commits: int


class SqliteStore:
    """The database; after opening, everything runs on one thread.

    Args:
        directory: where it lives; made if it is not there.
        topology: the fleet that it belongs to.

    Raises:
        UnavailableError: another process has the directory, or the database is older than what was served before.
        MalformedError: it belongs to another fleet.
    """

    def __init__(self, directory: Path, topology: Topology) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock = _locked(directory)
        self._rules = StoreRules(topology)
        self._database = sqlite3.connect(directory / DATABASE, isolation_level=None, check_same_thread=False)
        self._database.executescript("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        self._database.executescript(_SCHEMA)
        self._written = False
        try:
            self._own(topology.fleet)
        except TwinholdError:
            self._let_go()
            raise

    def transact(self, deeds: Sequence[Deed]) -> list[object]:
        """Do deeds in one transaction and return their answers once all of it is durable.

        Raises:
            UnavailableError: the disk refused; nothing of it happened.
        """
        self._written = False
        try:
            self._database.execute("BEGIN")
            answers = [deed(self) for deed in deeds]
            if self._written:
                self._database.execute("UPDATE identity SET commits = commits + 1")
            self._database.execute("COMMIT")
        except sqlite3.Error as cause:
            self._roll_back()
            raise UnavailableError(f"the store's disk refuses: {cause}: free space or mend it") from cause
        if self._written:
            self._note_now_and_then()
        return answers

    def write(
        self, partition: Partition, term: int, rows: Sequence[Row], docs: Sequence[Doc]
    ) -> tuple[Applied | Refused, ...] | StaleTerm:
        """Judge and write each row and doc under ``IF term <= mine``."""
        held = self._term(partition)
        stale = outdated(term, held)
        if stale is not None:
            return stale
        self._raise(partition, term, held)
        written: list[Applied | Refused] = [self._write_row(partition, row) for row in rows]
        return (*written, *(self._write_doc(partition, doc) for doc in docs))

    def read(self, partitions: Sequence[Partition] | None) -> dict[Partition, PartitionState]:
        """Read partitions; one that was never written is empty, with term 0."""
        wanted = self._partitions() if partitions is None else partitions
        return {partition: self._state(partition) for partition in wanted}

    def raise_term(self, term: int) -> Applied | StaleTerm:
        """Take the fleet partition over; only a higher term than the present one does."""
        held = self._term(FLEET)
        if term <= held:
            return StaleTerm(held)
        self._raise(FLEET, term, held)
        return Applied()

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
        self._lock.close()

    def _own(self, fleet: str) -> None:
        if self._database.execute("SELECT count(*) FROM identity").fetchone() == (0,):
            self._database.execute("INSERT INTO identity VALUES (?, 1, 0)", (fleet,))
        mine = self.identity()
        if mine.fleet != fleet:
            raise MalformedError("store directory", self._directory, expected=f"fleet {fleet}, it holds {mine.fleet}")
        before = _noted(self._directory)
        if before is not None and (mine.incarnation, mine.commits) < (before.incarnation, before.commits):
            raise UnavailableError(
                f"the store in {self._directory} stands at commit {mine.commits}, and {before.commits} were served "
                f"from here before: put the newer database back, or remove {IDENTITY} to serve the older one, to which "
                f"the leader then writes nothing that the nodes contradict"
            )
        self._note()

    def _note_now_and_then(self) -> None:
        if self.identity().commits % _SIDECAR_EVERY == 0:
            self._note()

    def _note(self) -> None:
        mine = self.identity()
        text = json.dumps({"fleet": mine.fleet, "incarnation": mine.incarnation, "commits": mine.commits})
        write_whole(self._directory / IDENTITY, text + "\n")

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _partitions(self) -> list[Partition]:
        found = self._database.execute("SELECT geography, segment FROM terms ORDER BY geography, segment")
        return [Partition(GeographyId(geography) if geography else None, segment) for geography, segment in found]

    def _state(self, partition: Partition) -> PartitionState:
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM assignments WHERE geography = ? AND segment = ? ORDER BY shard", _key(partition)
        )
        docs = self._database.execute(
            "SELECT key, version, body FROM docs WHERE geography = ? AND segment = ? ORDER BY key", _key(partition)
        )
        return PartitionState(
            self._term(partition), tuple(_assignment(row) for row in rows), tuple(Doc(*doc) for doc in docs)
        )

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

    def _write_row(self, partition: Partition, row: Row) -> Applied | Refused:
        found = self._database.execute(f"SELECT {_COLUMNS} FROM assignments WHERE shard = ?", (row.new.shard,))
        held = found.fetchone()
        judged = self._rules.row(partition, row, None if held is None else _assignment(held))
        if isinstance(judged, Applied):
            self._written = True
            self._put_row(partition, row)
        return judged

    def _put_row(self, partition: Partition, row: Row) -> None:
        values = _values(row.new)
        marks = ", ".join("?" * len(values))
        if row.base is None:
            self._database.execute(
                f"INSERT INTO assignments (geography, segment, {_COLUMNS}) VALUES (?, ?, {marks})",
                (*_key(partition), *values),
            )
            return
        changed = self._database.execute(
            f"UPDATE assignments SET ({_COLUMNS}) = ({marks}) WHERE shard = ? AND incarnation = ? AND epoch = ?",
            (*values, row.new.shard, row.base.incarnation, row.base.epoch),
        )
        assert changed.rowcount == 1, f"shard {row.new.shard} changed inside a transaction"

    def _write_doc(self, partition: Partition, doc: Doc) -> Applied | Refused:
        key = (*_key(partition), doc.key)
        held = self._database.execute(
            "SELECT key, version, body FROM docs WHERE geography = ? AND segment = ? AND key = ?", key
        ).fetchone()
        judged = judged_doc(doc, None if held is None else Doc(*held))
        if isinstance(judged, Applied):
            self._written = True
            self._database.execute(
                "INSERT INTO docs VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body WHERE version = ?",
                (*key, doc.version, doc.body, doc.version - 1),
            )
        return judged


def _locked(directory: Path) -> IO[str]:
    lock = (directory / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        lock.close()
        raise UnavailableError(
            f"{directory} is in use by another process: end that one, or choose another directory"
        ) from cause
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _noted(directory: Path) -> Identity | None:
    path = directory / IDENTITY
    if not path.exists():
        return None
    try:
        return Identity(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as cause:
        raise MalformedError("identity file", path, expected="what a store wrote; remove it if it is lost") from cause


def _key(partition: Partition) -> tuple[str, int]:
    return (partition.geography or "", partition.segment)


def _assignment(row: Sequence[str | int | None]) -> Assignment:
    shard, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason = row
    return Assignment(
        ShardId(int(shard or 0)),
        Kind(kind),
        int(incarnation or 0),
        int(epoch or 0),
        Copy(NodeId(str(primary_node)), CopyId(str(primary_copy))),
        None if standby_node is None else Copy(NodeId(str(standby_node)), CopyId(str(standby_copy))),
        str(reason),
    )


def _values(assignment: Assignment) -> tuple[str | int | None, ...]:
    standby = assignment.standby
    return (
        assignment.shard,
        assignment.kind.value,
        assignment.incarnation,
        assignment.epoch,
        assignment.primary.node,
        assignment.primary.copy_id,
        None if standby is None else standby.node,
        None if standby is None else standby.copy_id,
        assignment.reason,
    )
