"""Performs what the machine of one call decides: attempts, timers, the final answer."""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from client.call import Abandon, Action, Call, Event, Failed, Finish, GiveUp, Moved, Send, Succeeded, Target
from core.errors import TwinholdError
from core.machine import NEVER, Output
from core.ports import Clock, Timer

Got = TypeVar("Got")
Got_co = TypeVar("Got_co", covariant=True)


class Attempts(Protocol[Got_co]):
    """How one kind of call makes an attempt."""

    def begin(
        self,
        send: Send,
        answered: Callable[[Got_co], None],
        failed: Callable[[TwinholdError, bool], None],
    ) -> Callable[[], None]:
        """Make an attempt; one of the two is called later, never inside. Returns how to abandon it."""
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
    """One call under way."""

    __slots__ = ("_abandon", "_attempts", "_call", "_clock", "_timer", "done")

    def __init__(self, call: Call[Got], attempts: Attempts[Got], clock: Clock) -> None:
        self.done: asyncio.Future[Got] = asyncio.get_running_loop().create_future()
        self._call = call
        self._attempts = attempts
        self._clock = clock
        self._timer: Timer | None = None
        self._abandon: Callable[[], None] | None = None

    def tell(self, event: Event[Got]) -> None:
        """Hand the machine an event and do what it says."""
        self._perform(self._call.on(event, self._clock.now()))

    def moved(self, target: Target) -> None:
        """Hear that the map names somebody."""
        self.tell(Moved(target))

    def cut(self, error: TwinholdError) -> None:
        """End the call with an error of the caller's making."""
        self.stop()
        if not self.done.done():
            self.done.set_exception(error)

    def stop(self) -> None:
        """Forget the call: its caller went away."""
        self._clear_timer()
        if self._abandon is not None:
            self._abandon()
            self._abandon = None

    def _wake(self) -> None:
        self._timer = None
        self._perform(self._call.wake(self._clock.now()))

    def _perform(self, output: Output[Action[Got]]) -> None:
        self._clear_timer()
        for action in output.actions:
            match action:
                case Send():
                    self._send(action)
                case Abandon():
                    if self._abandon is not None:
                        self._abandon()
                        self._abandon = None
                case Finish(answer):
                    if not self.done.done():
                        self.done.set_result(answer)
                case GiveUp(error):
                    if not self.done.done():
                        self.done.set_exception(error)
        if output.wake_at != NEVER and not self.done.done():
            self._timer = self._clock.call_at(output.wake_at, self._wake)

    def _send(self, send: Send) -> None:
        attempt = send.attempt

        def answered(answer: Got) -> None:
            self._abandon = None
            self.tell(Succeeded(attempt, answer))

        def failed(error: TwinholdError, certain: bool) -> None:
            self._abandon = None
            self.tell(Failed(attempt, error, certain))

        self._abandon = self._attempts.begin(send, answered, failed)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
