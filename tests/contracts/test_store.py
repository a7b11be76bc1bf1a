"""What every assignment store guarantees (PROTOCOL.md section 2, C1 to C8): in memory, as a process, in Cassandra."""

import asyncio
import random
import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.io.sqlite_store import DATABASE, SqliteStore
from control_plane.io.store_client import StoreClient
from control_plane.ports import (
    FLEET,
    Adoption,
    Applied,
    AssignmentStore,
    Doc,
    PartitionState,
    ReadAnswer,
    Refused,
    Row,
    StaleTerm,
    StoreIdentity,
    Unknown,
)
from core.assignments import Add, Assignment, Copy, Evict, Leader, Promote, Switchover, successor
from core.errors import MalformedError, TwinholdError, UnavailableError
from core.names import CopyId, NodeId, ShardId
from tests.contracts.cas_history import Operation, breaches
from tests.contracts.store_calls import (
    AMS,
    AMS_COPY,
    EU,
    FRA,
    FRA_COPY,
    WAW_COPY,
    Answered,
    adopt,
    append,
    born,
    events,
    evicted,
    held,
    identity,
    promoted,
    raised,
    raised_again,
    read,
    write,
)
from tests.contracts.store_worlds import DEADLINE_S, FLEET_ON_PAPER, MemoryWorld, ProcessWorld, World

FULL_BYTES = 1024
CLIENTS = 6
TURNS = 12
CASSANDRA = pytest.param("cassandra", marks=pytest.mark.engines)


@pytest.fixture(params=["memory", "process", CASSANDRA])
def kind(request: pytest.FixtureRequest) -> object:
    """Name a world, or, for Cassandra's, give the cluster that all tests share."""
    return request.getfixturevalue("cassandra") if request.param == "cassandra" else request.param


@pytest.fixture
async def world(kind: object, tmp_path: Path) -> AsyncIterator[World]:
    if kind == "memory":
        made: World = MemoryWorld(FLEET_ON_PAPER)
    elif kind == "process":
        process = ProcessWorld(FLEET_ON_PAPER, tmp_path)
        await process.start()
        made = process
    else:
        made = await _in_cassandra(kind)
    yield made
    await made.close()


async def _in_cassandra(cluster: object) -> World:
    # Its driver is there only where `make test-engines` has installed it.
    from tests.engines.cassandra_world import CassandraCluster, CassandraWorld

    assert isinstance(cluster, CassandraCluster), "the fixture gives one"
    world = CassandraWorld(cluster, FLEET_ON_PAPER)
    await world.start()
    return world


async def held_soon(store: AssignmentStore) -> PartitionState:
    """Read what is held as soon as somebody answers."""
    while isinstance(contents := await read(store, [EU]), Unknown):
        """A line that was cut takes its time to come back."""
    return contents[EU]


async def test_a_store_is_empty_at_first_and_names_its_fleet(world: World) -> None:
    store = world.store(FRA)
    assert await held(store) == PartitionState(0, (), ())
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 1, restored=False)


async def test_what_is_written_is_read_by_everybody(world: World) -> None:
    row = born(3)
    assert await write(world.store(FRA), row, term=7) == (Applied(),)
    assert await held(world.store(AMS)) == PartitionState(7, (row.new,), ())
    everything = await read(world.store(AMS), None)
    assert everything == {EU: PartitionState(7, (row.new,), ())}


async def test_single_records_are_read_from_the_partitions_that_are_named_and_no_docs(world: World) -> None:
    store = world.store(FRA)
    rows = [born(shard) for shard in (1, 2, 3)]
    await write(store, *rows, term=7, docs=(Doc("cordons/fra1", 1, b"a"),))
    answer = Answered[ReadAnswer]()
    store.read([EU, FLEET], answer, shards=[ShardId(3), ShardId(1), ShardId(9)])
    empty = PartitionState(0, (), ())
    assert await answer.value() == {EU: PartitionState(7, (rows[0].new, rows[2].new), ()), FLEET: empty}


async def test_each_row_and_doc_of_a_batch_is_judged_on_its_own(world: World) -> None:
    store = world.store(FRA)
    old = born(1).new
    await write(store, born(1), docs=[Doc("cordons/fra1", 1, b"x")])
    answer = await write(
        store, born(1), evicted(old), born(2), docs=[Doc("cordons/fra1", 1, b"y"), Doc("cordons/fra1", 2, b"z")]
    )
    assert answer == (
        Refused(old),
        Applied(),
        Applied(),
        Refused(Doc("cordons/fra1", 1, b"x")),
        Applied(),
    )


