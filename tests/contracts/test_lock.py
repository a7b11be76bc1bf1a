"""What every leader lock guarantees: in memory, by the embedded store, and by a real Consul."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from control_plane.io.store_client import StoreClient
from control_plane.memory_store import Fate, MemoryLock, Vault
from control_plane.ports import LeaderLock, Partition
from core.io.clock import LoopClock
from core.io.dial import channel
from core.names import ControlPlaneId
from core.processes import StoreConfig
from regions.io.consul_servers import ConsulServers
from tests.fleets import small_fleet
from tests.hosted_process import HostedProcess
from tests.real_consul import engine_of, hosts, running
from twinhold.v1 import store_service_pb2 as pb
from twinhold.v1 import store_service_pb2_grpc as pb_grpc

PATIENCE_S = 30.0
DEADLINE_S = 1.0
LONG_S = 300.0
SHORT_S = 1.0
TURNS = 20
FRA = ControlPlaneId("fra1-cp")
AMS = ControlPlaneId("ams1-cp")
WAW = ControlPlaneId("waw1-cp")


class World(Protocol):
    """An adapter and what can be done to it."""

    def lock(self, caller: ControlPlaneId) -> LeaderLock:
        """Give a control plane its way to the lock; each call stands for a process of its own."""
        ...

    async def freeze(self) -> None:
        """Stop the lock service where it stands."""
        ...

    async def thaw(self) -> None:
        """Let it go on."""
        ...

    async def lose_majority(self) -> None:
        """Take away so many of those who vote that no decision is possible."""
        ...

    async def regain(self) -> None:
        """Bring all of them back."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...


