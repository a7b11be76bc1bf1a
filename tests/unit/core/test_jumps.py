"""A process that was away knows it before it acts."""

import pytest

from chaos.sim.time import World, host
from core.io.jumps import LOOK_RATIO, JumpWatch
from tests.counting_clock import CountingClock

JUMP_S = 0.25


def watched(world: World) -> tuple[CountingClock, JumpWatch, list[float]]:
    """Start a watch on a host; the last item collects the steps that it tells."""
    clock, steps = CountingClock(host(world, "a", drift_ratio=0.0)), list[float]()
    watch = JumpWatch(JUMP_S, clock, steps.append)
    clock.before = watch.check
    watch.start()
    return clock, watch, steps


@pytest.mark.parametrize("stopped_at_s", [1.0, 1.03, 1.06, 1.09])
def test_every_stop_that_counts_is_told_and_a_punctual_process_tells_none(stopped_at_s: float) -> None:
    world = World(1)
    clock, _, steps = watched(world)
    world.run(stopped_at_s)
    assert steps == []
    clock.host.freeze()
    world.run(stopped_at_s + JUMP_S + 0.001)
    clock.host.thaw()
    assert len(steps) == 1
    assert JUMP_S < steps[0] <= JUMP_S * (1 + LOOK_RATIO) + 0.01


def test_whatever_happens_first_after_a_stop_tells_it() -> None:
    world = World(1)
    clock, watch, steps = watched(world)
    world.run(1.0)
    clock.host.freeze()
    world.run(3.0)
    watch.check()
    assert len(steps) == 1
    clock.host.thaw()
    assert len(steps) == 1


def test_its_own_looks_are_put_off_by_what_happens_anyway() -> None:
    world = World(1)
    clock, watch, steps = watched(world)
    for count in range(1, 300):
        world.at(count * 0.03, clock.host.guard(watch.check))
    world.run(9.0)
    assert len(clock.wakes) == 0
    world.run(12.0)
    assert len(clock.wakes) == pytest.approx(3.0 / (LOOK_RATIO * JUMP_S), abs=2)
    assert steps == []