async def test_of_concurrent_changes_of_one_base_exactly_one_wins(world: World) -> None:
    await write(world.store(FRA), born(5))
    old = born(5).new
    rivals = [evicted(old), promoted(old)] * 8
    answers = await asyncio.gather(
        *(write(world.store(caller), rival) for rival, caller in zip(rivals, [FRA, AMS] * 8, strict=True))
    )
    assert sum(answer == (Applied(),) for answer in answers) == 1
    winner = rivals[answers.index((Applied(),))].new
    assert (await held(world.store(AMS))).assignments == (winner,)
    assert all(answer in ((Applied(),), (Refused(winner),)) for answer in answers)


async def test_what_many_clients_do_to_one_record_at_once_has_one_order(world: World) -> None:
    await write(world.store(FRA), born(5))
    loop, history, draw = asyncio.get_running_loop(), list[Operation](), random.Random(7)

    async def client(store: AssignmentStore) -> None:
        known = born(5).new
        for _ in range(TURNS):
            asked_at = loop.time()
            if draw.random() < 0.4:
                (known,) = (await held(store)).assignments
                history.append(Operation(asked_at, loop.time(), known))
                continue
            row = change_of(known, draw)
            answer = await write(store, row)
            assert isinstance(answer, tuple), answer
            if isinstance(answer[0], Refused):
                assert isinstance(answer[0].current, Assignment)
                known = answer[0].current
            else:
                known = row.new
            history.append(Operation(asked_at, loop.time(), known, wrote=answer == (Applied(),)))

    await asyncio.gather(*(client(world.store((FRA, AMS)[i % 2])) for i in range(CLIENTS)))
    assert list(breaches(history)) == []
    assert sum(one.wrote for one in history) > CLIENTS, "it was not all refusals"


def change_of(old: Assignment, draw: random.Random) -> Row:
    """Make a legal change of a record, told apart from every other by its reason."""
    reason = f"{draw.random():.12f}"
    if old.standby is None:
        learner = AMS_COPY if old.primary == FRA_COPY else FRA_COPY
        return Row(old.fence, successor(old, Add(learner), reason=reason), Add(learner), old.primary)
    if draw.random() < 0.5:
        return Row(old.fence, successor(old, Evict(), reason=reason), Evict(), old.primary)
    return Row(old.fence, successor(old, Promote(), reason=reason), Promote(), Leader())


async def test_a_write_whose_answer_is_lost_may_have_happened_and_a_read_tells(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1))
    wanted = evicted(born(1).new)
    await world.lose_answers()
    assert isinstance(await write(store, wanted), Unknown)
    await world.hear_again()
    (found,) = (await held_soon(store)).assignments
    assert found in (born(1).new, wanted.new)
    again = await write(store, wanted)
    assert again == ((Applied(),) if found == born(1).new else (Refused(wanted.new),)), "never both"
    assert (await held(world.store(AMS))).assignments == (wanted.new,)


async def test_an_older_term_writes_nothing_and_learns_the_newer_one(world: World) -> None:
    await write(world.store(AMS), born(1), term=4)
    assert await write(world.store(FRA), born(2), docs=[Doc("a/b", 1, b"x")], term=3) == StaleTerm(4)
    assert await held(world.store(FRA)) == PartitionState(4, (born(1).new,), ())


async def test_the_fleet_s_term_is_raised_once_per_number(world: World) -> None:
    answers = await asyncio.gather(*(raised(world.store(caller), 9) for caller in (FRA, AMS)))
    assert sorted(answers, key=repr) == [(Applied(),), StaleTerm(9)]
    assert await append(world.store(FRA), "a", term=8) == StaleTerm(9)
    assert await write(world.store(FRA), term=8, partition=FLEET) == StaleTerm(9)
    assert await write(world.store(FRA), born(1), term=8) == (Applied(),), "terms are raised per partition"


def _illegal() -> dict[str, Row]:
    old = born(1).new
    solo = successor(old, Evict(), reason="")
    return {
        "a promotion that keeps both in sync": Row(
            old.fence, replace(successor(old, Promote(), reason=""), standby=FRA_COPY), Promote(), Leader()
        ),
        "a promotion by a copy": Row(old.fence, successor(old, Promote(), reason=""), Promote(), AMS_COPY),
        "an eviction by the leader": Row(old.fence, solo, Evict(), Leader()),
        "an epoch skipped": Row(old.fence, replace(solo, epoch=9), Evict(), FRA_COPY),
        "a promotion outside in_sync": Row(old.fence, replace(solo, primary=WAW_COPY), Promote(), Leader()),
        "a second standby": Row(old.fence, successor(old, Add(WAW_COPY), reason=""), Add(WAW_COPY), FRA_COPY),
        "a switchover to a third": Row(old.fence, replace(old, epoch=2, primary=WAW_COPY), Switchover(), FRA_COPY),
        "no change at all": Row(old.fence, replace(old, epoch=2), None, Leader()),
    }


