"""A small fleet on the real Cassandra and Consul: it does without them, and fails over with one of three dead."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.engines import CassandraEngine, ConsulEngine, Engines
from core.names import dc_of
from regions.io.fleet import Fleet
from regions.io.load import load
from regions.io.proc import State
from regions.servers import Servers, Service
from tests.engines.fleets import TENANT, connected, post, texts
from tests.engines.needs import need

pytestmark = pytest.mark.engines
ENGINES = Engines(store=CassandraEngine((), "twinhold", {}), discovery=ConsulEngine((), ""))
BACK_S = 120.0


async def brought_up(folder: Path) -> Fleet:
    return await Fleet.up(load("small", address_base=182), folder, profile="default", seed=1, engines=ENGINES)


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    need("cassandra/lib", "java")
    need("consul/consul")
    running = await brought_up(tmp_path / "fleet")
    yield running
    await running.down()


async def test_it_lives_without_its_engines_and_fails_over_with_one_of_three_dead(fleet: Fleet) -> None:
    assert "store" not in fleet.pids
    async with connected(fleet) as client:
        await client.create_tenant(TENANT, display_name="Acme", timeout_s=10)
        assert await post(client, "before") == 1

        await asyncio.gather(*(fleet.kill(Servers(service)) for service in Service))
        assert {fleet.state()[server.name] for server in fleet.servers} == {State.DEAD}
        assert await post(client, "without engines") == 2

        await asyncio.gather(*(fleet.start(Servers(service)) for service in Service))
        await asyncio.gather(*(fleet.wait_ready(Servers(service), timeout_s=BACK_S) for service in Service))

        lost = dc_of(client.locate(TENANT).primary.node)
        await asyncio.gather(fleet.kill(lost), *(fleet.kill(Servers(service, lost)) for service in Service))
        assert await post(client, "after") == 3
        assert dc_of(client.locate(TENANT).primary.node) != lost
        assert await texts(client) == ["before", "without engines", "after"]


async def test_what_it_holds_outlives_it_and_nothing_else_does(tmp_path: Path) -> None:
    need("cassandra/lib", "java")
    need("consul/consul")
    fleet = await brought_up(tmp_path)
    async with connected(fleet) as client:
        await client.create_tenant(TENANT, display_name="Acme", timeout_s=10)
        await post(client, "kept")
    pids = dict(fleet.pids)
    assert {server.name for server in fleet.servers} < set(pids)
    await fleet.down()
    assert [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []
    again = await brought_up(tmp_path)
    try:
        async with connected(again) as client:
            await client.ready(timeout_s=10)
            assert await texts(client) == ["kept"]
    finally:
        await again.down()
