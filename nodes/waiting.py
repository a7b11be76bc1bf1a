"""Who waits at a copy: writers for their commit, readers for theirs and for leases, requests for admission."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from core.errors import TwinholdError
from nodes.ledger import Submitted
from nodes.views import Outcome, QueryOutcome

Answer: TypeAlias = Callable[[Outcome], None]
Told = TypeVar("Told", Outcome, QueryOutcome)


@dataclass(slots=True)
class Writers:
    """Answers that leave when their entry is committed; a retry waits for the entry it repeats."""

    released_lsn: int = 0
    count: int = 0
    _waiting: dict[int, list[tuple[Answer, Outcome]]] = field(default_factory=dict)

    def add(self, lsn: int, outcome: Outcome, done: Answer) -> None:
        """Hold an answer back until ``lsn`` is committed."""
        self._waiting.setdefault(lsn, []).append((done, outcome))
        self.count += 1

    def release(self, upto_lsn: int) -> None:
        """Let go of every answer up to a place beyond the last one, in the order of the journal."""
        first, self.released_lsn = self.released_lsn + 1, upto_lsn
        if not self.count:
            return
        for lsn in range(first, upto_lsn + 1):
            for done, outcome in self._waiting.pop(lsn, ()):
                self.count -= 1
                done(outcome)

    def fail(self, error: TwinholdError) -> None:
        """Tell everybody who still waits the same."""
        waiting, self._waiting, self.count = self._waiting, {}, 0
        for held in waiting.values():
            for done, _ in held:
                done(error)


@dataclass(slots=True)
class Reader(Generic[Told]):
    """An answer that was computed at arrival, and the place that must be committed before it leaves."""

    lsn: int
    deadline: float
    outcome: Told
    done: Callable[[Told], None]

    def answer(self) -> None:
        """Give it out."""
        self.done(self.outcome)


@dataclass(slots=True)
class Queued:
    """A request that waits until it is admitted here, or forwarded."""

    since: float
    submitted: Submitted
    done: Answer


@dataclass(slots=True)
class Waiting:
    """All of them."""

    writers: Writers = field(default_factory=Writers)
    readers: "deque[Reader[Outcome] | Reader[QueryOutcome]]" = field(default_factory=deque)
    queue: deque[Queued] = field(default_factory=deque)

    @property
    def timed(self) -> bool:
        """Say whether anybody waits who has a deadline."""
        return bool(self.readers or self.queue)

    def expire(self, now: float, patience_s: float, error: Callable[[str], TwinholdError]) -> None:
        """Answer whoever waited for too long: certainly not done, or not read; ``patience_s`` is the queue's."""
        while self.readers and self.readers[0].deadline <= now:
            self.readers.popleft().done(error("read"))
        while self.queue and self.queue[0].since + patience_s <= now:
            self.queue.popleft().done(error("command"))

    def take_queue(self) -> Iterator[Queued]:
        """Empty the queue, oldest first; what is queued meanwhile stays."""
        for _ in range(len(self.queue)):
            yield self.queue.popleft()

    def fail(self, *, writers: TwinholdError, others: TwinholdError) -> None:
        """Answer everybody: this copy no longer serves."""
        self.writers.fail(writers)
        readers, self.readers = self.readers, deque()
        for reader in readers:
            reader.done(others)
        for queued in self.take_queue():
            queued.done(others)
