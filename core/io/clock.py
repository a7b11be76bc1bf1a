"""The real clock: CLOCK_BOOTTIME on an asyncio loop; implements the ports Clock and Spawn."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import ceil


def boottime_s() -> float:
    """Read the clock that never goes back and goes on while the machine is suspended (monotonic stands still)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LoopClock:
    """Time and slices of work on one event loop; the loop's own timers run on CLOCK_MONOTONIC, only waits use them.

    ``before``, when set, runs before every timer: a clock that jumped is noticed before anything acts on it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.before: Callable[[], None] | None = None
        self._steps: deque[Callable[[], bool]] = deque()

    def now(self) -> float:
        """Return seconds since boot."""
        return boottime_s()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Run ``callback`` once ``now() >= when``.

        uvloop rounds a wait to the nearest millisecond; one that ends too early would be asked for again and again.
        """
        wait_ms = max(0, ceil((when - boottime_s()) * 1000))
        return self._loop.call_later(wait_ms / 1000, self._due, callback)

    def later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` at the next turn."""
        self._loop.call_soon(callback)

    def soon(self, step: Callable[[], bool]) -> None:
        """Call ``step`` once per turn until it returns False; several such jobs take turns."""
        self._steps.append(step)
        if len(self._steps) == 1:
            self._loop.call_soon(self._turn)

    def _due(self, callback: Callable[[], None]) -> None:
        if self.before is not None:
            self.before()
        callback()

    def _turn(self) -> None:
        step = self._steps[0]
        try:
            goes_on = step()
        finally:
            self._steps.popleft()
            if self._steps:
                self._loop.call_soon(self._turn)
        if goes_on:
            self.soon(step)
