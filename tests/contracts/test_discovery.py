"""What every register of processes guarantees: in memory, and by a real Consul."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Protocol
from uuid import uuid4

import pytest

from core.discovery import Discovery, Instance, Listed, Part
from core.io.memory_discovery import MemoryDiscovery, Register
from core.io.registration import keep_registered
from core.names import DcId
from regions.io.consul_servers import ConsulServers
from tests.real_consul import Life, Seen, engine_of, hosts, running

LONG_S = 300.0
SHORT_S = 1.0
"""Of those that are to run out."""
DEADLINE_S = 3.0


class World(Protocol):
    """An adapter, and a fleet that nobody else uses."""

    fra: Instance
    ams: Instance

    def process(self, *, ttl_s: float = LONG_S, fleet: str = "") -> Discovery:
        """Give a process its way to the register, of another fleet if one is named."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...


def two_of(fleet: str) -> tuple[Instance, Instance]:
    """Make two processes."""
    return (
        Instance(fleet, Part.CONTROL_PLANE, "fra1-cp", DcId("fra1"), "127.1.0.1", 7001),
        Instance(fleet, Part.NODE, "ams1-c1", DcId("ams1"), "127.1.1.1", 7002),
    )


class MemoryWorld:
    """The register in memory."""

    def __init__(self) -> None:
        self._registers: dict[str, Register] = {}
        self.fra, self.ams = two_of("small")

    def process(self, *, ttl_s: float = LONG_S, fleet: str = "") -> MemoryDiscovery:
        return MemoryDiscovery(self._registers.setdefault(fleet, Register()), ttl_s=ttl_s)

    async def close(self) -> None:
        """Do nothing."""


class ConsulWorld:
    """A real Consul of three servers; each process asks another one first."""

    def __init__(self, servers: ConsulServers) -> None:
        self._servers = servers
        self._made: list[Discovery] = []
        self.fra, self.ams = two_of(f"f{uuid4().hex[:12]}")

    def process(self, *, ttl_s: float = LONG_S, fleet: str = "") -> Discovery:
        from core.io.consul_discovery import ConsulDiscovery  # py-consul is not installed everywhere

        engine = engine_of(self._servers, first=len(self._made) % len(self._servers.servers))
        made = ConsulDiscovery(engine, fleet or self.fra.fleet, deadline_s=DEADLINE_S, ttl_s=ttl_s)
        self._made.append(made)
        return made

    async def close(self) -> None:
        for made in self._made:
            await made.close()


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    with running(tmp_path_factory.mktemp("consul"), hosts(21)) as servers:
        yield servers


@pytest.fixture(params=["memory", pytest.param("consul", marks=pytest.mark.engines)])
def servers(request: pytest.FixtureRequest) -> ConsulServers | None:
    found: ConsulServers | None = request.getfixturevalue("consul") if request.param == "consul" else None
    return found


@pytest.fixture
async def world(servers: ConsulServers | None) -> AsyncIterator[World]:
    made: World = MemoryWorld() if servers is None else ConsulWorld(servers)
    yield made
    await made.close()


async def seen_by(discovery: Discovery, wanted: Listed) -> None:
    """Wait until a process sees exactly these."""
    async with Seen(discovery) as seen:
        await seen.shows(*wanted)


async def test_what_registers_is_listed_by_everybody_with_all_that_it_said(world: World) -> None:
    await world.process().register(world.ams)
    await world.process().register(world.fra)
    await seen_by(world.process(), (world.fra, world.ams))
    assert await world.process().instances() == (world.fra, world.ams)


async def test_who_registers_again_is_listed_once_and_with_what_is_so_now(world: World) -> None:
    process, moved = world.process(), replace(world.ams, port=7999)
    for instance in (world.ams, world.ams, moved):
        await process.register(instance)
    await seen_by(world.process(), (moved,))


async def test_only_what_registered_can_be_kept(world: World) -> None:
    process = world.process()
    assert not await process.keep(world.fra)
    await process.register(world.fra)
    assert await process.keep(world.fra)


async def test_who_is_kept_stays_longer_than_one_who_is_not(world: World) -> None:
    async with Seen(world.process()) as seen:
        life = Life()
        keeper = asyncio.create_task(keep_registered(world.process(ttl_s=SHORT_S), world.fra, life))
        await world.process(ttl_s=SHORT_S).register(world.ams)
        await seen.shows(world.fra, world.ams)
        await seen.shows(world.fra)
        life.end()
        await keeper
        await seen.shows()


async def test_who_ran_out_comes_back_when_it_speaks_again(world: World) -> None:
    process = world.process(ttl_s=SHORT_S)
    async with Seen(world.process()) as seen:
        await process.register(world.fra)
        await seen.shows(world.fra)
        await seen.shows()
        if not await process.keep(world.fra):
            await process.register(world.fra)
        await seen.shows(world.fra)


async def test_to_take_out_what_is_not_in_does_no_harm(world: World) -> None:
    process = world.process()
    await process.deregister(world.fra)
    await process.register(world.ams)
    await process.deregister(world.fra)
    await seen_by(world.process(), (world.ams,))


async def test_a_watch_begins_with_what_is_and_tells_every_change_in_order(world: World) -> None:
    process = world.process()
    await process.register(world.fra)
    await seen_by(process, (world.fra,))
    async with Seen(world.process()) as seen:
        await seen.shows(world.fra)
        for port in range(1, 6):
            await process.register(replace(world.ams, port=port))
            await seen.shows(world.fra, replace(world.ams, port=port))
        await process.deregister(world.ams)
        await seen.shows(world.fra)
    ports = [one.port for shown in seen.all for one in shown if one.part is Part.NODE]
    assert seen.all[0] == (world.fra,)
    assert ports == sorted(ports), "nothing older is told after something newer"


async def test_a_watch_that_begins_later_sees_what_an_earlier_one_sees(world: World) -> None:
    async with Seen(world.process()) as early:
        await early.shows()
        await world.process().register(world.fra)
        await early.shows(world.fra)
        async with Seen(world.process()) as late:
            await late.shows(world.fra)


async def test_a_fleet_does_not_see_another_one(world: World) -> None:
    await world.process().register(world.fra)
    await seen_by(world.process(), (world.fra,))
    assert await world.process(fleet="neighbours").instances() == ()


async def test_a_process_that_is_cancelled_takes_itself_out(world: World) -> None:
    async with Seen(world.process()) as seen:
        keeper = asyncio.create_task(keep_registered(world.process(), world.fra, Life()))
        await seen.shows(world.fra)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await seen.shows()
