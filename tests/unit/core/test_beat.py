"""One rhythm for a process."""

import asyncio

import uvloop

from core.io.beat import Beat
from core.io.clock import LoopClock
from core.rhythm import Rhythm

INTERVAL_S = 0.02


async def _waits() -> tuple[tuple[float, float, float], int]:
    """Let several wait for about one moment; when each went on, and how often the loop was woken for it."""
    clock = LoopClock(asyncio.get_running_loop())
    beat = Beat(clock, Rhythm(INTERVAL_S))
    await beat.after(INTERVAL_S)
    wakes: list[float] = []
    clock.late = wakes.append

    async def one(wait_s: float) -> float:
        await beat.after(wait_s)
        return clock.now()

    return await asyncio.gather(one(0.036), one(0.04), one(0.044)), len(wakes)


def test_whoever_waits_for_about_the_same_moment_is_woken_with_the_others() -> None:
    went_on, wakes = uvloop.run(_waits())
    assert max(went_on) - min(went_on) < INTERVAL_S / 2
    assert wakes == 1
