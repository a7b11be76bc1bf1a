"""A morning as a load shape: ``locust -f loadtests/locustfile.py,loadtests/morning.py``.

People arrive for a minute, work for three, and three times as many arrive within one more: the day on which everybody
went remote at once.
"""

from locust import LoadTestShape

ARRIVE_S, WORK_S, SURGE_S, LENGTH_S = 60.0, 240.0, 300.0, 420.0
USERS, SURGE_FACTOR, ARRIVALS_PER_S = 200, 3, 50


class Morning(LoadTestShape):  # type: ignore[misc]  # Locust is not typed for us
    """How many people are there at a time."""

    def tick(self) -> tuple[int, float] | None:
        """Say how many users there are now, and how fast they come; None: over."""
        at_s = self.get_run_time()
        if at_s > LENGTH_S:
            return None
        if at_s < ARRIVE_S:
            return max(1, round(USERS * at_s / ARRIVE_S)), ARRIVALS_PER_S
        if at_s < WORK_S:
            return USERS, ARRIVALS_PER_S
        grown = min(1.0, (at_s - WORK_S) / (SURGE_S - WORK_S))
        return round(USERS * (1 + (SURGE_FACTOR - 1) * grown)), ARRIVALS_PER_S
