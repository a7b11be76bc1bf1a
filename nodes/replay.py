"""Brings a copy's state up to its journal: at once when little is missing, else in slices between other work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from core.errors import TwinholdError
from nodes.ledger import Ledger, Loading
from nodes.pair_state import CopyState
from nodes.records import Record
from nodes.world import World

SLICE_ENTRIES = 200
"""Entries applied in one step: a few milliseconds, well below the 20 that a turn may take."""
SLICE_BYTES = 256 * 1024
Found = TypeVar("Found")


class Replay:
    """Owns the ledger of a copy.

    ``moved`` is called when a slice was applied; ``broke`` when the disk lied, or the journal can't be read here.
    """

    def __init__(
        self, world: World, state: CopyState, *, moved: Callable[[], None], broke: Callable[[TwinholdError], None]
    ) -> None:
        self._world = world
        self._state = state
        self._moved = moved
        self._broke = broke
        self._busy = False
        self._life = 0
        self.ledger = Ledger(state.shard, world.apps, world.window)
        self.loaded = False

    @property
    def target_lsn(self) -> int:
        """Up to where the state should be: an owner's whole journal, else what is committed."""
        return self._state.tip.lsn if self._state.owner else self._state.commit_lsn

    @property
    def warm(self) -> bool:
        """Say whether the state is up to date."""
        return self.loaded and self.ledger.applied_lsn >= self.target_lsn

    def pause(self) -> None:
        """Stop until ``reload``: the journal is being replaced."""
        self._life += 1
        self.loaded = False

    def reload(self) -> None:
        """Throw the state away and build it anew from the snapshot and the journal, in slices."""
        self._life += 1
        self.loaded, self._busy = False, True
        life = self._life
        self._world.spawn.soon(lambda: self._load(life))

    def catch_up(self) -> None:
        """Apply what is missing: a few entries from memory now, more of them in slices."""
        if not self.loaded or self._busy:
            return
        applied_lsn = self.ledger.applied_lsn
        missing = self.target_lsn - applied_lsn
        if missing <= 0:
            return
        records = self._state.since(applied_lsn) if missing <= SLICE_ENTRIES else None
        if records is not None:
            self._guarded(lambda: self._apply(records))
        else:
            self._busy = True
            life = self._life
            self._world.spawn.soon(lambda: self._slice(life))

    def _load(self, life: int) -> bool:
        if life != self._life:
            return False
        shard, apps, window = self._state.shard, self._world.apps, self._world.window
        self.ledger = Ledger(shard, apps, window)
        found = self._guarded(lambda: self._world.journal.load_snapshot(shard))
        if found is None:
            if life == self._life:
                self.loaded = True
                self._world.spawn.soon(lambda: self._slice(life))
            return False
        loading, parts = Loading(shard, apps, window), iter(found[1])
        self._world.spawn.soon(lambda: self._load_part(life, loading, parts))
        return False

    def _load_part(self, life: int, loading: Loading, parts: Iterator[bytes]) -> bool:
        if life != self._life:
            return False
        part = next(parts, None)
        if part is not None:
            return self._guarded(lambda: _taken(loading, part)) is not None
        ledger = self._guarded(loading.ledger)
        if ledger is not None:
            self.ledger, self.loaded = ledger, True
            self._world.spawn.soon(lambda: self._slice(life))
        return False

    def _guarded(self, step: Callable[[], Found]) -> Found | None:
        """Take a step that the disk may spoil."""
        try:
            return step()
        except TwinholdError as error:
            self._life += 1
            self._broke(error)
            return None

    def _slice(self, life: int) -> bool:
        """Apply one slice; says whether more are needed."""
        if life != self._life:
            return False
        records = self._guarded(self._next)
        if records is None or self._guarded(lambda: self._apply(records)) is None:
            return False
        goes_on = self._busy = bool(records) and self.ledger.applied_lsn < self.target_lsn
        self._moved()
        return goes_on

    def _next(self) -> Sequence[Record]:
        after = self.ledger.applied_lsn
        records = self._state.since(after)
        if records is None and self._state.cutting:
            return ()  # the disk still shows what is being cut; the end of the cut calls again
        if records is None:
            records = tuple(self._world.journal.read(self._state.shard, after_lsn=after, limit_bytes=SLICE_BYTES))
        return records[:SLICE_ENTRIES]

    def _apply(self, records: Iterable[Record]) -> int:
        """Apply entries up to the target; returns the last one that the state holds."""
        ledger, target = self.ledger, self.target_lsn
        for record in records:
            if record.lsn > target:
                break
            ledger.apply(record.lsn, record.body)
        return ledger.applied_lsn


def _taken(loading: Loading, part: bytes) -> bool:
    loading.take(part)
    return True
