"""The assignment store in Cassandra when its servers fail: one of three is nothing, two of three block, none forks."""

import asyncio
import random
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from control_plane.io.cassandra_adoption import COMPLETED, CassandraAdoption
from control_plane.io.cassandra_link import CassandraLink
from control_plane.io.cassandra_store import CassandraStore
from control_plane.ports import (
    FLEET,
    Adoption,
    Applied,
    Doc,
    PartitionState,
    Refused,
    StaleTerm,
    StoreIdentity,
    Unknown,
)
from control_plane.store_rules import RESTORED, StoreRules
from core.assignments import Assignment
from core.names import ControlPlaneId
from regions.io.server_process import ServerProcess
from tests.contracts.cas_history import Operation, breaches
from tests.contracts.store_calls import (
    AMS,
    EU,
    FRA,
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
from tests.contracts.store_worlds import FLEET_ON_PAPER
from tests.contracts.test_store import change_of
from tests.engines.cassandra_world import DEADLINE_S, CassandraCluster, CassandraWorld

pytestmark = pytest.mark.engines
NO_ROOM_BYTES = 64 * 1024
SHARD = 5
CLIENTS = 4


@pytest.fixture
async def world(cassandra: CassandraCluster) -> AsyncIterator[CassandraWorld]:
    made = CassandraWorld(cassandra, FLEET_ON_PAPER)
    await made.start()
    yield made
    await made.close()


class Load:
    """Clients that change one record by compare-and-set, and write down what they were told."""

    def __init__(self, world: CassandraWorld) -> None:
        self._world = world
        self._over = asyncio.Event()
        self.history: list[Operation] = []
        self.unknown = 0
        """Answers that said nothing: others had overtaken the write, or nobody answered."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Let them work while something is done to the servers."""
        await write(self._world.store(FRA), born(SHARD))
        tasks = [asyncio.ensure_future(self._client((FRA, AMS)[i % 2], i)) for i in range(CLIENTS)]
        await self.progress()
        yield self
        await self.progress()
        self._over.set()
        await asyncio.gather(*tasks)
        assert list(breaches(self.history)) == []

    async def progress(self) -> None:
        """Wait until something more was written by each of a few calls from now on."""
        wanted = self.written + CLIENTS
        async with asyncio.timeout(60):
            while self.written < wanted:
                await asyncio.sleep(0.02)

    @property
    def written(self) -> int:
        """Count what was written so far."""
        return sum(one.wrote for one in self.history)

    async def _client(self, caller: ControlPlaneId, seed: int) -> None:
        loop, draw, store = asyncio.get_running_loop(), random.Random(seed), self._world.store(caller)
        known: Assignment | None = born(SHARD).new
        while not self._over.is_set():
            asked_at = loop.time()
            if known is None:
                answer = await read(store, [EU])
                if not isinstance(answer, Unknown):
                    (known,) = answer[EU].assignments
                    self.history.append(Operation(asked_at, loop.time(), known))
                continue
            row = change_of(known, draw)
            written = await write(store, row)
            if isinstance(written, Unknown):
                self.unknown += 1
                known = None
                continue
            assert isinstance(written, tuple), written
            (result,) = written
            seen = row.new if isinstance(result, Applied) else result.current
            assert isinstance(seen, Assignment)
            known = seen
            self.history.append(Operation(asked_at, loop.time(), known, wrote=isinstance(result, Applied)))


async def test_a_write_whose_answer_was_cut_off_is_found_out_by_a_read(world: CassandraWorld) -> None:
    store = world.store(FRA)
    await write(store, born(1))
    for proxy in world.proxies.values():
        proxy.cuts = 1
    wanted = evicted(born(1).new)
    assert await write(store, wanted, docs=[Doc("cordons/fra1", 1, b"x")]) == (Applied(), Applied())
    assert await held(world.store(AMS)) == PartitionState(1, (wanted.new,), (Doc("cordons/fra1", 1, b"x"),))
    assert await write(world.store(AMS), promoted(born(1).new)) == (Refused(wanted.new),)


async def test_a_term_whose_answer_was_cut_off_has_one_owner(world: CassandraWorld) -> None:
    for proxy in world.proxies.values():
        proxy.cuts = 1
    answers = await asyncio.gather(raised(world.store(FRA), 4), raised(world.store(AMS), 4))
    assert sorted(answers, key=repr) == [(Applied(),), StaleTerm(4)]


async def test_events_whose_answer_was_cut_off_are_there_once(world: CassandraWorld) -> None:
    store = world.store(FRA)
    await append(store, "a")
    for proxy in world.proxies.values():
        proxy.cuts = 1
    assert await append(store, "b", "c") == (Applied(), Applied())
    assert await events(world.store(AMS), None, 10) == [(3, "c"), (2, "b"), (1, "a")]


async def test_events_of_two_leaders_have_one_order_across_slots(world: CassandraWorld) -> None:
    for turn in range(4):
        await append(world.store((FRA, AMS)[turn % 2]), *(f"{turn}.{i}" for i in range(200)), term=turn + 1)
    wanted = [f"{turn}.{i}" for turn in range(4) for i in range(200)]
    found = await events(world.store(FRA), None, 1000)
    assert found == [(number, wanted[number - 1]) for number in range(800, 0, -1)]
    assert await events(world.store(AMS), 513, 3) == [(number, wanted[number - 1]) for number in (512, 511, 510)]


async def test_of_two_leaders_only_the_newer_one_writes(world: CassandraWorld) -> None:
    old, new = world.store(FRA), world.store(AMS)
    await write(old, born(1), born(2), term=3)
    assert await write(new, promoted(born(1).new), term=4) == (Applied(),)
    late = await asyncio.gather(*(write(old, evicted(born(2).new), term=3) for _ in range(4)))
    assert late == [StaleTerm(4)] * 4
    assert (await held(old)).assignments == (promoted(born(1).new).new, born(2).new)


@pytest.mark.parametrize("site", ["fra1", "ams1", "waw1"])
async def test_each_server_may_be_killed_and_come_back_while_writes_go_on(world: CassandraWorld, site: str) -> None:
    server = world.cluster.server(site)
    async with Load(world).running() as load:
        server.kill()
        await load.progress()
        await server.start()
        await load.progress()


async def test_with_two_of_three_dead_nothing_is_known_and_nothing_forks_when_they_are_back(
    world: CassandraWorld,
) -> None:
    async with Load(world).running() as load:
        lost = [world.cluster.server(site) for site in ("fra1", "ams1")]
        for server in lost:
            server.kill()
        before = load.unknown
        async with asyncio.timeout(30):
            while load.unknown < before + CLIENTS:
                await asyncio.sleep(0.05)
        await asyncio.gather(*(server.start() for server in lost))
        await load.progress()


@pytest.mark.parametrize("site", ["fra1", "waw1"])
async def test_a_frozen_server_holds_nobody_up_for_good(world: CassandraWorld, site: str) -> None:
    server = world.cluster.server(site)
    async with Load(world).running() as load:
        server.freeze()
        await load.progress()
        server.resume()
        await load.progress()


async def test_a_slow_server_holds_nobody_up_for_good(world: CassandraWorld) -> None:
    async with Load(world).running() as load:
        slow = asyncio.ensure_future(_slow(world.cluster.server("fra1")))
        for _ in range(3):
            await load.progress()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_a_full_disk_of_one_server_holds_nobody_up(world: CassandraWorld) -> None:
    server = world.cluster.server("ams1")
    assert server.pid is not None
    async with Load(world).running() as load:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (NO_ROOM_BYTES, resource.RLIM_INFINITY))
        await append(world.store(FRA), *("x" * 50_000 for _ in range(100)))
        await load.progress()
        await server.restart()
        await load.progress()


