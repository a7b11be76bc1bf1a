"""Decides what a node archives next: which shard, what of it, and when.

Only the primary of a shard archives, and only what is committed; what it does belongs to the epoch that it serves in,
and is forgotten with it. It knows nothing of what was archived before until it has asked the archive: so it goes on
after a restart, and after a failover, where the last piece ends. One piece of a node is on its way at a time, and the
next waits until the last one's bytes are paid for: at a lower rate while the node has other work waiting.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, assert_never

from core.assignments import Fence
from core.machine import NEVER, Output
from core.names import ShardId
from nodes.records import Tip

YIELD = 4.0
"""A node under load archives so many times slower."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a node archives."""

    seal_s: float
    """A committed entry waits at most about so long to be sealed: what both copies' loss would cost."""
    seal_entries: int
    """So many are sealed at once."""
    bytes_per_s: float
    look_s: float
    """Between two looks at what is served and committed."""
    retry_s: float
    """A shard rests so long after a refusal."""


USUAL_PACE = Pace(seal_s=30.0, seal_entries=1_000, bytes_per_s=4 << 20, look_s=1.0, retry_s=5.0)


class Served(NamedTuple):
    """A shard of which this node is the primary, and serves."""

    shard: ShardId
    fence: Fence
    floor_lsn: int
    """Up to here the journal has a snapshot only."""
    commit_lsn: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What the node serves now; all of it. ``busy``: clients' work waits for its turn."""

    served: tuple[Served, ...]
    busy: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Up to where the archive holds the shard's journal, the first place of all if nowhere; and its last snapshot."""

    shard: ShardId
    fence: Fence
    end: Tip
    snapshot_lsn: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A piece is in the archive."""

    shard: ShardId
    fence: Fence
    after: Tip
    size_bytes: int
    snapshot: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not, or may not be: the archive refused, or the journal moved on."""

    shard: ShardId
    fence: Fence


Event: TypeAlias = Looked | Found | Kept | Failed


@dataclass(frozen=True, slots=True)
class Seek:
    """Ask the archive what it holds of the shard from a place on."""

    shard: ShardId
    fence: Fence
    from_lsn: int


@dataclass(frozen=True, slots=True)
class Seal:
    """Put the entries after a place into the archive: up to ``until_lsn``, or as many as a piece takes."""

    shard: ShardId
    fence: Fence
    after: Tip
    until_lsn: int


@dataclass(frozen=True, slots=True)
class CopySnapshot:
    """Put the journal's snapshot into the archive; entries between ``end`` and it, if any, are lost to the archive."""

    shard: ShardId
    fence: Fence
    end: Tip


Action: TypeAlias = Seek | Seal | CopySnapshot


@dataclass(slots=True)
class _Shard:
    """One shard, as long as it is served here in one epoch."""

    served: Served
    end: Tip | None = None
    """Up to where the archive has it; None: not asked yet."""
    snapshot_lsn: int = 0
    due_at: float = NEVER
    """When what is committed beyond ``end`` is to be sealed."""
    retry_at: float = 0.0


@dataclass(slots=True)
class Archiver:
    """The machine; every method is called on one thread."""

    pace: Pace
    _shards: dict[ShardId, _Shard] = field(default_factory=dict)
    _under_way: ShardId | None = None
    _free_at: float = 0.0
    """When the last piece's bytes are paid for."""
    _busy: bool = False

    @property
    def backlog(self) -> int:
        """Count the entries that are committed and not archived, as far as known."""
        known = (it.served.commit_lsn - it.end.lsn for it in self._shards.values() if it.end is not None)
        return sum(max(0, count) for count in known)

    def on(self, event: Event, now: float) -> Output[Action]:
        """Take what happened."""
        match event:
            case Looked():
                self._look(event, now)
            case Found() | Kept() | Failed():
                self._came_back(event, now)
            case _:
                assert_never(event)
        return self.wake(now)

    def wake(self, now: float) -> Output[Action]:
        """Begin what is due, unless something is under way."""
        if self._under_way is not None:
            return Output((), NEVER)
        if now < self._free_at:
            return Output((), self._free_at)
        ready = [it for it in self._shards.values() if it.retry_at <= now]
        for it in sorted(ready, key=lambda it: it.due_at):
            action = _next(it, self.pace, now)
            if action is not None:
                self._under_way = action.shard
                return Output((action,), NEVER)
        return Output((), NEVER)

    def _look(self, looked: Looked, now: float) -> None:
        self._busy = looked.busy
        served = {one.shard: one for one in looked.served}
        for shard in self._shards.keys() - served.keys():
            del self._shards[shard]
        for shard, one in served.items():
            known = self._shards.get(shard)
            if known is None or known.served.fence != one.fence:
                known = self._shards[shard] = _Shard(one)
            known.served = one
            self._set_due(known, now)

    def _set_due(self, it: _Shard, now: float) -> None:
        behind = it.end is not None and it.served.commit_lsn > it.end.lsn
        it.due_at = min(it.due_at, now + self.pace.seal_s) if behind else NEVER

    def _came_back(self, event: Found | Kept | Failed, now: float) -> None:
        if event.shard == self._under_way:
            self._under_way = None
        if isinstance(event, Kept):
            rate = self.pace.bytes_per_s / (YIELD if self._busy else 1.0)
            self._free_at = now + event.size_bytes / rate
        it = self._shards.get(event.shard)
        if it is None or it.served.fence != event.fence:
            return
        match event:
            case Found():
                it.end, it.snapshot_lsn = event.end, event.snapshot_lsn
            case Kept(snapshot=True):
                it.snapshot_lsn = event.after.lsn
                it.end = event.after if it.end is None or it.end.lsn < event.after.lsn else it.end
            case Kept():
                it.end, it.due_at = event.after, NEVER
            case Failed():
                it.end, it.retry_at = None, now + self.pace.retry_s
        self._set_due(it, now)


def _next(it: _Shard, pace: Pace, now: float) -> Action | None:
    served, end = it.served, it.end
    if end is None:
        return Seek(served.shard, served.fence, served.floor_lsn)
    if served.floor_lsn > it.snapshot_lsn and (served.floor_lsn > end.lsn or not _owes(it, pace, now)):
        return CopySnapshot(served.shard, served.fence, end)
    if _owes(it, pace, now):
        return Seal(served.shard, served.fence, end, served.commit_lsn)
    return None


def _owes(it: _Shard, pace: Pace, now: float) -> bool:
    assert it.end is not None, "what the archive holds is known"
    behind = it.served.commit_lsn - it.end.lsn
    return behind >= pace.seal_entries or (behind > 0 and now >= it.due_at)
