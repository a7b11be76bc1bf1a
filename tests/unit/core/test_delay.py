"""Distance on one machine."""

import pytest

from chaos.sim.time import Host, World, host
from core.io.delay import TICK_S, DelayLine, trip_s
from core.names import DcId
from core.topology import rtt_s
from tests.unit.core.fleets import two_geographies


def test_items_come_out_in_order_after_the_delay() -> None:
    world = World(seed=1)
    clock = host(world, "a", drift_ratio=0.0)
    arrived: list[tuple[float, int]] = []
    line = DelayLine[int](clock, 0.1, lambda item: arrived.append((round(world.now, 2), item)))
    line.put(1)
    world.run(0.05)
    line.put(2)
    line.put(3)
    world.run(1.0)
    assert arrived == [(0.1, 1), (0.15, 2), (0.15, 3)]


def test_without_distance_items_pass_straight_through() -> None:
    arrived: list[int] = []
    line = DelayLine[int](host(World(seed=1), "a", drift_ratio=0.0), 0.0, arrived.append)
    line.put(1)
    assert arrived == [1]


def test_what_is_cleared_never_arrives() -> None:
    world = World(seed=1)
    arrived: list[int] = []
    line = DelayLine[int](host(world, "a", drift_ratio=0.0), 0.1, arrived.append)
    line.put(1)
    line.clear()
    line.put(2)
    world.run(1.0)
    assert arrived == [2]


def test_an_item_put_while_others_are_delivered_waits_its_own_delay() -> None:
    world = World(seed=1)
    arrived: list[tuple[float, int]] = []

    def deliver(item: int) -> None:
        arrived.append((round(world.now, 2), item))
        if item < 3:
            line.put(item + 1)

    line = DelayLine[int](host(world, "a", drift_ratio=0.0), 0.1, deliver)
    line.put(1)
    world.run(1.0)
    assert arrived == [(0.1, 1), (0.2, 2), (0.3, 3)]


def test_what_may_be_late_arrives_at_moments_that_all_lines_share() -> None:
    world = World(seed=1)
    clock = Host(world, "a")
    arrived: list[float] = []
    for delay_s in (0.012, 0.019, 0.021):
        line = DelayLine[str](clock, delay_s, lambda item: arrived.append(world.now))
        line.put("a heartbeat", slack_s=0.01)
    world.run(1.0)
    assert arrived == pytest.approx([0.02 - TICK_S, 0.02 - TICK_S, 0.03 - TICK_S])
    assert arrived[0] == arrived[1]


def test_nobody_overtakes_an_item_that_may_be_late_nor_waits_for_it() -> None:
    world = World(seed=1)
    clock = host(world, "a", drift_ratio=0.0)
    arrived: list[tuple[float, str]] = []
    line = DelayLine[str](clock, 0.1, lambda item: arrived.append((round(world.now, 2), item)))
    line.put("late", slack_s=5.0)
    world.run(0.05)
    line.put("prompt")
    line.put("late too", slack_s=5.0)
    world.run(0.2)
    assert arrived == [(0.15, "late"), (0.15, "prompt")]
    world.run(10.0)
    assert [item for _, item in arrived] == ["late", "prompt", "late too"]


def test_a_trip_is_half_a_round_trip_and_nothing_at_home() -> None:
    fleet = two_geographies()
    ber, iad = fleet.data_center(DcId("ber1")), fleet.data_center(DcId("iad1"))
    assert trip_s(fleet, ber.id, iad.id) == rtt_s(ber, iad) / 2
    assert trip_s(fleet, ber.id, ber.id) == 0.0
