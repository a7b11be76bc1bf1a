"""The lossy override with whole control planes: never while anything of the data center answers, and then it works."""

import pytest

from tests.sim.override_fleet import override_fleet

SEEDS = range(1, 17)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_a_lost_data_center_is_overridden_and_no_write_is_lost_in_silence(seed: int) -> None:
    tally = override_fleet(seed)
    assert tally.acknowledged > 50, "a run in which nobody got anything done shows nothing"
    assert tally.refused > 0, "the gate was asked while the primaries lived"


def test_most_schedules_lose_something_and_tell_it() -> None:
    tallies = [override_fleet(seed) for seed in range(101, 105)]
    assert sum(tally.overridden for tally in tallies) >= len(tallies)
    assert sum(tally.lost for tally in tallies) > 0
    assert sum(tally.quarantined for tally in tallies) > 0
