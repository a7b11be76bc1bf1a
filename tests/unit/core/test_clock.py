"""Waits never end too early: a loop that wakes before its time asks again and again until the time has come."""

import asyncio
from collections.abc import Callable

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
    assert uvloop.run(_woken_early_s(wait_s)) <= 0.0


async def _wakes(plan: Callable[[LoopClock], None]) -> int:
    """Count how often a clock wakes its loop for a plan, which ends within 20 ms."""
    clock = LoopClock(asyncio.get_running_loop())
    wakes: list[float] = []
    clock.late = wakes.append
    plan(clock)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.02, over.set_result, None)
    await over
    return len(wakes)


def test_what_is_due_together_wakes_the_loop_once() -> None:
    ran: list[int] = []

    def plan(clock: LoopClock) -> None:
        when = clock.now() + 0.005
        for number in range(10):
            clock.call_at(when, lambda number=number: ran.append(number))  # type: ignore[misc]  # bound per turn

    assert uvloop.run(_wakes(plan)) == 1
    assert ran == list(range(10))


def test_what_was_cancelled_gives_its_wake_up_to_what_is_set_after_it() -> None:
    def plan(clock: LoopClock) -> None:
        for wait_s in (0.002, 0.003, 0.004, 0.005):
            waiting = clock.call_at(clock.now() + wait_s, lambda: None)
            if wait_s < 0.005:
                waiting.cancel()

    assert uvloop.run(_wakes(plan)) == 1


async def _one_fails() -> tuple[list[str], list[str]]:
    loop = asyncio.get_running_loop()
    ran: list[str] = []
    told: list[str] = []
    clock = LoopClock(loop)
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    when = clock.now() + 0.002

    def fail() -> None:
        raise AssertionError("impossible")

    over: asyncio.Future[None] = loop.create_future()
    clock.call_at(when, fail)
    clock.call_at(when, lambda: ran.append("other"))
    clock.call_at(when, lambda: over.set_result(None))
    await over
    return ran, told


def test_a_callback_that_fails_does_not_take_the_others_with_it() -> None:
    assert uvloop.run(_one_fails()) == (["other"], ["impossible"])