class MemoryWorld:
    """The lock in memory."""

    def __init__(self) -> None:
        self._clock = LoopClock(asyncio.get_running_loop())
        self._vault = Vault(small_fleet(28), self._clock)
        self._frozen = False

    def lock(self, caller: ControlPlaneId) -> MemoryLock:
        return MemoryLock(self._vault, caller, clock=self._clock, weather=self._weather, deadline_s=DEADLINE_S)

    async def freeze(self) -> None:
        self._frozen = True

    async def thaw(self) -> None:
        self._frozen = False

    async def lose_majority(self) -> None:
        self._frozen = True  # nobody answers then either

    async def regain(self) -> None:
        self._frozen = False

    async def close(self) -> None:
        """Do nothing."""

    def _weather(self, caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
        return Fate(there_s=None) if self._frozen else Fate()


class EmbeddedWorld:
    """The embedded store's lock."""

    def __init__(self, data_dir: Path) -> None:
        self._topology = small_fleet(28)
        self._data_dir = data_dir
        self._process = HostedProcess("control_plane.io.store_process", self._topology.store_endpoint)
        self._clients: list[StoreClient] = []

    async def start(self) -> None:
        self._process.start(lambda life_fd: StoreConfig(self._topology, self._data_dir, life_fd))
        await self._process.ready()

    def lock(self, caller: ControlPlaneId) -> StoreClient:
        self._clients.append(StoreClient(self._topology, caller, deadline_s=DEADLINE_S))
        return self._clients[-1]

    async def freeze(self) -> None:
        self._process.freeze()

    async def thaw(self) -> None:
        self._process.thaw()

    async def lose_majority(self) -> None:
        await self._set_living("fra1")

    async def regain(self) -> None:
        await self._set_living(*(dc.id for dc in self._topology.data_centers))

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        self._process.kill()

    async def _set_living(self, *dcs: str) -> None:
        line = channel(self._topology.store_endpoint)
        stub = pb_grpc.StoreServiceStub(line)
        await stub.SetSites(pb.SetSitesRequest(fleet=self._topology.fleet, living=dcs), timeout=PATIENCE_S)
        await line.close(None)


class ConsulWorld:
    """A real Consul of three servers; each control plane asks another one first."""

    def __init__(self, servers: ConsulServers) -> None:
        from control_plane.io.consul_lock import ConsulLock  # py-consul is not installed everywhere

        self._adapter = ConsulLock
        self._servers = servers
        self._fleet = f"f{uuid4().hex[:12]}"
        self._locks: list[ConsulLock] = []

    def lock(self, caller: ControlPlaneId) -> LeaderLock:
        engine = engine_of(self._servers, first=len(self._locks) % len(self._servers.servers))
        self._locks.append(self._adapter(engine, self._fleet, caller, deadline_s=DEADLINE_S))
        return self._locks[-1]

    async def freeze(self) -> None:
        for server in self._servers.servers:
            server.freeze()

    async def thaw(self) -> None:
        for server in self._servers.servers:
            server.resume()

    async def lose_majority(self) -> None:
        for server in self._servers.servers[1:]:
            server.kill()

    async def regain(self) -> None:
        await self._servers.start()

    async def close(self) -> None:
        for lock in self._locks:
            await lock.close()


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    with running(tmp_path_factory.mktemp("consul"), hosts(20)) as servers:
        yield servers


@pytest.fixture(params=["memory", "embedded", pytest.param("consul", marks=pytest.mark.engines)])
def kind(request: pytest.FixtureRequest) -> str | ConsulServers:
    name = str(request.param)
    servers: ConsulServers | None = request.getfixturevalue("consul") if name == "consul" else None
    return servers or name


@pytest.fixture
async def world(kind: str | ConsulServers, tmp_path: Path) -> AsyncIterator[World]:
    if isinstance(kind, ConsulServers):
        made: World = ConsulWorld(kind)
    elif kind == "memory":
        made = MemoryWorld()
    else:
        embedded = EmbeddedWorld(tmp_path)
        await embedded.start()
        made = embedded
    yield made
    await made.close()


async def holder(lock: LeaderLock, asker: ControlPlaneId, ttl_s: float = LONG_S) -> ControlPlaneId | None:
    """Ask once; a second answer, or one inside the call, is an error."""
    answer: asyncio.Future[ControlPlaneId | None] = asyncio.get_running_loop().create_future()
    lock.try_acquire(asker, ttl_s, answer.set_result)
    assert not answer.done(), "a port must not answer inside the call"
    return await asyncio.wait_for(answer, PATIENCE_S)


async def taken(lock: LeaderLock, asker: ControlPlaneId, ttl_s: float = LONG_S) -> None:
    """Ask until it is ours: nobody is told when it becomes free."""
    async with asyncio.timeout(PATIENCE_S):
        while await holder(lock, asker, ttl_s) != asker:
            await asyncio.sleep(0)


async def known(lock: LeaderLock, asker: ControlPlaneId) -> ControlPlaneId:
    """Ask until an answer comes."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await holder(lock, asker)) is None:
            await asyncio.sleep(0)
        return found


async def test_it_has_one_holder_until_that_gives_it_back(world: World) -> None:
    ours, theirs = world.lock(FRA), world.lock(AMS)
    assert await holder(ours, FRA) == FRA
    assert await holder(theirs, AMS) == FRA
    theirs.release(AMS)
    assert await holder(theirs, AMS) == FRA, "who does not hold it can't give it back"
    ours.release(FRA)
    await taken(theirs, AMS)
    assert await holder(ours, FRA) == AMS


async def test_of_many_who_ask_at_once_all_hear_of_the_same_one(world: World) -> None:
    asking = [(world.lock(who), who) for who in (FRA, AMS, WAW)]
    answers = await asyncio.gather(*(holder(lock, who) for lock, who in asking))
    assert len(set(answers) - {None}) == 1, answers
    again = await asyncio.gather(*(holder(lock, who) for lock, who in asking))
    assert set(again) == set(answers) - {None}, "nobody gave it back meanwhile"


async def test_it_is_never_two_s_at_once_whoever_takes_it_and_gives_it_back(world: World) -> None:
    held: list[tuple[float, float, ControlPlaneId]] = []
    now = asyncio.get_running_loop().time

    async def take_turns(who: ControlPlaneId) -> None:
        lock = world.lock(who)
        for _ in range(TURNS):
            await taken(lock, who)
            since = now()  # it was ours at the latest now, and is until we ask for it to be given back
            assert await holder(lock, who) == who
            held.append((since, now(), who))
            lock.release(who)

    await asyncio.gather(*map(take_turns, (FRA, AMS, WAW)))
    held.sort()
    overlapping = [(a, b) for a, b in itertools.pairwise(held) if a[1] > b[0] and a[2] != b[2]]
    assert overlapping == []
    assert len(held) == 3 * TURNS


async def test_whoever_renews_it_keeps_it_and_who_does_not_loses_it(world: World) -> None:
    ours, theirs = world.lock(FRA), world.lock(AMS)
    assert await holder(ours, FRA, SHORT_S) == FRA
    for _ in range(5):
        assert await holder(ours, FRA, SHORT_S) == FRA
        assert await holder(theirs, AMS) == FRA
    await taken(theirs, AMS)
    assert await holder(ours, FRA, SHORT_S) == AMS


async def test_a_holder_that_is_gone_loses_it_too(world: World) -> None:
    ours, theirs = world.lock(FRA), world.lock(AMS)
    assert await holder(ours, FRA, SHORT_S) == FRA
    if close := getattr(ours, "close", None):
        await close()
    await taken(theirs, AMS)


async def test_a_service_that_stands_still_is_one_whose_answer_is_not_known(world: World) -> None:
    ours, theirs = world.lock(FRA), world.lock(AMS)
    await taken(ours, FRA)
    await world.freeze()
    assert set(await asyncio.gather(holder(theirs, AMS), holder(ours, FRA))) == {None}
    await world.thaw()
    assert await known(theirs, AMS) == FRA


async def test_without_a_majority_nobody_takes_it_and_with_one_it_is_whose_it_was(world: World) -> None:
    ours, theirs = world.lock(FRA), world.lock(AMS)
    await taken(ours, FRA)
    await world.lose_majority()
    for lock, asker in ((theirs, AMS), (ours, FRA)):
        async with asyncio.timeout(PATIENCE_S):
            while (found := await holder(lock, asker)) is not None:
                assert found == FRA, "one that led until now may still answer for a moment, and truly"
    await world.regain()
    assert await known(theirs, AMS) == FRA
    assert await known(ours, FRA) == FRA
