"""One rhythm for everything regular in a process, so that it wakes once for all of it.

A wake-up costs more than what is done in it; and a phase of its own keeps the processes of one machine apart.
"""

import asyncio

from core.io.clock import boottime_s


class Beat:
    """Moments ``interval_s`` apart.

    Args:
        interval_s: between two.
        phase: where in the interval they lie, 0 to 1; a random number of the process.
    """

    def __init__(self, interval_s: float, phase: float) -> None:
        self._interval_s = interval_s
        self._offset_s = interval_s * phase

    def next_in_s(self) -> float:
        """Say how long it is to the next moment; one that is nearly there counts as past: a loop may wake early."""
        rest_s = self._interval_s - (boottime_s() - self._offset_s) % self._interval_s
        return rest_s if rest_s > self._interval_s / 10 else rest_s + self._interval_s

    async def after(self, wait_s: float) -> None:
        """Wait until the moment nearest to ``wait_s`` from now; exactly so long where that is less than an interval."""
        skipped = round(wait_s / self._interval_s) - 1
        await asyncio.sleep(wait_s if skipped < 0 else self.next_in_s() + skipped * self._interval_s)
