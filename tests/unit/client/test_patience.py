"""Calls are woken when it is time, whatever order they wait in; those that are over cost nothing."""

from chaos.sim.time import World, host
from client.io.running import Patience


class Sleeper:
    """Notes when it is woken."""

    def __init__(self, hall: "Hall") -> None:
        self.over = False
        self.woken: list[float] = []
        self._hall = hall

    def wake(self) -> None:
        """Note it."""
        self.woken.append(round(self._hall.now() - self._hall.start, 3))


class Hall:
    """A patience on virtual time."""

    def __init__(self) -> None:
        self.world = World(seed=1)
        clock = host(self.world, "a", drift_ratio=0.0)
        self.now, self.start = clock.now, clock.now()
        self.patience = Patience(clock)

    def sleeper(self, wait_s: float) -> Sleeper:
        made = Sleeper(self)
        self.patience.wake_at(self.start + wait_s, made)
        return made


def test_whoever_waits_is_woken_in_time_in_any_order() -> None:
    hall = Hall()
    waits_s = (2.0, 0.5, 2.0, 3.0, 1.0)
    sleepers = [hall.sleeper(wait_s) for wait_s in waits_s]
    hall.world.run(10.0)
    for wait_s, sleeper in zip(waits_s, sleepers, strict=True):
        assert len(sleeper.woken) == 1
        assert wait_s <= sleeper.woken[0] < wait_s + 0.01


def test_a_call_that_is_over_is_not_waited_for_and_the_others_are() -> None:
    hall = Hall()
    first, second, third = (hall.sleeper(wait_s) for wait_s in (1.0, 2.0, 3.0))
    second.over = True
    hall.world.run(10.0)
    assert (len(first.woken), len(third.woken)) == (1, 1)
    late = hall.sleeper(20.0)
    hall.world.run(30.0)
    assert late.woken[0] >= 20.0
