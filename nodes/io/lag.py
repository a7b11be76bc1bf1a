"""How long the loop's steps are, and what the process costs: measured, reported, and a reason to be relieved."""

import asyncio
import time

from core.io.clock import boottime_s
from nodes.io.report_book import Health

TICK_S = 0.05
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

    async def run(self) -> None:
        """Measure until cancelled."""
        window_at, load_at, cpu_s = boottime_s(), boottime_s(), time.process_time()
        while True:
            before = boottime_s()
            await asyncio.sleep(TICK_S)
            now = boottime_s()
            self._worst_s = max(self._worst_s, now - before - TICK_S)
            if now - window_at >= WINDOW_S:
                window_at = now
                self._judge()
            if now - load_at >= LOAD_WINDOW_S:
                used_s = time.process_time()
                self._health.load = (used_s - cpu_s) / (now - load_at)
                load_at, cpu_s = now, used_s

    def _judge(self) -> None:
        bad = self._worst_s > self._limit_s
        self._bad_windows = self._bad_windows + 1 if bad else 0
        self._health.lag_ms = round(self._worst_s * 1000)
        self._worst_s = 0.0
        complains = self._bad_windows >= WINDOWS_TO_COMPLAIN
        self._health.complaint = f"the loop lags by {self._health.lag_ms} ms" if complains else ""
