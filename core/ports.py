"""What the protocol code needs from the world, written for the caller.

Drivers are plain synchronous objects: they hand a machine its events and perform its actions through these ports, and
an answer comes back later as a call of ``done``. Nothing here awaits, so the same drivers run on an asyncio loop in
production and on a heap of virtual time in the simulator. Every callback runs on the one thread of the host, never
inside the call that was given it.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

Answer_contra = TypeVar("Answer_contra", contravariant=True)


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Forget the callback; harmless when it has already run."""
        ...


class Clock(Protocol):
    """Time as one host sees it."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back and goes on while the machine is suspended."""
        ...

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 as this host believes them; for people, never for safety."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` once ``now() >= when``; a time in the past means at the next turn."""
        ...


class Rng(Protocol):
    """Seeded chance."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def getrandbits(self, bits: int) -> int:
        """Return ``bits`` random bits as an integer."""
        ...


class Spawn(Protocol):
    """Work that is too long for one turn, cut into steps."""

    def soon(self, step: Callable[[], bool]) -> None:
        """Call ``step`` once per turn until it returns False; other work runs between the turns."""
        ...


class Done(Protocol[Answer_contra]):
    """Where an answer goes."""

    def __call__(self, answer: Answer_contra, /) -> None:
        """Take the answer; called exactly once."""
        ...
