"""One rhythm for everything regular in a process: it wakes once for all of it, and a wake-up costs more than that."""

import asyncio
from collections.abc import Callable

from core.ports import Clock, Timer
from core.rhythm import Rhythm


class Beat:
    """What a process does regularly, it does at the moments of one rhythm.

    Args:
        clock: this process's clock.
        rhythm: the moments.
    """

    def __init__(self, clock: Clock, rhythm: Rhythm) -> None:
        self._clock = clock
        self._rhythm = rhythm

    async def after(self, wait_s: float) -> None:
        """Wait until the moment nearest to ``wait_s`` from now; exactly so long where that is less than an interval."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        alarm = self.call_after(wait_s, lambda: None if reached.done() else reached.set_result(None))
        try:
            await reached
        except asyncio.CancelledError:
            alarm.cancel()
            raise

    def call_after(self, wait_s: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` at the moment that ``after`` would wait for."""
        skipped = round(wait_s / self._rhythm.interval_s) - 1
        now = self._clock.now()
        at = now + wait_s if skipped < 0 else self._rhythm.after(now) + skipped * self._rhythm.interval_s
        return self._clock.call_at(at, callback)
