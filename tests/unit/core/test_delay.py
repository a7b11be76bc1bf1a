"""Distance on one machine."""

from chaos.sim.time import World, host
from core.io.delay import DelayLine, trip_s
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


def test_a_trip_is_half_a_round_trip_and_nothing_at_home() -> None:
    fleet = two_geographies()
    ber, iad = fleet.data_center(DcId("ber1")), fleet.data_center(DcId("iad1"))
    assert trip_s(fleet, ber.id, iad.id) == rtt_s(ber, iad) / 2
    assert trip_s(fleet, ber.id, ber.id) == 0.0
