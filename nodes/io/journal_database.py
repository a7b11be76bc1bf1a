"""The tables of a node's journal, and how rows become records.

Records stand in the order in which they came, not by shard: a group of commits from many shards then fills a few pages
at the end instead of touching one page per shard (a third of the time per record, measured). Where a shard's records
stand is kept in memory, 8 bytes each, and found at start, when every record is read and checked anyway.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from core.names import ShardId
from nodes.records import Generation, Record, Tip

DATABASE = "journal.db"
FORMAT = 1
LOG = f"{DATABASE}-wal"
LOG_BYTES = 32 + 1024 * (24 + 4096)
"""The write-ahead log's head and frames: SQLite starts it over after 1,000 frames, and a commit has a few."""
ROWS_MAX = 128
"""Rows in one statement; one is kept ready for every number that occurs, 50 KB on average."""
Row = tuple[int, int, int, int, int, int, bytes, bytes]
"""place, shard, lsn, incarnation, epoch, boot, hash, body."""


class Into(NamedTuple):
    """How rows are added to a table, and how many columns each has."""

    statement: str
    columns: int


RECORDS = Into("INSERT INTO records", 8)
METAS = Into("INSERT OR REPLACE INTO metas", 4)
PARTS = Into("INSERT OR REPLACE INTO snapshot_parts", 4)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS disk (id TEXT NOT NULL, format INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS records (
  place INTEGER PRIMARY KEY, shard INTEGER NOT NULL, lsn INTEGER NOT NULL,
  incarnation INTEGER NOT NULL, epoch INTEGER NOT NULL, boot INTEGER NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS metas (
  shard INTEGER PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS snapshots (
  shard INTEGER PRIMARY KEY, number INTEGER NOT NULL, lsn INTEGER NOT NULL,
  incarnation INTEGER NOT NULL, epoch INTEGER NOT NULL, boot INTEGER NOT NULL, hash BLOB NOT NULL,
  checksum BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS snapshot_parts (
  shard INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (shard, number, part)
);
CREATE TABLE IF NOT EXISTS asides (shard INTEGER PRIMARY KEY, count INTEGER NOT NULL);
"""
_COLUMNS = "place, shard, lsn, incarnation, epoch, boot, hash, body"


def writing_connection(directory: Path) -> sqlite3.Connection:
    """Open the database for the one thread that writes, and make its tables; raises sqlite3.Error."""
    # Only one thread uses it at a time: the one that opens and recovers, then the writer's.
    script = f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_SCHEMA}"
    database = _connection(directory, script, any_thread=True)
    _lengthen(directory / LOG)
    return database


def reading_connection(directory: Path) -> sqlite3.Connection:
    """Open the database for the loop's thread, which never waits for the writer; raises sqlite3.Error."""
    return _connection(directory, "PRAGMA query_only=1;", any_thread=False)


def _lengthen(log: Path) -> None:
    """Fill the write-ahead log up with zeros, so that no commit makes it longer.

    An fsync of a file that grew waits for the file system's own journal too: one more wait and switch per commit of
    five (measured on ext4). SQLite takes zeros for the log's end, and writes over them.
    """
    with log.open("ab", buffering=0) as file:
        end = file.tell()
        missing = max(0, LOG_BYTES - end)
        try:
            filled = file.write(bytes(missing)) == missing
            os.fsync(file.fileno())
        except OSError:
            filled = False
    if not filled:
        os.truncate(log, end)  # A full disk needs the room, and is told of by the first deed that finds none.


def _connection(directory: Path, script: str, *, any_thread: bool) -> sqlite3.Connection:
    database = sqlite3.connect(
        directory / DATABASE, isolation_level=None, check_same_thread=not any_thread, cached_statements=256
    )
    try:
        database.text_factory = bytes
        database.executescript(script)
    except sqlite3.Error:
        database.close()
        raise
    return database


def insert(database: sqlite3.Connection, into: Into, values: Sequence[object]) -> None:
    """Add rows, given as their values one after the other, with one statement for up to ``ROWS_MAX`` of them.

    Python gives its lock away around every step of a statement, and a busy loop gives it back only after the switch
    interval: a statement per row made 64 rows 12 times slower beside a busy loop than this.
    """
    step = ROWS_MAX * into.columns
    for start in range(0, len(values), step):
        some = values[start : start + step]
        database.execute(_statement(into, len(some) // into.columns), some)


@cache
def _statement(into: Into, rows: int) -> str:
    """Write a statement that takes so many rows: to pad to fewer sizes costs SQLite a quarter more per row."""
    row = f"({', '.join('?' * into.columns)})"
    return f"{into.statement} VALUES {', '.join([row] * rows)}"


def delete(database: sqlite3.Connection, places: Iterable[int]) -> None:
    """Delete rows by their places, with one statement."""
    database.execute("DELETE FROM records WHERE place IN (SELECT value FROM json_each(?))", (json.dumps(list(places)),))


def fetch(database: sqlite3.Connection, places: Iterable[int]) -> list[Row]:
    """Read rows by their places, ascending; one that is not there is left out."""
    found = database.execute(
        f"SELECT {_COLUMNS} FROM records WHERE place IN (SELECT value FROM json_each(?)) ORDER BY place",
        (json.dumps(list(places)),),
    )
    return list(filter(_whole, found))


def all_rows(database: sqlite3.Connection, after_place: int) -> Iterator[Row]:
    """Read every row after a place, in the order in which they came; one that is no row of ours is left out."""
    found = database.execute(f"SELECT {_COLUMNS} FROM records WHERE place > ? ORDER BY place", (after_place,))
    return filter(_whole, found)


def values_of(first_place: int, shard: ShardId, records: Iterable[Record]) -> list[object]:
    """Write records as the values of their rows, from a place on."""
    values: list[object] = []
    for place, (lsn, (incarnation, epoch, boot), hashed, body) in enumerate(records, first_place):
        # As byte arrays: for bytes, Python's adapter asks each time how they are adapted, which takes twice as long.
        values += (place, shard, lsn, incarnation, epoch, boot, bytearray(hashed), bytearray(body))
    return values


def record_of(row: Row) -> Record:
    """Read a record."""
    return Record(row[2], Generation(row[3], row[4], row[5]), row[6], row[7])


def tip_row(tip: Tip) -> tuple[int, int, int, int, bytes]:
    """Write a place in a journal."""
    made = tip.generation
    return (tip.lsn, made.incarnation, made.epoch, made.boot, tip.hash)


def meta_checksum(shard: ShardId, version: int, body: bytes) -> bytes:
    """Sum a meta row up; 16 bytes."""
    return blake2b(b"%d %d " % (shard, version) + body, digest_size=16).digest()


def _whole(row: Sequence[object]) -> bool:
    """Say whether columns have their types: SQLite keeps a type with each value, and a flipped bit may change it."""
    numbers, rest = row[:6], row[6:]
    return all(isinstance(one, int) and one >= 0 for one in numbers) and all(isinstance(one, bytes) for one in rest)
