"""What a client may spend on blind retries, so that an outage is not answered with a storm."""

from dataclasses import dataclass


@dataclass(slots=True)
class RetryBudget:
    """A token bucket that hands out times instead of refusals: whoever finds it empty gets a later slot.

    Only blind retries pay: being told where to go is no reason to wait.
    """

    per_s: float
    """How many retries a second are granted for ever."""
    burst: float
    """How many are granted at once after a quiet time."""
    _tokens: float | None = None
    _at: float = 0.0

    def reserve(self, now: float) -> float:
        """Take one retry; returns the time from which it may go, ``now`` when nothing is in the way."""
        if self._tokens is None:
            self._tokens, self._at = self.burst, now
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.per_s) - 1.0
        self._at = max(now, self._at)
        return now if self._tokens >= 0.0 else now - self._tokens / self.per_s
