"""What the maker of schedules draws: fleets of every shape, every kind of fault, and trouble that meets trouble."""

from collections import Counter
from itertools import pairwise
from random import Random
from typing import get_args

from chaos.schedule import Fault
from chaos.schedule_file import printed, saved
from chaos.schedule_maker import FIRST_S, SHAPES, TROUBLE_S, generated
from chaos.shrinking import lasts_s

MADE = [generated(seed, Random(seed)) for seed in range(400)]


def test_a_seed_makes_one_schedule() -> None:
    assert generated(5, Random(5)) == MADE[5]
    assert MADE[5] != MADE[6]


def test_every_kind_of_fault_and_every_shape_of_fleet_is_met() -> None:
    kinds = Counter(type(timed.fault) for made in MADE for timed in made.faults)
    assert set(kinds) == set(get_args(Fault))
    assert {made.setting.data_centers for made in MADE} == {shape for _, shape in SHAPES}
    assert {made.setting.nodes_per_dc for made in MADE} == {1, 2}


def test_faults_stand_in_order_after_the_fleet_came_up_and_before_it_heals() -> None:
    for made in MADE:
        times = [timed.at_s for timed in made.faults]
        assert times == sorted(times)
        assert all(FIRST_S <= at_s < TROUBLE_S for at_s in times)


def test_most_schedules_have_a_fault_that_begins_while_another_lasts() -> None:
    def meets(n: int) -> bool:
        faults = MADE[n].faults
        return any(
            before.at_s <= after.at_s <= before.at_s + lasts_s(before.fault) + 2.0 for before, after in pairwise(faults)
        )

    assert sum(meets(n) for n in range(len(MADE))) > 0.9 * len(MADE)


def test_every_schedule_survives_being_written_down() -> None:
    for made in MADE[:50]:
        assert saved(printed(made, why="drawn"), "drawn.json").schedule == made