@pytest.mark.parametrize("name", list(_illegal()))
async def test_an_illegal_successor_is_refused(world: World, name: str) -> None:
    store = world.store(FRA)
    await write(store, born(1))
    assert await write(store, _illegal()[name]) == (Refused(born(1).new),)
    assert (await held(store)).assignments == (born(1).new,)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(Row(None, replace(born(1).new, standby=None), None, Leader()), id="alone"),
        pytest.param(Row(None, replace(born(1).new, epoch=2), None, Leader()), id="at epoch 2"),
        pytest.param(
            Row(None, replace(born(1).new, standby=Copy(NodeId("fra1-c2"), CopyId("z.1"))), None, Leader()),
            id="in one data center",
        ),
        pytest.param(Row(None, replace(born(1).new, shard=ShardId(4000)), None, Leader()), id="outside the fleet"),
    ],
)
async def test_a_shard_can_t_start_like_that(world: World, row: Row) -> None:
    assert await write(world.store(FRA), row) == (Refused(None),)


async def test_docs_grow_by_one_version_and_a_deleted_one_stays_deleted(world: World) -> None:
    store = world.store(FRA)
    for doc in (Doc("drains/waw1", 1, b"on"), Doc("drains/waw1", 2, b"")):
        assert await write(store, docs=[doc], partition=FLEET) == (Applied(),)
    late = await write(store, docs=[Doc("drains/waw1", 1, b"on")], partition=FLEET)
    assert late == (Refused(Doc("drains/waw1", 2, b"")),)
    assert (await held(store, FLEET)).docs == (Doc("drains/waw1", 2, b""),)


async def test_an_adoption_takes_the_place_of_what_is_held_and_raises_incarnation_and_terms(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1), born(2), term=3)
    await write(store, docs=[Doc("evacuations/fra1-1", 1, b"old")], partition=FLEET, term=3)
    rebuilt = raised_again(successor(born(1).new, Promote(), reason=""))
    doc = Doc("evacuations/fra1-1", 4, b"new")
    assert await adopt(store, rebuilt, raised_again(born(3).new), docs=[doc]) == (Applied(),)
    after = await held(world.store(AMS))
    assert after == PartitionState(9, (rebuilt, born(2).new, raised_again(born(3).new)), ())
    assert (await held(store, FLEET)) == PartitionState(9, (), (doc,))
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 4, restored=False)
    assert await write(store, evicted(born(2).new), term=8) == StaleTerm(9)
    assert await write(store, evicted(rebuilt), term=9) == (Refused(rebuilt),), "it is SOLO, and has nobody to evict"
    assert await write(store, evicted(born(2).new), term=9) == (Applied(),)


@pytest.mark.parametrize(
    ("assignments", "docs", "incarnations"),
    [
        pytest.param([raised_again(born(1).new)], [], (2, 3), id="made for another incarnation of the store"),
        pytest.param([raised_again(born(1).new)], [], (1, 1), id="under the same incarnation"),
        pytest.param([raised_again(born(3).new), born(1).new], [], (1, 2), id="one record that does not rise"),
        pytest.param([replace(born(1).new, epoch=50)], [], (1, 2), id="a higher epoch alone: it may have been used"),
        pytest.param([replace(raised_again(born(3).new), standby=FRA_COPY)], [], (1, 2), id="both copies in one place"),
        pytest.param([replace(raised_again(born(3).new), shard=ShardId(4000))], [], (1, 2), id="no shard of the fleet"),
        pytest.param([raised_again(born(3).new)], [Doc("cordons/fra1", 2, b"y")], (1, 2), id="a doc that is not newer"),
    ],
)
async def test_an_adoption_is_done_whole_or_not_at_all(
    world: World, assignments: list[Assignment], docs: list[Doc], incarnations: tuple[int, int]
) -> None:
    store = world.store(FRA)
    await write(store, born(1), term=3)
    for version in (1, 2):
        await write(store, docs=[Doc("cordons/fra1", version, b"x")], partition=FLEET, term=3)
    (answer,) = await adopt(store, *assignments, docs=docs, incarnations=incarnations) or ()  # type: ignore[misc]
    assert isinstance(answer, Refused)
    assert await held(store) == PartitionState(3, (born(1).new,), ())
    assert (await held(store, FLEET)).docs == (Doc("cordons/fra1", 2, b"x"),)
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 1, restored=False)


