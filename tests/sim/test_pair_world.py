"""Two hundred seeded schedules of the pair world keep its laws; ``test_mutants.py`` shows that they could break."""

import pytest

from tests.sim.pair_world import run

SCHEDULES = 200
FOUND = (20, 40, 92, 161, 252, 312, 451, 498, 694)
"""Seeds that once broke a law: a standby evicted for what a stopped primary had not read yet, a journal replayed while
it was cut, a record forgotten in a rebuild, a lost wake-up, a copy of which the disk held nothing yet."""


@pytest.mark.parametrize("first", range(1, SCHEDULES + 1, 20))
def test_twenty_schedules_keep_every_law(first: int) -> None:
    tallies = [run(seed) for seed in range(first, first + 20)]
    assert sum(tally.acked for tally in tallies) > 20 * 20
    assert sum(tally.epochs for tally in tallies) > 20 * 3


@pytest.mark.parametrize("seed", FOUND)
def test_a_schedule_that_once_broke_a_law_keeps_it(seed: int) -> None:
    run(seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert run(7).trace == run(7).trace
    assert run(7).trace != run(8).trace
