"""The real clock: CLOCK_BOOTTIME on an asyncio loop; implements the ports Clock and Spawn."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import ceil, floor

from core.alarms import Alarm, Alarms
from core.machine import NEVER

boottime_s: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Reads the clock that never goes back and goes on while the machine is suspended (monotonic stands still).

No function of ours: the clock is read some 500 times a second in a process at rest.
"""


class LoopClock:
    """Time and slices of work on one event loop; the loop's own timers run on CLOCK_MONOTONIC, only waits use them.

    One timer of the loop serves all alarms: what is due together costs one wake-up. ``before``, when set, runs before
    every callback: a clock that jumped is noticed before anything acts on it. ``late``, when set, is told by how many
    seconds each wake-up came too late.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = boottime_s
        """Returns seconds since boot."""
        self.before: Callable[[], None] | None = None
        self.late: Callable[[float], None] | None = None
        self._alarms = Alarms()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._ringing = False
        self._steps: deque[Callable[[], bool]] = deque()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm | asyncio.Handle:
        """Run ``callback`` once ``now() >= when``."""
        if when <= boottime_s():
            return self._loop.call_soon(self._run, callback)
        alarm = self._alarms.set(when, callback)
        if not self._ringing:
            self._wind()
        return alarm

    def later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` at the next turn."""
        self._loop.call_soon(callback)

    def soon(self, step: Callable[[], bool]) -> None:
        """Call ``step`` once per turn until it returns False; several such jobs take turns."""
        self._steps.append(step)
        if len(self._steps) == 1:
            self._loop.call_soon(self._turn)

    def _wind(self) -> None:
        """Set the loop's timer for the next alarm, if that is another one than before."""
        at = self._alarms.next_at()
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = None if at == NEVER else self._loop.call_later(_wait_s(at), self._ring)

    def _ring(self) -> None:
        """Run what is due; a callback that fails does not take the others with it."""
        now, due, self._timer, self._timer_at = boottime_s(), self._timer_at, None, NEVER
        if self.late is not None:
            self.late(now - due)
        self._ringing = True
        try:
            while (callback := self._alarms.take(now)) is not None:
                self._run(callback)
        finally:
            self._ringing = False
            self._wind()

    def _run(self, callback: Callable[[], None]) -> None:
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


def _wait_s(when: float) -> float:
    """Say how long the loop must wait so that it does not wake too early: that would cost a second wake-up.

    uvloop's own clock stands on the last whole millisecond, and it rounds waits to whole ones.
    """
    now = time.monotonic()
    return max(0, ceil((now + when - boottime_s()) * 1000) - floor(now * 1000)) / 1000
