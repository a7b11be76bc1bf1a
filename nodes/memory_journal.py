"""The journal in memory: an honest adapter for tests and for the simulated world.

A ``MemoryDisk`` is what survives a crash; a ``MemoryJournal`` is one life of a process on it. Deeds become durable in
the order in which they came, a group at a time, when ``later`` calls back: what is asked for meanwhile waits for the
next group. What is not durable, a crash loses, down to any point between two deeds. Nothing shows before it is durable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from core.copies import NOTHING_QUARANTINED, Quarantined
from core.errors import DamagedError, UnavailableError
from core.names import CopyId, ShardId, copy_id
from nodes.ports import CopyMeta, DiskError, Recovered
from nodes.quarantine import counted
from nodes.records import EMPTY, Record, Tip, following, tip_of
from nodes.recovery import Progress, checked_run, checked_snapshot, snapshot_hash

Done = Callable[[DiskError | None], None]
Deed = Callable[[], DiskError | None]
Later = Callable[[Callable[[], None]], None]


@dataclass(slots=True)
class Shelf:
    """One copy, as it lies on the disk."""

    meta: CopyMeta | None = None
    floor: Tip = EMPTY
    records: list[Record] = field(default_factory=list)
    snapshot: tuple[Tip, list[bytes], bytes] | None = None

    @property
    def tip(self) -> Tip:
        """The last record's place."""
        return tip_of(self.records[-1]) if self.records else self.floor

    @property
    def last_lsn(self) -> int:
        """The last record's number."""
        return self.records[-1].lsn if self.records else self.floor.lsn

    def index(self, lsn: int) -> int:
        """How many records come up to and including ``lsn``."""
        return lsn - self.floor.lsn


@dataclass(slots=True)
class MemoryDisk:
    """What survives a crash, and what can go wrong with it.

    Args:
        disk_id: random, made with the disk.
    """

    disk_id: str
    shelves: dict[ShardId, Shelf] = field(default_factory=dict)
    asides: dict[ShardId, list[Shelf]] = field(default_factory=dict)
    orphans: list[tuple[ShardId, tuple[Record, ...]]] = field(default_factory=list)
    orphan_snapshots: list[tuple[ShardId, Tip, list[bytes]]] = field(default_factory=list)
    quarantines: dict[ShardId, Quarantined] = field(default_factory=dict)
    refusal: str = ""
    """Not empty: the disk is full, read-only or gone, and every write is refused with this line."""
    locked: bool = False

    def flip(self, shard: ShardId, lsn: int) -> None:
        """Change one bit of a durable record; doing it again changes it back."""
        shelf = self.shelves[shard]
        place = shelf.index(lsn) - 1
        shelf.records[place] = _flipped(shelf.records[place])

    def flip_snapshot(self, shard: ShardId) -> None:
        """Change one bit of a durable snapshot."""
        snapshot = self.shelves[shard].snapshot
        assert snapshot is not None, f"shard {shard} has no snapshot"
        tip, parts, checksum = snapshot
        self.shelves[shard].snapshot = (tip, [_flip(parts[0]), *parts[1:]], checksum)

    def lose_tail(self, shard: ShardId, keep_lsn: int) -> None:
        """Forget durable records, as a rolled-back disk does."""
        shelf = self.shelves[shard]
        del shelf.records[shelf.index(keep_lsn) :]