async def test_an_older_leader_adopts_nothing(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1), term=12)
    assert await adopt(store, raised_again(born(1).new), term=11) == StaleTerm(12)
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 1, restored=False)


async def test_a_store_put_back_to_a_backup_takes_nothing_until_it_is_adopted(world: World) -> None:
    if not world.notices_restore:
        return await put_back_unnoticed(world)
    await write(world.store(FRA), born(1), term=3)
    await world.keep()
    await write(world.store(FRA), evicted(born(1).new), term=3)
    await world.put_back()
    for _ in range(2):
        store = world.store(FRA)
        assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 1, restored=True)
        assert await raised(store, (await held(store, FLEET)).term + 1) == (Applied(),), "somebody must lead to adopt"
        assert await append(store, "store.restored", term=9) == (Applied(),)
        refusal = await write(store, promoted(born(1).new), docs=[Doc("a/b", 1, b"x")], term=9)
        assert isinstance(refusal, Unknown)
        assert "twinhold store adopt" in refusal.cause
        assert (await held(store)).assignments == (born(1).new,)
        await world.crash_and_restart()
    rebuilt = raised_again(evicted(born(1).new).new)
    assert await adopt(world.store(FRA), rebuilt, incarnations=(1, 2)) == (Applied(),)
    await world.crash_and_restart()
    store = world.store(FRA)
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 2, restored=False)
    assert (await held(store)).assignments == (rebuilt,)
    assert await write(store, born(2), term=9) == (Applied(),)
    return None


async def put_back_unnoticed(world: World) -> None:
    """Put a store back that can't tell: whoever knows more is refused with the older record, and adopts."""
    await write(world.store(FRA), born(1), term=3)
    await world.keep()
    await write(world.store(FRA), evicted(born(1).new), term=3)
    await world.put_back()
    store = world.store(FRA)
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 1, restored=False), "it can't tell"
    solo = evicted(born(1).new).new
    later = Row(solo.fence, successor(solo, Add(WAW_COPY), reason=""), Add(WAW_COPY), FRA_COPY)
    assert await write(store, later, term=3) == (Refused(born(1).new),), "by this its leader notices"
    assert await adopt(store, raised_again(solo), incarnations=(1, 2)) == (Applied(),)
    await world.crash_and_restart()
    store = world.store(AMS)
    assert await identity(store) == StoreIdentity(FLEET_ON_PAPER.fleet, 2, restored=False)
    assert (await held(store)).assignments == (raised_again(solo),)


async def test_what_was_adopted_is_kept_when_the_store_is_killed(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1))
    await adopt(store, raised_again(born(1).new))
    await world.crash_and_restart()
    assert (await held(world.store(AMS))).assignments == (raised_again(born(1).new),)
    assert await identity(world.store(AMS)) == StoreIdentity(FLEET_ON_PAPER.fleet, 4, restored=False)


async def test_events_are_numbered_in_order_and_read_newest_first(world: World) -> None:
    store = world.store(FRA)
    assert await append(store, "a", "b") == (Applied(), Applied())
    assert await append(store, "c") == (Applied(),)
    assert await events(store, None, 2) == [(3, "c"), (2, "b")]
    assert await events(store, 2, 10) == [(1, "a")]


async def test_without_a_majority_of_sites_nothing_is_known(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1))
    await world.set_living("fra1")
    assert isinstance(await write(store, evicted(born(1).new)), Unknown)
    assert isinstance(await read(store, [EU]), Unknown)
    await world.set_living("fra1", "waw1")
    assert (await held(store)).assignments == (born(1).new,)
    assert await write(store, evicted(born(1).new)) == (Applied(),)


async def test_a_frozen_store_is_unknown_after_the_deadline_and_works_again_when_thawed(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1))
    await world.freeze()
    assert isinstance(await write(store, evicted(born(1).new)), Unknown)
    await world.thaw()
    now = (await held(store)).assignments
    assert now in ((born(1).new,), (evicted(born(1).new).new,)), "it may have happened, or not"


