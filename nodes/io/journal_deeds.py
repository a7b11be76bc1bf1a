"""What the journal's thread does, and the deeds that share a transaction. The index changes only after the commit."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from core.copies import NOTHING_QUARANTINED, Quarantined
from core.names import ShardId
from nodes.io.high_marks import HighMarks, Mark
from nodes.io.journal_database import (
    METAS,
    PARTS,
    RECORDS,
    ROWS_MAX,
    delete,
    insert,
    meta_checksum,
    values_of,
)
from nodes.io.journal_index import CopyIndex, JournalIndex
from nodes.ports import DiskError
from nodes.records import Record, Tip, record_hash, tip_of

PURGE_ROWS = 512
"""Dead records deleted with one commit: enough to keep up, too few to be felt."""


class Append(NamedTuple):
    """Add records; every write makes one, so a named tuple: a frozen dataclass takes three times as long to make."""

    shard: ShardId
    records: tuple[Record, ...]
    quiet: bool
    """Nobody waits for it alone."""

    @property
    def size_bytes(self) -> int:
        """How much it writes."""
        return sum([len(record.body) for record in self.records])


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
    lossy: bool = False
    """What goes may have been acknowledged: it is counted."""


@dataclass(frozen=True, slots=True)
class Install:
    """Let a staged snapshot replace the records up to its tip, or all if they don't lead there."""

    shard: ShardId
    number: int
    parts: int
    tip: Tip
    checksum: bytes
    orphan: bool = False
    """Keep, and count, the snapshot that it takes the place of, if it came from a peer."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move all that is left of a copy out of the way."""

    shard: ShardId


Shared: TypeAlias = Append | SaveMeta | StagePart
Cut: TypeAlias = Truncate | Install | SetAside
Deed: TypeAlias = Shared | Cut
CUTS = (Truncate, Install, SetAside)


@dataclass(slots=True)
class Disk:
    """What deeds work on; the writer's thread's."""

    directory: Path
    database: sqlite3.Connection
    index: JournalIndex
    marks: HighMarks
    quarantines: dict[ShardId, Quarantined]
    """What ``orphan/`` keeps though it may have been acknowledged; the loop reads it, so values are replaced whole."""

    def quarantine(self, shard: ShardId, more: Quarantined) -> None:
        """Count what was moved to ``orphan/``."""
        self.quarantines[shard] = self.quarantines.get(shard, NOTHING_QUARANTINED).joined(more)


@dataclass(slots=True)
class Draft:
    """Deeds of many shards on their way into one commit."""

    disk: Disk
    tips: dict[ShardId, Tip] = field(default_factory=dict)
    rows: list[object] = field(default_factory=list)
    """The values of the records' rows, one after the other."""
    count: int = 0
    """Of the records."""
    runs: list[tuple[ShardId, range]] = field(default_factory=list)
    """Whose rows stand where, in order."""
    metas: dict[ShardId, tuple[int, bytes]] = field(default_factory=dict)
    parts: list[object] = field(default_factory=list)
    """The values of the parts' rows."""

    def take(self, deed: Shared) -> DiskError | None:
        """Take a deed in, or refuse it; what is refused leaves no trace."""
        match deed:
            case Append():
                return self._append(deed)
            case SaveMeta(shard, body):
                version = self.metas[shard][0] if shard in self.metas else self._copy(shard).meta_version
                self.metas[shard] = (version + 1, body)
            case StagePart(shard, number, part, body):
                self.parts += (shard, number, part, body)
        return None

    def commit(self) -> None:
        """Make everything durable, then show it; raises sqlite3.Error."""
        dead = self.disk.index.dead[:PURGE_ROWS]
        if self.metas or self.parts or dead or self.count > ROWS_MAX:
            self._commit_all(dead)
        elif self.rows:
            insert(self.disk.database, RECORDS, self.rows)
        self._show(dead)

    def _append(self, deed: Append) -> DiskError | None:
        shard, records = deed.shard, deed.records
        lsn, generation, hashed, body = records[0]
        copy = self._copy(shard)
        if not copy.whole:
            return DiskError(f"shard {shard} is damaged on this disk, and takes nothing more")
        tip = self.tips.get(shard) or copy.tip
        if lsn != tip.lsn + 1 or hashed != record_hash(tip.hash, lsn, generation, body):
            return DiskError(f"entry {lsn} of shard {shard} does not follow entry {tip.lsn}, the last one on disk")
        first_place = self.disk.index.next_place + self.count
        self.rows += values_of(first_place, shard, records)
        self.count += len(records)
        self.runs.append((shard, range(first_place, first_place + len(records))))
        self.tips[shard] = tip_of(records[-1])
        return None

    def _copy(self, shard: ShardId) -> CopyIndex:
        return self.disk.index.copies.get(shard) or CopyIndex()

    def _meta_rows(self) -> list[object]:
        values: list[object] = []
        for shard, (version, body) in self.metas.items():
            values += (shard, version, body, meta_checksum(shard, version, body))
        return values

    def _commit_all(self, dead: list[int]) -> None:
        database = self.disk.database
        database.execute("BEGIN")
        insert(database, RECORDS, self.rows)
        insert(database, METAS, self._meta_rows())
        insert(database, PARTS, self.parts)
        if dead:
            delete(database, dead)
        database.execute("COMMIT")

    def _show(self, dead: list[int]) -> None:
        index = self.disk.index
        del index.dead[: len(dead)]
        index.next_place += self.count
        for shard, places in self.runs:
            index.copy(shard).places.extend(places)
        for shard, (version, _) in self.metas.items():
            index.copy(shard).meta_version = version
        for shard, tip in self.tips.items():
            index.copy(shard).tip = tip
        for shard in self.tips.keys() | self.metas.keys():
            note(self.disk, shard, index.copy(shard))


def note(disk: Disk, shard: ShardId, copy: CopyIndex) -> None:
    """Note how far a copy has come."""
    lsn, _, hashed = copy.tip
    disk.marks.note(shard, Mark(lsn, hashed, copy.meta_version))