class MemoryJournal:
    """The port ``Journal`` over a ``MemoryDisk``.

    Args:
        disk: nobody else's at the time.
        later: calls back later, never inside the call; how long that takes is the time of an fsync.
        soon: calls back in the next turn; None: as ``later`` does.

    Raises:
        UnavailableError: another process has the disk.
    """

    def __init__(self, disk: MemoryDisk, later: Later, soon: Later | None = None) -> None:
        if disk.locked:
            raise UnavailableError(f"disk {disk.disk_id} is in use by another process: end that one")
        disk.locked = True
        self._disk = disk
        self._later, self._soon = later, soon or later
        self.before: Callable[[], None] = _nothing
        """Called before each deed is taken in; a process that dies there dies between two deeds."""
        self._waiting: list[tuple[Deed, Done, bool]] = []
        self._untold: list[tuple[Done, DiskError | None]] = []
        """Durable or refused, and nobody was told yet: all of them quiet, or about to be told."""
        self._syncing = 0
        """So many of those that wait will be durable when the disk calls back."""
        self._added = self._committed = self._hasty = 0
        """How many deeds there were, how many are over, and up to which one nobody is to be kept waiting."""
        self._alive = True
        self._failing: tuple[str, bool] | None = None

    @property
    def disk_id(self) -> str:
        """Random, made with the disk."""
        return self._disk.disk_id

    @property
    def waiting(self) -> int:
        """How many deeds are not durable yet: what a crash can lose."""
        return len(self._waiting)

    def crash(self, *, keep: int = 0, tear: bool = False) -> None:
        """Stop this process: nobody is called back any more.

        Args:
            keep: so many of the waiting deeds had reached the disk, though nobody was told.
            tear: the next one had too, in part: if it is an append, its last record is torn.
        """
        for deed, _, _ in self._waiting[:keep]:
            deed()
        torn = self._waiting[keep : keep + 1] if tear else []
        before = {shard: shelf.last_lsn for shard, shelf in self._disk.shelves.items()}
        for deed, _, _ in torn:
            deed()
            self._tear(before)
        self.close()

    def close(self) -> None:
        """Let the disk go; what is not durable is lost."""
        self._alive = False
        self._disk.locked = False
        self._waiting = []

    def fail_next(self, cause: str, *, kept: bool) -> None:
        """Let the next group's fsync fail; ``kept``: it reached the disk all the same."""
        self._failing = (cause, kept)

    def recover(self) -> Sequence[Recovered]:
        """Read what there is, every hash checked."""
        found = (self.recover_one(shard) for shard in sorted(self._disk.shelves))
        return [one for one in found if one is not None]

    def recover_one(self, shard: ShardId) -> Recovered | None:
        """The same for one shard."""
        shelf = self._disk.shelves.get(shard)
        if shelf is None:
            return None
        progress = Progress(shard, shelf.floor, shelf.floor)
        for record in shelf.records:
            progress.take(record)
        progress.damage = progress.damage or self._snapshot_damage(shard)
        return progress.recovered(shelf.meta or CopyMeta(self.fresh_copy_id(shard), progress.tip.generation))

    def append(self, shard: ShardId, records: Sequence[Record], done: Done, *, quiet: bool) -> None:
        """Add records after the last one."""
        self._do(partial(self._append, shard, tuple(records)), done, quiet=quiet)

    def hasten(self) -> None:
        """Tell of everything that was asked for so far as soon as it is durable."""
        self._hasty = self._added
        if self._untold:
            self._soon(self._tell)

    def save_meta(self, shard: ShardId, meta: CopyMeta, done: Done) -> None:
        """Replace the copy's meta."""
        self._do(partial(self._save_meta, shard, meta), done)

    def truncate(
        self,
        shard: ShardId,
        *,
        keep_lsn: int,
        orphan: bool,
        done: Done,
        lossy: bool = False,
    ) -> None:
        """Drop everything after ``keep_lsn``; with ``orphan``, keep it with the disk's orphans."""
        self._do(partial(self._truncate, shard, keep_lsn, orphan=orphan, lossy=lossy), done)

    def read(self, shard: ShardId, *, after_lsn: int, limit_bytes: int) -> list[Record]:
        """Read records in order, at least one if there is one, then until the limit."""
        shelf = self._disk.shelves.get(shard)
        before = self._place(shard, after_lsn)
        if shelf is None or before is None:
            return []
        taken, size = list[Record](), 0
        for record in shelf.records[shelf.index(after_lsn) :]:
            if taken and size + len(record.body) > limit_bytes:
                break
            taken.append(record)
            size += len(record.body)
        return checked_run(shard, before, taken, until_lsn=shelf.last_lsn)

    def tip_at(self, shard: ShardId, lsn: int) -> Tip | None:
        """Look the hash at a place up; raises DamagedError."""
        place = self._place(shard, lsn)
        if place is not None and lsn > self._floor(shard):
            self.read(shard, after_lsn=lsn - 1, limit_bytes=1)
        return place

    def _floor(self, shard: ShardId) -> int:
        shelf = self._disk.shelves.get(shard)
        return 0 if shelf is None else shelf.floor.lsn

    def _place(self, shard: ShardId, lsn: int) -> Tip | None:
        shelf = self._disk.shelves.get(shard)
        if shelf is None:
            return EMPTY if lsn == 0 else None
        if lsn == shelf.floor.lsn:
            return shelf.floor
        if not shelf.floor.lsn < lsn <= shelf.last_lsn:
            return None
        return tip_of(shelf.records[shelf.index(lsn) - 1])

    def save_snapshot(
        self, shard: ShardId, tip: Tip, parts: Sequence[bytes], done: Done, *, orphan: bool = False
    ) -> None:
        """Keep the app state as of ``tip``, and drop the records up to it, or all."""
        self._do(partial(self._save_snapshot, shard, tip, list(parts), orphan=orphan), done)

    def quarantined(self, shard: ShardId) -> Quarantined:
        """Say what the orphans hold of a shard although it may have been acknowledged."""
        return self._disk.quarantines.get(shard, NOTHING_QUARANTINED)

    def load_snapshot(self, shard: ShardId) -> tuple[Tip, list[bytes]] | None:
        """Read the snapshot back; raises DamagedError."""
        shelf = self._disk.shelves.get(shard)
        if shelf is None or shelf.snapshot is None:
            return None
        tip, parts, checksum = shelf.snapshot
        return checked_snapshot(shard, tip, list(parts), checksum)

    def set_aside(self, shard: ShardId, done: Done) -> None:
        """Move a damaged copy out of the way."""
        self._do(partial(self._set_aside, shard), done)

    def fresh_copy_id(self, shard: ShardId) -> CopyId:
        """Name the copy that a new journal of this shard would be."""
        return copy_id(self._disk.disk_id, len(self._disk.asides.get(shard, ())) + 1)

    def _do(self, deed: Deed, done: Done, *, quiet: bool = False) -> None:
        self.before()
        self._added += 1
        self._waiting.append((deed, done, quiet))
        if not self._syncing:
            self._begin()

    def _begin(self) -> None:
        self._syncing = len(self._waiting)
        self._later(self._sync)

    def _sync(self) -> None:
        if not self._alive:
            return
        group, self._waiting = self._waiting[: self._syncing], self._waiting[self._syncing :]
        error, kept = self._refusal()
        waited_for = self._committed < self._hasty
        for deed, done, quiet in group:
            outcome = deed() if kept else None
            self._untold.append((done, error or outcome))
            waited_for = waited_for or not quiet or error is not None or outcome is not None
        self._committed += len(group)
        self._syncing = 0
        if self._waiting:
            self._begin()
        if waited_for:
            self._tell()

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for done, outcome in untold:
            if self._alive:
                done(outcome)

    def _refusal(self) -> tuple[DiskError | None, bool]:
        """Say whether the group fails, and whether it reaches the disk."""
        if self._disk.refusal:
            return DiskError(self._disk.refusal), False
        if self._failing is not None:
            (cause, kept), self._failing = self._failing, None
            return DiskError(cause), kept
        return None, True

    def _shelf(self, shard: ShardId) -> Shelf:
        return self._disk.shelves.setdefault(shard, Shelf())

    def _append(self, shard: ShardId, records: tuple[Record, ...]) -> DiskError | None:
        shelf = self._shelf(shard)
        tip = shelf.tip
        for record in records:
            if record != following(tip, record.generation, record.body):
                return DiskError(f"entry {record.lsn} of shard {shard} does not follow entry {tip.lsn}")
            tip = tip_of(record)
        shelf.records.extend(records)
        return None

    def _save_meta(self, shard: ShardId, meta: CopyMeta) -> None:
        self._shelf(shard).meta = meta

    def _truncate(self, shard: ShardId, keep_lsn: int, *, orphan: bool, lossy: bool) -> DiskError | None:
        shelf = self._disk.shelves.get(shard, Shelf())
        if 0 < keep_lsn < shelf.floor.lsn:
            return DiskError(f"entries up to {shelf.floor.lsn} of shard {shard} are in its snapshot")
        kept = max(0, shelf.index(keep_lsn))
        dropped = tuple(shelf.records[kept:])
        del shelf.records[kept:]
        if keep_lsn < shelf.floor.lsn:
            self._drop_snapshot(shard, shelf, orphan=orphan)
        if orphan and dropped:
            self._disk.orphans.append((shard, dropped))
        if lossy:
            self._quarantine(shard, counted(record.body for record in dropped))
        return None

    def _drop_snapshot(self, shard: ShardId, shelf: Shelf, *, orphan: bool) -> None:
        assert shelf.snapshot is not None, f"shard {shard} has entries in a snapshot, and no snapshot"
        if orphan:
            self._orphan_snapshot(shard, shelf)
        shelf.floor, shelf.snapshot = EMPTY, None

    def _orphan_snapshot(self, shard: ShardId, shelf: Shelf) -> None:
        assert shelf.snapshot is not None, "there is one to keep"
        self._disk.orphan_snapshots.append((shard, *shelf.snapshot[:2]))
        self._quarantine(shard, Quarantined(snapshot_lsn=shelf.floor.lsn))

    def _quarantine(self, shard: ShardId, more: Quarantined) -> None:
        self._disk.quarantines[shard] = self.quarantined(shard).joined(more)

    def _save_snapshot(self, shard: ShardId, tip: Tip, parts: list[bytes], *, orphan: bool) -> None:
        shelf = self._shelf(shard)
        own = self._place(shard, tip.lsn) == tip
        if orphan and not own and shelf.snapshot is not None:
            self._orphan_snapshot(shard, shelf)
        shelf.records = shelf.records[shelf.index(tip.lsn) :] if own else []
        shelf.floor = tip
        shelf.snapshot = (tip, parts, snapshot_hash(shard, tip, parts))

    def _set_aside(self, shard: ShardId) -> None:
        shelf = self._disk.shelves.pop(shard, None)
        self._disk.asides.setdefault(shard, []).append(shelf or Shelf())

    def _snapshot_damage(self, shard: ShardId) -> str:
        try:
            self.load_snapshot(shard)
        except DamagedError as error:
            return error.message
        return ""

    def _tear(self, before: dict[ShardId, int]) -> None:
        for shard, shelf in self._disk.shelves.items():
            if shelf.records and shelf.last_lsn > before.get(shard, 0):
                last = shelf.records[-1]
                shelf.records[-1] = last._replace(body=last.body[: len(last.body) // 2])


def _nothing() -> None:
    pass


def _flipped(record: Record) -> Record:
    return record._replace(body=_flip(record.body)) if record.body else record._replace(hash=_flip(record.hash))


def _flip(some: bytes) -> bytes:
    return bytes((some[0] ^ 1,)) + some[1:]
