"""The real clock: CLOCK_BOOTTIME on an asyncio loop; implements the ports Clock and Spawn."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial

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
        self.before: Callable[[], object] | None = None
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
        if when <= self.now():
            return self._loop.call_soon(self._run, callback)
        alarm = self._alarms.set(when, callback)
        if not self._ringing and (at := self._alarms.next_at()) != self._timer_at:
            self._wind(at)
        return alarm

    def later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` at the next turn."""
        self._loop.call_soon(callback)

    def soon(self, step: Callable[[], bool]) -> None:
        """Call ``step`` once per turn until it returns False; several such jobs take turns."""
        self._steps.append(step)
        if len(self._steps) == 1:
            self._loop.call_soon(self._turn)

    def _wind(self, at: float) -> None:
        """Set the loop's timer, so that it does not wake too early: that would cost a second wake-up.

        uvloop's own clock stands on the last whole millisecond, and it rounds waits to whole ones.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at != NEVER:
            left_ms = (at - self.now()) * 1000
            wait_ms = int(time.monotonic() * 1000 % 1 + left_ms) + 1
            self._timer = self._loop.call_later(wait_ms / 1000, self._ring)

    def _ring(self) -> None:
        """Run what is due, and wind once for all that it sets; one that fails does not take the others with it."""
        now, self._timer, self._ringing = self.now(), None, True
        if self.late is not None:
            self.late(now - self._timer_at)
        try:
            self._alarms.ring(now, self.before)
        finally:
            self._ringing = False
            self._wind(self._alarms.next_at())

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