async def test_a_killed_store_keeps_everything_that_it_acknowledged(world: World) -> None:
    store = world.store(FRA)
    await write(store, born(1), docs=[Doc("a/b", 1, b"x")], term=5)
    await append(store, "a", term=5)
    await world.crash_and_restart()
    assert await held(world.store(AMS)) == PartitionState(5, (born(1).new,), (Doc("a/b", 1, b"x"),))
    assert await events(store, None, 10) == [(1, "a")]


async def test_a_full_disk_is_unknown_in_one_line_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    world = ProcessWorld(FLEET_ON_PAPER, tmp_path)
    await world.start()
    store = world.store(FRA)
    await write(store, born(1))
    world.limit_files(FULL_BYTES)
    refusal = await write(store, evicted(born(1).new))
    world.limit_files(resource.RLIM_INFINITY)
    kept = await held(store)
    again = await write(store, evicted(born(1).new))
    await world.close()
    assert isinstance(refusal, Unknown)
    assert "the store's disk refuses" in refusal.cause
    assert kept.assignments == (born(1).new,)
    assert again == (Applied(),)


async def test_a_store_of_another_fleet_refuses_in_one_line(tmp_path: Path) -> None:
    world = ProcessWorld(FLEET_ON_PAPER, tmp_path)
    await world.start()
    stranger = StoreClient(replace(FLEET_ON_PAPER, fleet="elsewhere"), FRA, deadline_s=DEADLINE_S)
    answer = await identity(stranger)
    await stranger.close()
    await world.close()
    assert answer == Unknown(
        f"fleet 'elsewhere' is malformed: expected {FLEET_ON_PAPER.fleet}, whose store this is: "
        "check the store's address"
    )


def test_the_newer_database_put_back_again_is_as_good_as_before(tmp_path: Path) -> None:
    _serve_once(tmp_path, born(1))
    older = (tmp_path / DATABASE).read_bytes()
    _serve_once(tmp_path, evicted(born(1).new))
    newer = (tmp_path / DATABASE).read_bytes()
    found = []
    for database in (older, older, newer):
        (tmp_path / DATABASE).write_bytes(database)
        store = SqliteStore(tmp_path, FLEET_ON_PAPER)
        found.append(store.restored)
        store.close()
    assert found == [True, True, False]


def test_an_adoption_that_the_disk_did_not_take_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    _serve_once(tmp_path, born(1))
    older = (tmp_path / DATABASE).read_bytes()
    _serve_once(tmp_path, evicted(born(1).new))
    (tmp_path / DATABASE).write_bytes(older)
    store = SqliteStore(tmp_path, FLEET_ON_PAPER)

    def fail() -> None:
        raise UnavailableError("the disk is full")

    adoption = Adoption(1, 2, (raised_again(born(1).new),), ())
    with pytest.raises(UnavailableError):
        store.transact([lambda store: store.adopt(9, adoption), lambda store: fail()])
    assert (store.restored, store.identity().incarnation) == (True, 1)
    assert store.transact([lambda store: store.adopt(9, adoption)]) == [Applied()]
    assert (store.restored, store.identity().incarnation) == (False, 2)
    store.close()


def test_a_database_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"not a database" * 1000)
    with pytest.raises(UnavailableError, match=r"can't be opened: file is not a database: restore"):
        SqliteStore(tmp_path, FLEET_ON_PAPER)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("UPDATE assignments SET epoch = 9", id="an assignment"),
        pytest.param("UPDATE docs SET body = x'00'", id="a doc"),
    ],
)
def test_a_record_that_is_not_what_was_written_is_never_served(tmp_path: Path, harm: str) -> None:
    _serve_once(tmp_path, born(1))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute(harm)
        database.commit()
    with pytest.raises(TwinholdError, match="damaged"):
        SqliteStore(tmp_path, FLEET_ON_PAPER)


def test_a_directory_has_one_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, FLEET_ON_PAPER)
    with pytest.raises(UnavailableError, match="in use by another process"):
        SqliteStore(tmp_path, FLEET_ON_PAPER)
    store.close()


def test_a_directory_of_another_fleet_is_refused(tmp_path: Path) -> None:
    _serve_once(tmp_path, born(1))
    with pytest.raises(MalformedError, match="expected fleet elsewhere"):
        SqliteStore(tmp_path, replace(FLEET_ON_PAPER, fleet="elsewhere"))


def _serve_once(directory: Path, row: Row) -> None:
    store = SqliteStore(directory, FLEET_ON_PAPER)
    doc = Doc(f"cordons/{row.new.epoch}", 1, b"x")
    assert store.transact([lambda store: store.write(EU, 1, [row], [doc])]) == [(Applied(), Applied())]
    store.close()
