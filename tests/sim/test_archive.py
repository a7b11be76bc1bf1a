"""Archivers in seeded trouble: what they keep was committed, fits together, and is complete when all has healed."""

from collections.abc import Iterable

import pytest

from nodes.archive_machine import Served
from nodes.driver import NodeDriver
from tests.sim.archive_world import HOLD_S, ArchiveWorld, play
from tests.sim.pair_laws import BrokenLawError

ALL_KEPT = 1_000_000


@pytest.mark.parametrize("first", range(1, 41, 20))
def test_what_is_archived_was_committed_and_nothing_is_missing(first: int) -> None:
    worlds = [play(seed, snapshot_entries=ALL_KEPT) for seed in range(first, first + 20)]
    assert [world.gaps for world in worlds] == [0] * 20
    assert sum(world.rebuilt for world in worlds) > 100


@pytest.mark.parametrize("first", range(1, 41, 20))
def test_states_are_rebuilt_although_journals_forget_what_their_snapshots_hold(first: int) -> None:
    worlds = [play(seed, snapshot_entries=60) for seed in range(first, first + 20)]
    assert sum(world.rebuilt for world in worlds) > 100


def test_entries_that_a_journal_let_go_too_early_are_a_gap_and_never_a_wrong_state() -> None:
    worlds = [play(seed, snapshot_entries=10, snapshot_hold_s=0.0) for seed in range(1, 21)]
    assert sum(world.gaps for world in worlds) > 0
    assert sum(world.rebuilt for world in worlds) > 100


class HastyWorld(ArchiveWorld):
    """Archives what is not committed yet."""

    def served_by(self, driver: NodeDriver) -> Iterable[Served]:
        """List journals up to their ends."""
        for it in super().served_by(driver):
            view = next(view for view in driver.copies() if view.shard == it.shard)
            yield it._replace(commit_lsn=view.last_lsn)


def hasty(seed: int) -> bool:
    """Say whether a schedule catches it."""
    try:
        HastyWorld(seed, snapshot_entries=ALL_KEPT, snapshot_hold_s=HOLD_S).run()
    except BrokenLawError as broken:
        return "was never committed" in str(broken) or "the journal ends" in str(broken)
    return False


def test_an_archiver_that_does_not_wait_for_the_commit_is_caught() -> None:
    assert any(map(hasty, range(1, 100)))
