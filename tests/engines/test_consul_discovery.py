"""Discovery by a real Consul whose servers are killed, frozen, restarted and emptied."""

import asyncio
import logging
import shutil
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from core.discovery import Instance
from core.engines import ConsulEngine
from core.errors import OverloadedError, UnavailableError
from core.io.consul_calls import WAITING_MAX, ConsulCalls
from core.io.consul_check import check_consul
from core.io.consul_discovery import ConsulDiscovery
from core.io.registration import keep_registered
from regions.io.consul_servers import ConsulServers
from tests.real_consul import PATIENCE_S, Life, Seen, engine_of, hosts, running

pytestmark = pytest.mark.engines

DEADLINE_S = 1.5
TTL_S = 3.0
LONG_S = 300.0


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    with running(tmp_path_factory.mktemp("consul"), hosts(22)) as servers:
        yield servers


@pytest.fixture
async def discovery(servers: ConsulServers, fra: Instance) -> AsyncIterator[ConsulDiscovery]:
    """Asks the first server first."""
    made = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S, ttl_s=LONG_S)
    yield made
    await made.close()


@pytest.fixture
async def watcher(servers: ConsulServers, fra: Instance) -> AsyncIterator[Seen]:
    """Watches by the last server first."""
    made = ConsulDiscovery(engine_of(servers, first=2), fra.fleet, deadline_s=DEADLINE_S)
    async with Seen(made) as seen:
        yield seen
    await made.close()


async def test_who_is_kept_is_back_whichever_server_is_restarted(
    servers: ConsulServers, fra: Instance, watcher: Seen
) -> None:
    kept = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S, ttl_s=TTL_S)
    life = Life()
    keeper = asyncio.create_task(keep_registered(kept, fra, life))
    for server in servers.servers:
        await watcher.shows(fra)
        await server.restart()
    await watcher.shows(fra)
    life.end()
    await keeper
    await watcher.shows()
    await kept.close()
    assert set(watcher.all) <= {(), (fra,)}


async def test_with_one_of_three_servers_down_the_next_one_is_asked(
    servers: ConsulServers, discovery: ConsulDiscovery, fra: Instance, watcher: Seen
) -> None:
    servers.servers[0].kill()
    await discovery.register(fra)
    await watcher.shows(fra)
    assert await discovery.keep(fra)
    await discovery.deregister(fra)
    await watcher.shows()


async def test_with_a_frozen_server_the_next_one_is_asked(
    servers: ConsulServers, discovery: ConsulDiscovery, fra: Instance, watcher: Seen
) -> None:
    await discovery.register(fra)
    await watcher.shows(fra)
    servers.servers[0].freeze()
    if not await discovery.keep(fra):
        await discovery.register(fra)
    assert await discovery.keep(fra)
    servers.servers[0].resume()
    await watcher.shows(fra)


async def test_with_two_of_three_down_nothing_is_known_and_all_is_back_with_them(
    servers: ConsulServers, fra: Instance, watcher: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S, ttl_s=TTL_S)
    keeper = asyncio.create_task(keep_registered(kept, fra, Life()))
    await watcher.shows(fra)
    for server in servers.servers[1:]:
        server.kill()
    other = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S)
    with pytest.raises(UnavailableError, match=r"^Consul .*127\.22\.0\.1:8500"):
        await other.instances()
    assert watcher.all[-1] == (fra,), "to lose Consul is no news about a process"
    await servers.start()
    async with asyncio.timeout(PATIENCE_S):
        while await other.instances() != (fra,):
            """What is registered is told to the new leader when Consul's agents come to it."""
    await watcher.shows(fra)
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    for made in (kept, other):
        await made.close()


async def test_while_all_of_consul_is_gone_it_is_complained_about_once_and_then_everybody_is_back(
    servers: ConsulServers, fra: Instance, watcher: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept = ConsulDiscovery(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S, ttl_s=TTL_S)
    keeper = asyncio.create_task(keep_registered(kept, fra, Life()))
    await watcher.shows(fra)
    servers.kill()
    for server in servers.servers:
        shutil.rmtree(server.folder / "data")  # nobody remembers anything
    complaint = "discovery.unregistered"
    async with asyncio.timeout(PATIENCE_S):
        while complaint not in caplog.messages:
            await asyncio.sleep(0.05)
    with pytest.raises(UnavailableError, match=r"Connection refused.*is it running"):
        await check_consul(engine_of(servers), fra.fleet, deadline_s=DEADLINE_S)
    await servers.start()
    await watcher.shows(fra)
    async with asyncio.timeout(PATIENCE_S):
        while not await kept.keep(fra):
            """The watch has it from before; now it is there."""
    assert caplog.messages.count(complaint) == 1
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    await watcher.shows()
    await kept.close()


async def test_what_answers_but_is_no_consul_is_one_line(fra: Instance) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhey!")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.22.1.1", 8500)
    with pytest.raises(UnavailableError, match=r"127\.22\.1\.1:8500") as caught:
        await check_consul(ConsulEngine(("127.22.1.1:8500",), ""), fra.fleet, deadline_s=DEADLINE_S)
    assert "\n" not in caught.value.message
    server.close()


async def test_an_address_that_never_answers_is_given_up_in_time_and_the_next_one_asked(
    servers: ConsulServers, fra: Instance
) -> None:
    deaf = socket.create_server(("127.22.1.2", 8500))  # the kernel takes the connection, and nobody the request
    alone = ConsulEngine(("127.22.1.2:8500",), "")
    with pytest.raises(UnavailableError, match=r"127\.22\.1\.2:8500 \(no answer within 1\.5 s\)"):
        await check_consul(alone, fra.fleet, deadline_s=DEADLINE_S)
    together = ConsulEngine((*alone.addresses, *servers.addresses), "")
    await check_consul(together, fra.fleet, deadline_s=DEADLINE_S)
    deaf.close()


async def test_more_calls_than_may_wait_are_refused_at_once() -> None:
    deaf = socket.create_server(("127.22.1.3", 8500))
    calls = ConsulCalls(ConsulEngine(("127.22.1.3:8500",), ""), name="test", deadline_s=DEADLINE_S)
    asked = [calls.ask(lambda client: client.status.leader()) for _ in range(WAITING_MAX + 2)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(answer) for answer in answers} == {UnavailableError, OverloadedError}
    await calls.close()
    deaf.close()


async def test_a_check_leaves_nothing_behind(servers: ConsulServers, fra: Instance) -> None:
    engine = engine_of(servers)
    await check_consul(engine, fra.fleet, deadline_s=DEADLINE_S)
    calls = ConsulCalls(engine, name="test", deadline_s=DEADLINE_S)
    _, keys = await calls.ask(lambda client: client.kv.get(f"twinhold/{fra.fleet}", keys=True))
    _, sessions = await calls.ask(lambda client: client.session.list())
    services = await calls.ask(lambda client: client.agent.services())
    await calls.close()
    assert not keys
    assert not sessions
    assert not [name for name in services if fra.fleet in name]