async def test_an_adoption_that_was_begun_is_completed_by_whoever_leads_next(world: CassandraWorld) -> None:
    await write(world.store(FRA), born(1), born(2), born(3), term=3)
    rebuilt = [raised_again(evicted(born(1).new).new), raised_again(born(2).new)]
    doc = Doc("evacuations/fra1-1", 4, b"new")
    await raised(world.store(FRA), 3)
    await _begun(world, Adoption(1, 4, tuple(rebuilt), (doc,)), term=3)
    moved = world.store(AMS)
    assert await raised(moved, 5) == (Applied(),)
    assert await identity(moved) == StoreIdentity(FLEET_ON_PAPER.fleet, 1, restored=True)
    assert await write(moved, evicted(born(2).new), term=5) == Unknown(RESTORED)
    assert await adopt(moved, raised_again(born(3).new), term=5, incarnations=(1, 2)) == Unknown(COMPLETED)
    assert await identity(moved) == StoreIdentity(FLEET_ON_PAPER.fleet, 4, restored=False)
    assert await held(moved) == PartitionState(5, (*rebuilt, born(3).new), ())
    assert await held(moved, FLEET) == PartitionState(5, (), (doc,))
    assert await adopt(moved, raised_again(born(3).new), term=5, incarnations=(4, 5)) == (Applied(),)


async def test_a_record_that_moved_on_under_a_newer_leader_is_left_alone_by_an_older_one_s_adoption(
    world: CassandraWorld,
) -> None:
    newer = world.store(AMS)
    await write(newer, born(1), born(2), term=3)
    await raised(newer, 3)
    plan = Adoption(1, 4, (raised_again(born(1).new), raised_again(born(2).new)), ())
    await _begun(world, plan, term=3, before_the_mark=lambda: write(newer, promoted(born(1).new), term=3))
    await adopt(newer, term=5)
    assert (await held(newer)).assignments == (promoted(born(1).new).new, raised_again(born(2).new))


async def test_a_store_that_nobody_reaches_at_first_is_used_as_soon_as_it_is_there(world: CassandraWorld) -> None:
    await write(world.store(FRA), born(1))
    for server in world.cluster.servers.servers.values():
        server.kill()
    late = CassandraStore(world.cluster.engine(), FLEET_ON_PAPER, FRA, deadline_s=DEADLINE_S)
    await late.open()
    assert isinstance(await read(late, [EU]), Unknown)
    await world.cluster.whole()
    while isinstance(found := await read(late, [EU]), Unknown):
        """It looks for them every now and then."""
    await late.close()
    assert found[EU].assignments == (born(1).new,)


async def _begun(
    world: CassandraWorld,
    adoption: Adoption,
    *,
    term: int,
    before_the_mark: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Do what a leader does that is killed right after its adoption was decided."""
    link = CassandraLink(world.cluster.engine(), FLEET_ON_PAPER, FRA, deadline_s=DEADLINE_S)
    await link.open()
    leader = CassandraAdoption(link, StoreRules(FLEET_ON_PAPER), [FLEET, EU])
    records = (await link.read(EU)).records
    bases = {new.shard: records[new.shard].fence for new in adoption.assignments}
    begun = await leader.lay_down(adoption, bases)
    if before_the_mark is not None:
        await before_the_mark()
    assert await leader.decide(term, begun)
    await link.close()


async def _slow(server: ServerProcess) -> None:
    """Let a server run for one part in four."""
    try:
        while True:
            server.freeze()
            await asyncio.sleep(0.15)
            server.resume()
            await asyncio.sleep(0.05)
    finally:
        server.resume()
