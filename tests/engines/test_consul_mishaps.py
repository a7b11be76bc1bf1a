"""Mishaps of a real Consul that are not a stop: answers that get lost, a slow server, a full disk, an old backup.

A clock that jumps is not among them: Consul reads the machine's clock without the C library, past libfaketime.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from http.client import HTTPConnection
from uuid import uuid4

import pytest

from control_plane.io.consul_lock import ConsulLock
from core.discovery import Instance
from core.engines import ConsulEngine
from core.errors import UnavailableError
from core.io.consul_discovery import ConsulDiscovery
from core.names import ControlPlaneId
from regions.io.consul_servers import HTTP_PORT, ConsulServers
from regions.io.server_process import ServerProcess
from tests.contracts.cutting_proxy import CuttingProxy
from tests.contracts.test_lock import AMS, FRA, holder, known
from tests.real_consul import PATIENCE_S, Seen, engine_of, hosts, running

pytestmark = pytest.mark.engines

DEADLINE_S = 2.0
LONG_S = 300.0
PROXY = "127.22.9.1"
STUTTER_S = 0.1
FULL_BYTES = 4096
ANSWERS = 3
"""Of Consul, until a lock that nobody held is held: whose it is, a session, the key."""


class LateCut(CuttingProxy):
    """Cuts an answer off, but not the next one."""

    spared = 0

    def _is_cut(self) -> bool:
        if self.spared:
            self.spared -= 1
            return False
        return super()._is_cut()


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    with running(tmp_path_factory.mktemp("consul"), hosts(22)) as servers:
        yield servers


@pytest.fixture
async def proxy(servers: ConsulServers) -> AsyncIterator[LateCut]:
    host, _, port = servers.addresses[0].rpartition(":")
    made = LateCut((PROXY, HTTP_PORT), (host, int(port)))
    await made.start()
    yield made
    await made.close()


BY_PROXY = ConsulEngine((f"{PROXY}:{HTTP_PORT}",), "")


@asynccontextmanager
async def locks(fleet: str, *asking: tuple[ControlPlaneId, ConsulEngine]) -> AsyncIterator[list[ConsulLock]]:
    """Give control planes their locks."""
    async with AsyncExitStack() as closing:
        made = [ConsulLock(engine, fleet, who, deadline_s=DEADLINE_S) for who, engine in asking]
        for one in made:
            closing.push_async_callback(one.close)
        yield made


@pytest.mark.parametrize("spared", range(ANSWERS))
async def test_whether_a_lock_whose_answer_got_lost_is_held_is_known_when_it_is_asked_for_again(
    servers: ConsulServers, proxy: LateCut, spared: int
) -> None:
    fleet = f"f{uuid4().hex[:12]}"
    async with locks(fleet, (FRA, BY_PROXY), (AMS, engine_of(servers))) as (ours, theirs):
        proxy.spared, proxy.cuts = spared, 1
        assert await holder(ours, FRA) is None
        assert proxy.cuts == 0
        was_done = spared == ANSWERS - 1
        assert await known(theirs, AMS) == (FRA if was_done else AMS)
        assert await known(ours, FRA) == (FRA if was_done else AMS)


async def test_a_registration_whose_answer_got_lost_is_made_again_without_harm(
    servers: ConsulServers, proxy: LateCut, fra: Instance
) -> None:
    ours = ConsulDiscovery(BY_PROXY, fra.fleet, deadline_s=DEADLINE_S, ttl_s=LONG_S)
    theirs = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S)
    async with Seen(theirs) as seen:
        proxy.cuts = 1
        with pytest.raises(UnavailableError):
            await ours.register(fra)
        await seen.shows(fra)
        await ours.register(fra)
        assert await ours.keep(fra)
        assert await theirs.instances() == (fra,)
    await ours.close()
    await theirs.close()


async def stuttering(server: ServerProcess) -> None:
    """Let a server stand still half of the time."""
    try:
        while True:
            server.freeze()
            await asyncio.sleep(STUTTER_S)
            server.resume()
            await asyncio.sleep(STUTTER_S)
    finally:
        server.resume()


async def test_a_slow_server_answers_late_and_changes_nothing(servers: ConsulServers, fra: Instance) -> None:
    discovery = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S, ttl_s=LONG_S)
    slow = asyncio.create_task(stuttering(servers.servers[0]))
    async with locks(fra.fleet, (FRA, engine_of(servers)), (AMS, engine_of(servers, first=1))) as (ours, theirs):
        assert await known(ours, FRA) == FRA
        async with Seen(discovery) as seen:
            for port in range(1, 4):
                await discovery.register(replace(fra, port=port))
                await seen.shows(replace(fra, port=port))
                assert await known(theirs, AMS) == FRA
                assert await known(ours, FRA) == FRA
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await discovery.close()


@pytest.mark.parametrize("place", range(3))
async def test_a_server_whose_disk_is_full_makes_nobody_believe_in_another_holder(
    servers: ConsulServers, fra: Instance, place: int
) -> None:
    # If it is the one that leads Consul, Consul may decide nothing until somebody restarts it: ten minutes were seen.
    full = servers.servers[place]
    assert full.pid is not None
    async with locks(fra.fleet, (FRA, engine_of(servers)), (AMS, engine_of(servers, first=1))) as (ours, theirs):
        assert await known(ours, FRA) == FRA
        resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
        told = {await holder(lock, who) for lock, who in ((theirs, AMS), (ours, FRA), (theirs, AMS))}
        assert told <= {FRA, None}
        full.kill()
        await servers.start()
        assert await known(theirs, AMS) == FRA
        ours.release(FRA)
        async with asyncio.timeout(PATIENCE_S):
            while await holder(theirs, AMS) != AMS:
                """A release travels like any call, and nobody waits for it."""


def backed_up(address: str, method: str, body: bytes = b"") -> bytes:
    """Take a backup of all that Consul holds, or put one in its place."""
    line = HTTPConnection(address, timeout=30)
    line.request(method, "/v1/snapshot", body)
    answer = line.getresponse()
    content = answer.read()
    line.close()
    assert answer.status == 200, content
    return content


async def test_an_old_backup_takes_the_lock_back_and_a_watch_past_it(servers: ConsulServers, fra: Instance) -> None:
    ams = replace(fra, id="ams1-c1")
    process, watching = (
        ConsulDiscovery(engine_of(servers, first=place), fra.fleet, deadline_s=DEADLINE_S, ttl_s=LONG_S)
        for place in (0, 1)
    )
    async with (
        locks(fra.fleet, (FRA, engine_of(servers)), (AMS, engine_of(servers, first=1))) as (ours, theirs),
        Seen(watching) as seen,
    ):
        await process.register(fra)
        await seen.shows(fra)
        assert await known(ours, FRA) == FRA
        old = await asyncio.to_thread(backed_up, servers.addresses[0], "GET")
        ours.release(FRA)
        async with asyncio.timeout(PATIENCE_S):
            while await holder(theirs, AMS) != AMS:
                """A release travels like any call, and nobody waits for it."""
        await process.register(ams)
        await seen.shows(ams, fra)

        await asyncio.to_thread(backed_up, servers.addresses[0], "PUT", old)
        assert await known(theirs, AMS) == FRA, "what it held is held again, until it runs out"
        await process.deregister(fra)
        await process.register(replace(ams, port=7999))
        await seen.shows(replace(ams, port=7999))
    await process.close()
    await watching.close()
