"""Notices that this process was away - stopped, suspended, or blocked - before anything acts on what it saw before.

After SIGCONT the loop runs whatever is due, in no useful order; a timer that finds a peer silent for ten seconds must
not run before the driver knows that those ten seconds were its own.
"""

from collections.abc import Callable

from core.ports import Clock, Timer

LOOK_RATIO = 0.4
"""Of a step that counts: how often the clock is compared when nothing else happens."""
LATE_RATIO = 0.8
"""Of that wait: what looks so late in it puts the next look off; setting the alarm anew each time would cost more."""


class JumpWatch:
    """Compares the clock with the last time it did.

    Args:
        jump_s: a step above this counts: L/4.
        clock: whose clock it is.
        woke: told the step, in seconds, before the callback that found it goes on.
    """

    def __init__(self, jump_s: float, clock: Clock, woke: Callable[[float], None]) -> None:
        self._jump_s = jump_s
        self._clock = clock
        self._woke = woke
        self._seen_at = self._set_at = clock.now()
        self._timer: Timer | None = None
        self._wait_s = LOOK_RATIO * jump_s

    def start(self) -> None:
        """Look at least every so often; what happens anyway, and looks, puts the next look off: it costs a wake-up."""
        self.stop()
        self._set_at = self._clock.now()
        self._timer = self._clock.call_at(self._set_at + self._wait_s, self._look)

    def stop(self) -> None:
        """Look no more by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def check(self) -> None:
        """Look at the clock; cheap enough to stand before every timer and every message."""
        now = self._clock.now()
        away_s, self._seen_at = now - self._seen_at, now
        if self._timer is not None and now - self._set_at > LATE_RATIO * self._wait_s:
            self.start()
        if away_s > self._jump_s:
            self._woke(away_s)

    def _look(self) -> None:
        self.check()
        self.start()
