"""What a node archives next: the oldest debt first, one piece at a time, and no faster than it may."""

import pytest

from core.assignments import Fence
from core.machine import NEVER
from core.names import ShardId
from nodes.archive_machine import (
    YIELD,
    Archiver,
    CopySnapshot,
    Failed,
    Found,
    Kept,
    Looked,
    Pace,
    Seal,
    Seek,
    Served,
)
from nodes.records import EMPTY, Tip
from tests.archived import FENCE, FIRST

PACE = Pace(seal_s=10.0, seal_entries=100, bytes_per_s=1000.0, look_s=1.0, retry_s=5.0)
SEVEN, NINE = ShardId(7), ShardId(9)


def served(shard: ShardId = SEVEN, *, commit: int, floor: int = 0, fence: Fence = FENCE) -> Served:
    return Served(shard, fence, floor, commit)


def looked(*shards: Served, busy: bool = False) -> Looked:
    return Looked(shards, busy)


def place(lsn: int) -> Tip:
    return Tip(lsn, FIRST, bytes(16))


@pytest.fixture
def archiver() -> Archiver:
    return Archiver(PACE)


def knowing(archiver: Archiver, end: int = 0, *, commit: int, floor: int = 0, state: int = 0) -> None:
    """Let the archiver serve a shard, and learn at time 0 what the archive holds of it."""
    assert archiver.on(looked(served(commit=commit, floor=floor)), 0.0).actions == (Seek(SEVEN, FENCE, floor),)
    archiver.on(Found(SEVEN, FENCE, place(end) if end else EMPTY, state), 0.0)


def test_the_archive_is_asked_first_what_it_holds(archiver: Archiver) -> None:
    assert archiver.on(looked(served(commit=5)), 0.0).actions == (Seek(SEVEN, FENCE, 0),)


def test_few_entries_wait_and_are_sealed_when_their_time_has_come(archiver: Archiver) -> None:
    knowing(archiver, 3, commit=5)
    assert archiver.on(looked(served(commit=6)), 9.9).actions == ()
    assert archiver.on(looked(served(commit=6)), 10.0).actions == (Seal(SEVEN, FENCE, place(3), 6),)


def test_many_entries_are_sealed_at_once(archiver: Archiver) -> None:
    knowing(archiver, 3, commit=5)
    assert archiver.on(looked(served(commit=103)), 1.0).actions == (Seal(SEVEN, FENCE, place(3), 103),)


def test_one_piece_is_on_its_way_at_a_time_and_the_oldest_debt_comes_first(archiver: Archiver) -> None:
    archiver.on(looked(served(SEVEN, commit=5), served(NINE, commit=5)), 0.0)
    assert archiver.on(Found(SEVEN, FENCE, EMPTY, 0), 0.0).actions == (Seek(NINE, FENCE, 0),)
    archiver.on(Found(NINE, FENCE, place(5), 0), 1.0)
    first = archiver.on(looked(served(SEVEN, commit=5), served(NINE, commit=6)), 20.0)
    assert first.actions == (Seal(SEVEN, FENCE, EMPTY, 5),)
    assert archiver.on(looked(served(SEVEN, commit=5), served(NINE, commit=6)), 40.0).actions == ()
    assert archiver.on(Kept(SEVEN, FENCE, place(5), 0, snapshot=False), 41.0).actions == (
        Seal(NINE, FENCE, place(5), 6),
    )


@pytest.mark.parametrize(("busy", "factor"), [(False, 1.0), (True, YIELD)])
def test_the_next_piece_waits_until_the_bytes_of_the_last_are_paid_for(
    archiver: Archiver, busy: bool, factor: float
) -> None:
    knowing(archiver, 3, commit=5)
    archiver.on(looked(served(commit=500), busy=busy), 1.0)
    waiting = archiver.on(Kept(SEVEN, FENCE, place(103), 2000, snapshot=False), 2.0)
    assert (waiting.actions, waiting.wake_at) == ((), 2.0 + 2.0 * factor)
    assert archiver.wake(2.0 + 2.0 * factor).actions == (Seal(SEVEN, FENCE, place(103), 500),)


def test_a_snapshot_is_copied_when_no_entry_is_due(archiver: Archiver) -> None:
    archiver.on(looked(served(commit=41, floor=30)), 0.0)
    assert archiver.on(Found(SEVEN, FENCE, place(40), 0), 0.0).actions == (CopySnapshot(SEVEN, FENCE, place(40)),)
    archiver.on(Kept(SEVEN, FENCE, place(30), 0, snapshot=True), 0.0)
    assert archiver.on(looked(served(commit=41, floor=30)), 10.0).actions == (Seal(SEVEN, FENCE, place(40), 41),)


def test_where_entries_are_gone_from_the_journal_the_snapshot_comes_first_and_it_goes_on_from_there(
    archiver: Archiver,
) -> None:
    archiver.on(looked(served(commit=500, floor=30)), 0.0)
    assert archiver.on(Found(SEVEN, FENCE, EMPTY, 0), 0.0).actions == (CopySnapshot(SEVEN, FENCE, EMPTY),)
    assert archiver.on(Kept(SEVEN, FENCE, place(30), 0, snapshot=True), 1.0).actions == (
        Seal(SEVEN, FENCE, place(30), 500),
    )


def test_after_a_refusal_the_archive_is_asked_again_later(archiver: Archiver) -> None:
    knowing(archiver, 3, commit=5)
    archiver.on(looked(served(commit=500)), 1.0)
    assert archiver.on(Failed(SEVEN, FENCE), 2.0).actions == ()
    assert archiver.on(looked(served(commit=500)), 2.0 + PACE.retry_s - 0.1).actions == ()
    assert archiver.on(looked(served(commit=500)), 2.0 + PACE.retry_s).actions == (Seek(SEVEN, FENCE, 0),)


def test_what_was_learnt_in_an_epoch_ends_with_it(archiver: Archiver) -> None:
    knowing(archiver, 3, commit=5)
    archiver.on(looked(served(commit=500)), 1.0)
    later = Fence(1, 2)
    archiver.on(looked(served(commit=500, fence=later)), 2.0)
    assert archiver.on(Kept(SEVEN, FENCE, place(103), 0, snapshot=False), 3.0).actions == (Seek(SEVEN, later, 0),)


def test_a_shard_that_is_served_elsewhere_is_let_go(archiver: Archiver) -> None:
    knowing(archiver, 3, commit=500)
    assert archiver.backlog == 497
    archiver.on(looked(), 1.0)
    assert archiver.backlog == 0
    gone = archiver.on(Kept(SEVEN, FENCE, place(103), 0, snapshot=False), 2.0)
    assert (gone.actions, gone.wake_at) == ((), NEVER)
