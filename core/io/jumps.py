"""Notices that this process was away - stopped, suspended, or blocked - before anything acts on what it saw before.

After SIGCONT the loop runs whatever is due, in no useful order; a timer that finds a peer silent for ten seconds must
not run before the driver knows that those ten seconds were its own.
"""

import asyncio
from collections.abc import Callable

from core.io.clock import boottime_s

TICK_S = 0.05


class JumpWatch:
    """Compares the clock between loop turns.

    Args:
        jump_s: a step above this counts: L/4.
        woke: told the step, in seconds, before the callback that found it goes on.
    """

    def __init__(self, jump_s: float, woke: Callable[[float], None]) -> None:
        self._limit_s = TICK_S + jump_s
        self._woke = woke
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
            await asyncio.sleep(TICK_S)
