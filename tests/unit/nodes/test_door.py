"""The way in: fair turns, bounded turns, and nothing lost on the way."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos.sim.time import World, host
from core.errors import OverloadedError, TwinholdError
from nodes.admission import USUAL_LIMITS, Limits
from nodes.door import STRAIGHT_ITEMS, TURN_ITEMS, Door, Visitor
from nodes.shedding import Shedder, Work


class Hall:
    """A door on virtual time, and who came through it."""

    def __init__(self, limits: Limits = USUAL_LIMITS) -> None:
        self.world = World(seed=1)
        self.shedder = Shedder()
        clock = host(self.world, "a", drift_ratio=0.0)
        self.door = Door(limits, self.shedder, clock=clock, spawn=clock)
        self.begun: list[str] = []
        self.refused: list[str] = []

    def enter(self, tenant: str, name: str, work: Work = Work.COMMAND) -> None:
        self.door.enter(tenant, Visitor(work, self._begin(name), self._refuse(name)), size_bytes=10)

    def _begin(self, name: str) -> Callable[[], None]:
        return lambda: self.begun.append(name)

    def _refuse(self, name: str) -> Callable[[TwinholdError], None]:
        return lambda _: self.refused.append(name)


def test_work_begins_in_a_later_turn_and_a_tenant_keeps_its_order() -> None:
    hall = Hall()
    for number in range(3):
        hall.enter("a", f"a{number}")
    assert hall.begun == []
    hall.world.run(1.0)
    assert hall.begun == ["a0", "a1", "a2"]


def test_while_nothing_waits_a_few_begin_straight_and_after_a_turn_a_few_more() -> None:
    hall = Hall()

    def straight() -> list[bool]:
        return [hall.door.enters_straight("a", size_bytes=10) for _ in range(STRAIGHT_ITEMS + 2)]

    assert straight() == [True] * STRAIGHT_ITEMS + [False] * 2
    hall.world.run(1.0)
    assert straight()[:STRAIGHT_ITEMS] == [True] * STRAIGHT_ITEMS
    assert hall.shedder.busy == 2 * STRAIGHT_ITEMS


def test_nothing_passes_what_waits() -> None:
    hall = Hall()
    hall.enter("a", "first")
    assert not hall.door.enters_straight("b", size_bytes=10)
    assert not hall.door.reads_straight()
    hall.world.run(1.0)
    assert hall.door.reads_straight()
    assert hall.begun == ["first"]


def test_what_goes_straight_is_counted_as_what_waits_is() -> None:
    hall = Hall(replace(USUAL_LIMITS, writes_burst=2, writes_per_s=1))
    assert hall.door.enters_straight("a", size_bytes=10)
    hall.enter("a", "waits")
    hall.world.run(0.1)
    with pytest.raises(OverloadedError):
        hall.door.enters_straight("a", size_bytes=10)
    assert hall.shedder.busy == 2
    hall.shedder.busy = Work.QUERY
    assert not hall.door.reads_straight()


def test_a_flood_of_one_tenant_is_passed_by_the_others() -> None:
    hall = Hall()
    for number in range(500):
        hall.enter("flood", f"flood{number}")
    hall.enter("quiet", "quiet")
    hall.world.run(1.0)
    assert hall.begun.index("quiet") <= 1
    assert len(hall.begun) == 501


def test_a_turn_begins_a_bounded_amount_of_work() -> None:
    hall = Hall()
    for number in range(2 * TURN_ITEMS):
        hall.enter(f"t{number}", "any")
    hall.world.run(0.0003)
    assert len(hall.begun) == TURN_ITEMS


def test_whoever_is_refused_has_not_entered() -> None:
    hall = Hall(replace(USUAL_LIMITS, waiting_per_tenant_max=1))
    hall.enter("a", "first")
    with pytest.raises(OverloadedError):
        hall.enter("a", "second")
    assert hall.shedder.busy == 1


def test_a_read_that_gives_way_to_a_command_is_told() -> None:
    hall = Hall(replace(USUAL_LIMITS, waiting_max=1))
    hall.enter("a", "read", Work.QUERY)
    hall.enter("b", "write")
    hall.world.run(1.0)
    assert (hall.refused, hall.begun) == (["read"], ["write"])


def test_a_subscription_that_is_refused_leaves_no_trace() -> None:
    hall = Hall(replace(USUAL_LIMITS, subscriptions_max=1))
    hall.door.subscribe("a")
    with pytest.raises(OverloadedError):
        hall.door.subscribe("a")
    assert hall.shedder.subscriptions == 1
    hall.door.unsubscribe("a")
    hall.door.subscribe("a")
