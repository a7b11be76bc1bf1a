"""The journal's one thread: takes what has queued up, commits it with one fsync, and answers on the loop's thread."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from nodes.io.journal_cuts import cut
from nodes.io.journal_deeds import Deed, Disk, Draft, Install, SetAside, Truncate
from nodes.ports import DiskError

Done = Callable[[DiskError | None], None]
Job = tuple[Deed, Done]

GROUP_MAX = 1024
"""Deeds in one commit."""
GROUP_BYTES = 4 << 20
WAITING_MAX = 65_536
"""Deeds that wait for the disk; admission keeps far below, so that reaching it means that the disk stands still."""
ANSWERS_MAX = 128
"""Answers given in one turn of the loop: each sets work off there, and a turn stays short."""
_IDLE_S = 0.05


class JournalWriter:
    """Runs deeds in the order in which they come.

    Args:
        disk: nobody else's from ``start`` on.
        call_soon_threadsafe: runs a callback on the loop's thread, soon; the loop's method of that name.
    """

    def __init__(self, disk: Disk, call_soon_threadsafe: Callable[[Callable[[], None]], object]) -> None:
        self._disk = disk
        self._call = call_soon_threadsafe
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._held: Job | None = None
        self._waiting = 0
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """How many deeds are not answered yet."""
        return self._waiting

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, deed: Deed, done: Done) -> None:
        """Queue a deed; from the loop's thread."""
        if self._ending or self._waiting >= WAITING_MAX:
            cause = "the journal is closed" if self._ending else f"{WAITING_MAX} deeds wait for the disk already"
            self._call(partial(done, DiskError(cause)))
            return
        self._waiting += 1
        self._queue.put((deed, done))

    def close(self) -> None:
        """Do what is queued, then end the thread."""
        self._ending = True
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while group := self._next():
            outcomes = self._done_together(group)
            for start in range(0, len(group), ANSWERS_MAX):
                some = slice(start, start + ANSWERS_MAX)
                self._call(partial(self._settle, group[some], outcomes[some]))

    def _next(self) -> list[Job]:
        """Wait for work; empty: the end."""
        job = self._held or self._first()
        self._held = None
        if job is None:
            return []
        group, size = [job], 0
        while not _is_cut(job[0]) and len(group) < GROUP_MAX and size < GROUP_BYTES:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None or _is_cut(job[0]):
                self._hold(job)
                break
            group.append(job)
            size += _size(job[0])
        return group

    def _hold(self, job: Job | None) -> None:
        """Keep a job that begins the next group; the end is put back, it is the last in the queue anyway."""
        if job is None:
            self._queue.put(None)
        self._held = job

    def _first(self) -> Job | None:
        while self._disk.index.dead:
            try:
                return self._queue.get(timeout=_IDLE_S)
            except Empty:
                _guarded(Draft(self._disk).commit, self._disk.database)
        return self._queue.get()

    def _done_together(self, group: Sequence[Job]) -> list[DiskError | None]:
        first = group[0][0]
        if isinstance(first, Truncate | Install | SetAside):
            return [_guarded(partial(cut, self._disk, first), self._disk.database)]
        draft = Draft(self._disk)
        refused = [draft.take(deed) for deed, _ in group if not isinstance(deed, Truncate | Install | SetAside)]
        failed = _guarded(draft.commit, self._disk.database)
        return [refusal or failed for refusal in refused]

    def _settle(self, group: Sequence[Job], outcomes: Sequence[DiskError | None]) -> None:
        self._waiting -= len(group)
        for (_, done), outcome in zip(group, outcomes, strict=True):
            done(outcome)


def _guarded(work: Callable[[], None], database: sqlite3.Connection) -> DiskError | None:
    """Work on the disk; what it refuses becomes one line, and leaves nothing behind."""
    try:
        work()
    except (sqlite3.Error, OSError) as error:
        _roll_back(database)
        return DiskError(f"the journal's disk refuses: {error}: free space, or mend it")
    return None


def _roll_back(database: sqlite3.Connection) -> None:
    if database.in_transaction:
        try:
            database.execute("ROLLBACK")
        except sqlite3.Error:
            """A transaction that SQLite has rolled back by itself is gone already."""


def _is_cut(deed: Deed) -> bool:
    return isinstance(deed, Truncate | Install | SetAside)


def _size(deed: Deed) -> int:
    return 0 if isinstance(deed, Truncate | Install | SetAside) else deed.size_bytes
