"""Three Consul datacenters joined over WAN: the lock stands in one, who registers at home is seen everywhere."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from control_plane.io.consul_lock import ConsulLock
from core.discovery import Instance, Part
from core.engines import ConsulEngine
from core.errors import UnavailableError
from core.io.consul_check import check_consul
from core.io.consul_discovery import ConsulDiscovery
from core.io.consul_http import ConsulQuestions
from core.names import ControlPlaneId, DcId
from regions.io.consul_servers import ConsulServers
from tests.contracts.test_lock import AMS, FRA, holder, known, taken
from tests.engines.needs import need
from tests.real_consul import PATIENCE_S, Seen, hosts

pytestmark = pytest.mark.engines

DEADLINE_S = 3.0
NAMES = ("fra", "ams", "waw")


@pytest.fixture(scope="module")
def datacenters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[ConsulServers]]:
    """A server in each; every one knows the others."""
    need("consul/consul")
    folder, everybody = tmp_path_factory.mktemp("consul"), hosts(25)
    made = [
        ConsulServers(folder, [host], datacenter=name, wan=everybody)
        for name, host in zip(NAMES, everybody, strict=True)
    ]

    async def up() -> None:
        for servers in made:
            servers.launch()
        for servers in made:
            await servers.start()
        await joined(made)

    try:
        asyncio.run(up())
        yield made
    finally:
        for servers in made:
            servers.kill()


async def joined(datacenters: Sequence[ConsulServers]) -> None:
    """Wait until each datacenter reaches every other one."""
    async with asyncio.timeout(PATIENCE_S):
        for home in datacenters:
            for away in datacenters:
                while not await reaches(home, away):
                    await asyncio.sleep(0.05)


async def reaches(home: ConsulServers, away: ConsulServers) -> bool:
    """Say whether a lock that stands in another datacenter can be tried out from here."""
    engine = ConsulEngine(home.addresses, datacenter=away.datacenter)
    try:
        await check_consul(engine, "joined", deadline_s=DEADLINE_S)
    except UnavailableError:
        return False
    return True


def at(servers: ConsulServers) -> ConsulEngine:
    """Dial one datacenter's agent; the lock stands in the first one."""
    return ConsulEngine(servers.addresses, datacenter=NAMES[0])


@pytest.fixture
def fleet() -> str:
    return f"f{uuid4().hex[:12]}"


@pytest.fixture
async def discoveries(
    datacenters: Sequence[ConsulServers], fleet: str
) -> AsyncIterator[tuple[ConsulDiscovery, ConsulDiscovery, ConsulDiscovery]]:
    """A process's way to the register in each datacenter."""
    fra, ams, waw = (ConsulDiscovery(at(one), fleet, deadline_s=DEADLINE_S, ttl_s=300.0) for one in datacenters)
    async with AsyncExitStack() as closing:
        for one in (fra, ams, waw):
            closing.push_async_callback(one.close)
        yield fra, ams, waw


async def test_the_lock_of_another_datacenter_is_taken_renewed_and_given_back(
    datacenters: Sequence[ConsulServers], fleet: str
) -> None:
    home, away, _ = datacenters
    ours, theirs = (
        ConsulLock(at(where), fleet, who, deadline_s=DEADLINE_S) for where, who in ((away, AMS), (home, FRA))
    )
    assert await known(ours, AMS) == AMS
    assert await holder(theirs, FRA) == AMS
    assert await holder(ours, AMS) == AMS
    ours.release(AMS)
    await taken(theirs, FRA)
    for one in (ours, theirs):
        await one.close()


async def test_who_registers_at_home_is_seen_everywhere(
    discoveries: tuple[ConsulDiscovery, ConsulDiscovery, ConsulDiscovery],
    datacenters: Sequence[ConsulServers],
    fleet: str,
) -> None:
    fra, ams, waw = discoveries
    one = Instance(fleet, Part.NODE, "ams1-c1", DcId("ams1"), "127.1.0.1", 7001)
    two = Instance(fleet, Part.NODE, "fra1-c1", DcId("fra1"), "127.1.0.2", 7001)
    async with Seen(waw) as seen:
        await ams.register(one)
        await seen.shows(one)
        await fra.register(two)
        await seen.shows(one, two)
        assert await waw.instances() == (one, two)
        questions = ConsulQuestions(at(datacenters[2]), deadline_s=DEADLINE_S)
        assert await asyncio.to_thread(questions.living, fleet) == (one, two)
        await fra.deregister(two)
        await seen.shows(one)


async def test_a_lost_datacenter_takes_nothing_from_the_others(
    discoveries: tuple[ConsulDiscovery, ConsulDiscovery, ConsulDiscovery],
    datacenters: Sequence[ConsulServers],
    fleet: str,
) -> None:
    fra, ams, waw = discoveries
    one = Instance(fleet, Part.NODE, "ams1-c1", DcId("ams1"), "127.1.0.1", 7001)
    two = Instance(fleet, Part.NODE, "waw1-c1", DcId("waw1"), "127.1.0.2", 7001)
    lock = ConsulLock(at(datacenters[1]), fleet, ControlPlaneId("ams1-cp"), deadline_s=DEADLINE_S)
    await taken(lock, AMS)
    async with Seen(ams) as seen:
        await ams.register(one)
        await seen.shows(one)
        datacenters[0].kill()
        assert await holder(lock, AMS) is None, "it stood there"
        await waw.register(two)
        await seen.shows(one, two)
        await datacenters[0].start()
        assert await known(lock, AMS) == AMS
    await fra.close()
    await lock.close()
