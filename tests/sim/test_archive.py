"""Archivers in seeded trouble: what they keep was committed, fits together, and is complete when all has healed."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from core.errors import PositionGoneError, UnavailableError
from nodes.archive_machine import Served
from nodes.archive_memory import MemoryArchive
from nodes.desk import Desk
from nodes.driver import NodeDriver
from nodes.io.archive_reader import ArchiveReader, Rebuilt
from tests.sim.archive_world import HOLD_S, ArchiveWorld, play
from tests.sim.pair_laws import BrokenLawError
from tests.sim.pair_world import APPS

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


def _soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    loop.call_soon(callback)


async def rebuilt_or_gone(reader: ArchiveReader, desk: Desk, tenant: str, at_ms: int) -> Rebuilt | None:
    """Rebuild; None: the archive says that entries of then are missing."""
    try:
        return await reader.rebuilt(desk, tenant, at_ms)
    except PositionGoneError:
        return None


@pytest.mark.parametrize("seed", range(1, 7))
async def test_a_node_rebuilds_its_tenant_from_the_journal_and_from_the_archive_where_that_is_too_short(
    seed: int,
) -> None:
    world = play(seed, snapshot_entries=10)
    primary = world.machines[world.store.records[world.shard].primary.node]
    journal, tenant = primary.journal, str(world.tenant)
    assert journal is not None
    assert primary.driver is not None
    desk = primary.driver.desk(tenant)
    loop = asyncio.get_running_loop()
    archive = MemoryArchive(world.shelf, lambda callback: _soon(loop, callback))
    reader, alone = ArchiveReader(archive, journal, APPS), ArchiveReader(None, journal, APPS)
    whole = desk.replay.ledger.held(tenant)["log"]
    assert isinstance(whole, list)
    pieces = [piece for piece, _ in world.shelf.kept[world.shard].values()]
    times = sorted({piece.last_at_ms for piece in pieces})
    found = [await rebuilt_or_gone(reader, desk, tenant, at_ms) for at_ms in (*times, times[-1] + 10_000)]
    states = [state for state in found if state is not None]
    assert len(states) > 1
    logs = [state.held.get("log", []) for state in states]
    assert all(isinstance(log, list) and whole[: len(log)] == log for log in logs)
    assert [state.as_of_lsn for state in states] == sorted(state.as_of_lsn for state in states)
    assert states[-1].as_of_lsn == desk.commit_lsn
    assert await alone.rebuilt(desk, tenant, times[-1] + 10_000) == states[-1]
    if desk.floor_lsn:
        with pytest.raises(PositionGoneError, match="no archive is configured"):
            await alone.rebuilt(desk, tenant, times[0] - 1)
        world.shelf.refusal = "it is away"
        with pytest.raises(UnavailableError, match="does not answer: it is away"):
            await reader.rebuilt(desk, tenant, times[0] - 1)
