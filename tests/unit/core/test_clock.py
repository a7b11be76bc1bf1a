"""Waits never end too early: a loop that wakes before its time asks again and again until the time has come."""

import asyncio

import pytest
import uvloop

from core.io.clock import LoopClock, boottime_s


async def _woken_early_s(wait_s: float) -> float:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[float] = loop.create_future()
    when = boottime_s() + wait_s
    LoopClock(loop).call_at(when, lambda: woken.set_result(when - boottime_s()))
    return await woken


@pytest.mark.parametrize("wait_s", [0.0003, 0.0052, 0.0104])
def test_a_callback_never_runs_before_its_time(wait_s: float) -> None:
    assert uvloop.run(_woken_early_s(wait_s)) <= 0.0002, "uvloop's own clock may run a little ahead of ours"
