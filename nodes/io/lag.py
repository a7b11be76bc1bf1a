"""How long the loop's steps are, and what the process costs: measured, reported, and a reason to be relieved."""

import time

from core.io.clock import boottime_s
from nodes.io.report_book import Health

WINDOW_S = 1.0
LOAD_WINDOW_S = 10.0
WINDOWS_TO_COMPLAIN = 3
"""So many bad seconds in a row, so that neither one slow fsync nor a freeze, which is one long step, moves anybody."""


class LagMeter:
    """Keeps a Health up to date.

    Args:
        health: where the figures go.
        limit_s: steps above this are a reason to complain: L/4.
    """

    def __init__(self, health: Health, limit_s: float) -> None:
        self._health = health
        self._limit_s = limit_s
        self._worst_s = 0.0
        self._bad_windows = 0
        self._window_at = self._load_at = boottime_s()
        self._cpu_s = time.process_time()

    def late(self, late_s: float) -> None:
        """Take by how much a timer was late."""
        now = boottime_s()
        if late_s > self._worst_s:
            self._worst_s = late_s
        if now - self._window_at >= WINDOW_S:
            self._window_at = now
            self._judge()
        if now - self._load_at >= LOAD_WINDOW_S:
            cpu_s = time.process_time()
            self._health.load = (cpu_s - self._cpu_s) / (now - self._load_at)
            self._load_at, self._cpu_s = now, cpu_s

    def _judge(self) -> None:
        bad = self._worst_s > self._limit_s
        self._bad_windows = self._bad_windows + 1 if bad else 0
        self._health.lag_ms = round(self._worst_s * 1000)
        self._worst_s = 0.0
        complains = self._bad_windows >= WINDOWS_TO_COMPLAIN
        self._health.complaint = f"the loop lags by {self._health.lag_ms} ms" if complains else ""
