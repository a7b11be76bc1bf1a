"""Moments that recur: what is regular in a process shares them, so that it wakes once for all of it."""

from dataclasses import dataclass
from math import floor

NEAR_RATIO = 0.1
"""Of an interval: a moment that is so near counts as past, because whoever asks may have been woken for it late."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Moments ``interval_s`` apart; every call for the same moment returns the very same number.

    They are the clock's multiples of the interval, so the processes of one machine share them: what they send each
    other arrives together too, and is handled in one wake-up.
    """

    interval_s: float

    def after(self, now: float) -> float:
        """Say when the next moment is, at most 1.1 intervals from now."""
        count = floor(now / self.interval_s) + 1
        at = count * self.interval_s
        return at if at - now > NEAR_RATIO * self.interval_s else (count + 1) * self.interval_s
