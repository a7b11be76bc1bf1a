"""The lossy override (C6): a shard comes back without what only its lost primary had; no write is lost in silence."""

import pytest

from core.copies import CopyView
from nodes.pair_rules import Rules
from nodes.records import Tip
from tests.sim.override_world import OverrideWorld, override

SCHEDULES = 200
FOUND = (41, 101, 131, 153, 759)
"""Seeds that once broke a law: a journal as long as its new primary's snapshot was taken for damaged, and set aside; a
journal was to be cut within its own snapshot."""


@pytest.mark.parametrize("first", range(1, SCHEDULES + 1, 20))
def test_twenty_overrides_lose_nothing_in_silence(first: int) -> None:
    tallies = [override(seed) for seed in range(first, first + 20)]
    assert sum(tally.overridden for tally in tallies) >= 8
    assert sum(tally.lost for tally in tallies) > 0, "an override that loses nothing shows nothing"
    assert sum(tally.after for tally in tallies) > 20 * 20


@pytest.mark.parametrize("seed", FOUND)
def test_a_schedule_that_once_broke_a_law_keeps_it(seed: int) -> None:
    override(seed)


def test_what_is_lost_lay_in_records_and_in_snapshots_and_was_acknowledged_before_and_after() -> None:
    tallies = [override(seed) for seed in range(1, 41)]
    assert any(tally.in_records for tally in tallies)
    assert any(tally.lost > tally.in_records for tally in tallies)
    assert any(tally.late for tally in tallies)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert override(7).trace == override(7).trace


class EndOfJournal(OverrideWorld):
    """Takes the end of the stale journal for the end of what is safe: it may hold what was never committed."""

    def bound(self, view: CopyView) -> int:
        return view.last_lsn + 1


class NoTruncation(Rules):
    """Keeps the suffix of the old incarnation."""

    def kept(self, own: Tip, common: Tip) -> Tip:
        return own


@pytest.mark.parametrize(
    ("world", "rules"),
    [
        pytest.param(EndOfJournal, Rules(), id="the end of a stale journal taken for committed"),
        pytest.param(OverrideWorld, NoTruncation(), id="no truncation at first contact"),
    ],
)
def test_a_broken_rule_is_seen(world: type[OverrideWorld], rules: Rules) -> None:
    assert any(breaks(world, rules, seed) for seed in range(1, 100))


def breaks(world: type[OverrideWorld], rules: Rules, seed: int) -> bool:
    try:
        world(seed, rules=rules).play()
    except AssertionError:
        return True
    return False
