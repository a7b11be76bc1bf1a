"""Performs what the machine of one call decides: attempts, timers, the final answer."""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from client.call import Abandon, Action, Call, Event, Failed, Finish, GiveUp, Moved, Send, Started, Succeeded, Target
from core.errors import TwinholdError
from core.machine import NEVER, Output
from core.ports import Clock

Got = TypeVar("Got")
Got_co = TypeVar("Got_co", covariant=True)
Got_contra = TypeVar("Got_contra", contravariant=True)


class Hearer(Protocol[Got_contra]):
    """Whoever hears what came of an attempt."""

    def answered(self, attempt: int, answer: Got_contra) -> None:
        """Hear its answer."""
        ...

    def failed(self, attempt: int, error: TwinholdError, certain: bool) -> None:
        """Hear that it failed; ``certain``: it had no effect."""
        ...


class Attempts(Protocol[Got_co]):
    """How one kind of call makes an attempt."""

    def begin(self, send: Send, hearer: Hearer[Got_co]) -> Callable[[], None]:
        """Make an attempt; the hearer is told once, later, never inside. Returns how to abandon it."""
        ...


class UnderWay(Protocol):
    """A call under way, as whoever follows the map sees it."""

    def moved(self, target: Target) -> None:
        """Hear that the map names somebody."""
        ...

    def cut(self, error: TwinholdError) -> None:
        """End now."""
        ...


class Sleeper(Protocol):
    """Whoever waits for its time."""

    over: bool
    """It need not be woken any more."""

    def wake(self) -> None:
        """Look at what time has brought; harmless when it is too early."""
        ...


class Patience:
    """Wakes calls whose time has come. Hardly any is ever woken, so a call costs one entry in a queue and no timer.

    Args:
        clock: whose time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self._clock = clock
        self._queue: deque[tuple[float, Sleeper]] = deque()
        """By time, which is the order in which attempts begin: they are all given up after as long."""
        self._ringing = False

    def wake_at(self, when: float, sleeper: Sleeper) -> None:
        """Wake a call at a time, or not at all if it is over by then."""
        queue = self._queue
        if queue and when < queue[-1][0]:
            self._clock.call_at(when, sleeper.wake)
            return
        queue.append((when, sleeper))
        if not self._ringing:
            self._ringing = True
            self._clock.call_at(when, self._ring)

    def _ring(self) -> None:
        """Wake those whose time it is, forget those that are over, and wait for the first of the others."""
        now, queue = self.now(), self._queue
        while queue and (queue[0][0] <= now or queue[0][1].over):
            sleeper = queue.popleft()[1]
            if not sleeper.over:
                sleeper.wake()
        self._ringing = bool(queue)
        if queue:
            self._clock.call_at(queue[0][0], self._ring)


class Running(Generic[Got]):
    """One call under way; every operation makes one, so it is without a task, a future and a timer.

    Args:
        call: the machine.
        attempts: how its attempts are made.
        patience: wakes it.
        among: the calls under way, this one among them from its start to its end.
        done: called once, with the answer or the error; not at all for a call that is stopped.
    """

    __slots__ = ("_abandon", "_among", "_attempts", "_call", "_done", "_patience", "_woken_at", "over")

    def __init__(
        self,
        call: Call[Got],
        attempts: Attempts[Got],
        patience: Patience,
        among: set[UnderWay],
        done: Callable[[Got | TwinholdError], None],
    ) -> None:
        self.over = False
        self._call = call
        self._attempts = attempts
        self._patience = patience
        self._among = among
        self._done = done
        self._woken_at = NEVER
        """It will be woken then, or before."""
        self._abandon: Callable[[], None] | None = None

    def start(self, target: Target | None) -> None:
        """Begin; None: the map does not know whom to ask yet."""
        self._among.add(self)
        self._tell(Started(target))

    def moved(self, target: Target) -> None:
        """Hear that the map names somebody."""
        if not self.over:
            self._tell(Moved(target))

    def answered(self, attempt: int, answer: Got) -> None:
        """Hear an attempt's answer."""
        self._abandon = None
        self._tell(Succeeded(attempt, answer))

    def failed(self, attempt: int, error: TwinholdError, certain: bool) -> None:
        """Hear that an attempt failed."""
        self._abandon = None
        self._tell(Failed(attempt, error, certain))

    def cut(self, error: TwinholdError) -> None:
        """End the call with an error of the caller's making."""
        self._end(error)

    def stop(self) -> None:
        """Forget the call: it is over, or its caller went away."""
        self.over = True
        self._among.discard(self)
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def wake(self) -> None:
        """Let the machine look at what time has brought."""
        if not self.over:
            self._woken_at = NEVER
            self._perform(self._call.wake(self._patience.now()))

    def _tell(self, event: Event[Got]) -> None:
        self._perform(self._call.on(event, self._patience.now()))

    def _perform(self, output: Output[Action[Got]]) -> None:
        for action in output.actions:
            match action:
                case Send():
                    self._abandon = self._attempts.begin(action, self)
                case Abandon():
                    if self._abandon is not None:
                        self._abandon()
                        self._abandon = None
                case Finish():
                    self._end(action.answer)
                case GiveUp(error):
                    self._end(error)
        if output.wake_at < self._woken_at and not self.over:
            self._woken_at = output.wake_at
            self._patience.wake_at(output.wake_at, self)

    def _end(self, outcome: Got | TwinholdError) -> None:
        if not self.over:
            self.stop()
            self._done(outcome)
