"""Signs of life for an observer: the first at once, then one per interval, as it asked last."""

from collections.abc import Callable

import pytest

from chaos.sim.time import World, host
from core.io.beat import Beat
from core.io.two_way import TwoWay
from core.rhythm import Rhythm
from nodes.api.node_service import Signs
from twinhold.v1 import node_service_pb2 as pb


class Bench:
    """An observer's end; its rhythm has a moment every 200 ms."""

    def __init__(self) -> None:
        self.world = World(1)
        self.given: list[tuple[float, int]] = []
        clock = host(self.world, "a", drift_ratio=0.0)
        self.signs = Signs(TwoWay(self), Beat(clock, Rhythm(0.2)))

    async def hear(self, take: Callable[[pb.ProbeRequest], None]) -> None:
        raise AssertionError("the test asks by itself")

    async def write(self, message: pb.ProbeResponse) -> None:
        raise AssertionError("there is room")

    def write_now(self, message: pb.ProbeResponse) -> bool:
        self.given.append((self.world.now, message.sequence))
        return True


def test_an_observer_gets_a_sign_at_once_and_then_one_per_interval() -> None:
    bench = Bench()
    bench.signs.asked(pb.ProbeRequest(sequence=5, interval_ms=400))
    bench.world.run(2.3)
    assert [sequence for _, sequence in bench.given] == [5, 6, 7, 8, 9, 10]
    gaps = [b[0] - a[0] for a, b in zip(bench.given[1:], bench.given[2:], strict=False)]
    assert gaps == pytest.approx([0.4] * len(gaps))


def test_the_last_request_is_the_one_that_counts() -> None:
    bench = Bench()
    bench.signs.asked(pb.ProbeRequest(sequence=1, interval_ms=200))
    bench.signs.asked(pb.ProbeRequest(sequence=7))
    bench.world.run(2.0)
    assert bench.given == [(0.0, 1), (0.0, 7)]


def test_nothing_is_given_any_more_after_the_end() -> None:
    bench = Bench()
    bench.signs.asked(pb.ProbeRequest(sequence=1, interval_ms=200))
    bench.signs.stop()
    bench.world.run(2.0)
    assert bench.given == [(0.0, 1)]
