"""A tenant's committed entries, pulled by the reader: a cursor on the journal, nothing is buffered for anybody."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from core.errors import TwinholdError
from nodes.records import Record
from nodes.views import CaughtUpStep, EndedStep, EntryStep, GapStep, Step

TAKE_ENTRIES = 256
TAKE_BYTES = 256 * 1024


class Source(Protocol):
    """What a subscription reads from: the copy that serves the shard."""

    @property
    def commit_lsn(self) -> int:
        """The last entry that may be shown (I11)."""
        ...

    @property
    def floor_lsn(self) -> int:
        """Entries up to this one are no longer kept one by one."""
        ...

    def entries(self, *, after_lsn: int, limit_bytes: int) -> Sequence[Record]:
        """Read entries in order."""
        ...

    def tenant_of(self, record: Record) -> str:
        """Say whose entry it is."""
        ...


class Subscription:
    """One reader's place. ``wake`` is called when ``take`` has something after it had nothing."""

    def __init__(
        self,
        source: Source,
        *,
        tenant: str,
        after_lsn: int,
        wake: Callable[[], None],
        closed: Callable[["Subscription"], None],
    ) -> None:
        self._source = source
        self._tenant = tenant
        self._at_lsn = after_lsn
        self._told_lsn = -1
        self._wake = wake
        self._closed = closed
        self._idle = True
        self._ended: TwinholdError | None = None

    def take(self) -> Sequence[Step]:
        """Return the next steps, at most about 256 KiB of them; empty: nothing new, ``wake`` will be called."""
        if self._ended is not None:
            return [EndedStep(self._ended)]
        steps = list(self._steps())
        self._idle = not steps
        return steps

    def close(self) -> None:
        """Forget it."""
        self._closed(self)

    def moved(self) -> None:
        """Note that more is committed."""
        if self._idle:
            self._idle = False
            self._wake()

    def end(self, error: TwinholdError) -> None:
        """End it: the copy no longer serves, or its reader asks for what it does not have."""
        self._ended = error
        self._idle = True
        self.moved()

    def _steps(self) -> Iterable[Step]:
        commit_lsn, floor_lsn = self._source.commit_lsn, self._source.floor_lsn
        if self._at_lsn < floor_lsn:
            yield GapStep(self._at_lsn + 1, floor_lsn)
            self._at_lsn = floor_lsn
        for record in self._source.entries(after_lsn=self._at_lsn, limit_bytes=TAKE_BYTES)[:TAKE_ENTRIES]:
            if record.lsn > commit_lsn:
                break
            self._at_lsn = record.lsn
            if self._source.tenant_of(record) == self._tenant:
                yield EntryStep(record.lsn, record.body)
        if self._at_lsn >= commit_lsn and self._told_lsn < self._at_lsn:
            self._told_lsn = self._at_lsn
            yield CaughtUpStep(self._at_lsn)
