"""Performs what the machine of one call decides: attempts, timers, the final answer."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from client.call import Abandon, Action, Call, Event, Failed, Finish, GiveUp, Moved, Send, Started, Succeeded, Target
from core.errors import TwinholdError
from core.machine import NEVER, Output
from core.ports import Clock, Timer

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


class Running(Generic[Got]):
    """One call under way; every operation makes one, so it is without a task and without a future.

    Args:
        call: the machine.
        attempts: how its attempts are made.
        clock: whose time it is.
        among: the calls under way, this one among them from its start to its end.
        done: called once, with the answer or the error; not at all for a call that is stopped.
    """

    __slots__ = ("_abandon", "_among", "_attempts", "_call", "_clock", "_done", "_timer", "_timer_at")

    def __init__(
        self,
        call: Call[Got],
        attempts: Attempts[Got],
        clock: Clock,
        among: set[UnderWay],
        done: Callable[[Got | TwinholdError], None],
    ) -> None:
        self._call = call
        self._attempts = attempts
        self._clock = clock
        self._among = among
        self._done: Callable[[Got | TwinholdError], None] | None = done
        self._timer: Timer | None = None
        self._timer_at = NEVER
        self._abandon: Callable[[], None] | None = None

    def start(self, target: Target | None) -> None:
        """Begin; None: the map does not know whom to ask yet."""
        self._among.add(self)
        self._tell(Started(target))

    def moved(self, target: Target) -> None:
        """Hear that the map names somebody."""
        if self._done is not None:
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
        self._done = None
        self._among.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def _tell(self, event: Event[Got]) -> None:
        self._perform(self._call.on(event, self._clock.now()))

    def _wake(self) -> None:
        self._timer = None
        self._perform(self._call.wake(self._clock.now()))

    def _perform(self, output: Output[Action[Got]]) -> None:
        for action in output.actions:
            match action:
                case Send():
                    self._abandon = self._attempts.begin(action, self)
                case Abandon():
                    if self._abandon is not None:
                        self._abandon()
                        self._abandon = None
                case Finish(answer):
                    self._end(answer)
                case GiveUp(error):
                    self._end(error)
        if self._done is not None and (self._timer is None or output.wake_at != self._timer_at):
            self._wake_at(output.wake_at)

    def _end(self, outcome: Got | TwinholdError) -> None:
        done = self._done
        self.stop()
        if done is not None:
            done(outcome)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = None if when == NEVER else self._clock.call_at(when, self._wake)
