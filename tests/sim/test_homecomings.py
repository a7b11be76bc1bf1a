"""Two data centers that come home at once share what there is, instead of taking it from each other for ever."""

from pathlib import Path

from chaos.schedule_file import saved
from chaos.sim.run import simulate
from chaos.sim.worlds import parts

KEPT = Path(__file__).parent / "seeds" / "two-come-home.json"
SWAPS_MAX = 12
"""Three times what it takes: four shards have four standbys."""


def test_a_standby_is_not_taken_back_and_forth() -> None:
    told: list[str] = []
    result = simulate(saved(KEPT.read_text(), KEPT.name).schedule, parts(), tell=told.append)
    assert result.broken == ()
    assert 0 < sum(" copy.swapped " in line for line in told) <= SWAPS_MAX
