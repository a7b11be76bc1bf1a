"""Notices that this process was away - stopped, suspended, or blocked - before anything acts on what it saw before.

After SIGCONT the loop runs whatever is due, in no useful order; a timer that finds a peer silent for ten seconds must
not run before the driver knows that those ten seconds were its own.
"""

import asyncio
from collections.abc import Callable

from core.io.clock import boottime_s

TICKS = 2.5
"""Looks per step that counts."""


class JumpWatch:
    """Compares the clock between loop turns.

    Args:
        jump_s: a step above this counts: L/4.
        woke: told the step, in seconds, before the callback that found it goes on.
        late: told by how many seconds each regular look came too late: the loop's lag.
    """

    def __init__(
        self, jump_s: float, woke: Callable[[float], None], late: Callable[[float], None] = lambda late_s: None
    ) -> None:
        self._tick_s = jump_s / TICKS
        self._limit_s = self._tick_s + jump_s
        self._woke = woke
        self._late = late
        self._seen_at = boottime_s()

    def check(self) -> None:
        """Look at the clock; cheap enough to stand before every timer and every message."""
        now = boottime_s()
        away_s = now - self._seen_at
        if away_s > self._limit_s:
            self._seen_at = now
            self._woke(away_s)

    async def run(self) -> None:
        """Look at the clock regularly, until cancelled."""
        while True:
            self.check()
            self._seen_at = boottime_s()
            await asyncio.sleep(self._tick_s)
            self._late(max(0.0, boottime_s() - self._seen_at - self._tick_s))
