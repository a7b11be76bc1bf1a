"""A store in Cassandra that can't be used is one clear line within five seconds, and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.cassandra_schema import SCHEMA_VERSION
from control_plane.io.cassandra_setup import check_store, init_store
from core.engines import CassandraEngine
from core.errors import TwinholdError
from core.io.cassandra_session import CassandraSession
from core.names import DcId
from regions.io.cassandra_servers import CassandraServers
from tests.contracts.store_worlds import FLEET_ON_PAPER
from tests.engines.cassandra_world import DEADLINE_S, KEYSPACE, SITES, CassandraCluster, CassandraWorld
from tests.engines.needs import need

pytestmark = pytest.mark.engines
CHECK_S = 1.5
LONGEST_S = 5.0
FLEET_ROW = "WHERE geography = '' AND segment = 0 IF EXISTS"


@pytest.fixture
async def engine(cassandra: CassandraCluster) -> AsyncIterator[CassandraEngine]:
    world = CassandraWorld(cassandra, FLEET_ON_PAPER)
    await world.start()
    yield cassandra.engine()
    await world.close()


async def said(engine: CassandraEngine, *statements: str) -> None:
    session = CassandraSession(engine, distance_s=lambda _: 0.0)
    await session.open({}, serial_reads=(), within_s=DEADLINE_S)
    for statement in statements:
        await session.ask(session.spoken(statement), within_s=20)
    await session.close()


async def refusal(engine: CassandraEngine, fleet: str = FLEET_ON_PAPER.fleet) -> str:
    """Check a store that can't be used; returns the line."""
    async with asyncio.timeout(LONGEST_S):
        with pytest.raises(TwinholdError) as refused:
            await check_store(engine, replace(FLEET_ON_PAPER, fleet=fleet), deadline_s=CHECK_S)
    assert "\n" not in refused.value.message
    return refused.value.message


async def test_a_store_that_is_fine_says_so_and_init_changes_nothing_of_it(engine: CassandraEngine) -> None:
    wanted = f"fleet {FLEET_ON_PAPER.fleet}, schema {SCHEMA_VERSION}, copies in fra1 1, ams1 1, waw1 1"
    for _ in range(2):
        assert (await check_store(engine, FLEET_ON_PAPER, deadline_s=DEADLINE_S)).startswith(wanted)
        await init_store(engine, FLEET_ON_PAPER, deadline_s=DEADLINE_S)


async def test_what_is_not_there_is_one_line(engine: CassandraEngine) -> None:
    nobody = replace(engine, contact_points=("127.30.99.1:9042", "127.30.99.2:9042"))
    assert "no Cassandra answers at 127.30.99.1:9042, 127.30.99.2:9042" in await refusal(nobody)
    assert "keyspace 'nowhere' does not exist" in await refusal(replace(engine, keyspace="nowhere"))
    assert "store.sites names dc9, and Cassandra has dc1, dc2, dc3" in await refusal(
        replace(engine, sites={**SITES, "dc9": DcId("fra1")})
    )


async def test_another_fleet_s_store_and_a_newer_one_are_refused(engine: CassandraEngine) -> None:
    assert "belongs to fleet small-144, not to elsewhere" in await refusal(engine, fleet="elsewhere")
    await said(engine, f"UPDATE {KEYSPACE}.records SET schema_version = 9 {FLEET_ROW}")
    assert "schema has version 9, and this twinhold knows 1" in await refusal(engine)


async def test_a_table_that_forgets_and_a_keyspace_of_two_sites_are_refused(engine: CassandraEngine) -> None:
    forgets, keeps = (f"ALTER TABLE {KEYSPACE}.records WITH default_time_to_live = {life_s}" for life_s in (60, 0))
    await said(engine, forgets)
    assert f"table {KEYSPACE}.records has a TTL of 60 s" in await refusal(engine)
    await said(engine, keeps)
    two = "WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1}"
    await said(engine, f"CREATE KEYSPACE IF NOT EXISTS two {two}")
    assert "copies in 2 sites" in await refusal(replace(engine, keyspace="two"))
    with pytest.raises(TwinholdError, match="copies in 2 sites"):
        await init_store(replace(engine, keyspace="two"), FLEET_ON_PAPER, deadline_s=DEADLINE_S)


async def test_a_wrong_password_is_one_line_that_does_not_show_it(tmp_path: Path) -> None:
    need("cassandra/lib", "java")
    servers = CassandraServers({"dc1": "127.30.8.1"}, tmp_path, with_passwords=True)
    await servers.start()
    engine = CassandraEngine(servers.contact_points, KEYSPACE, SITES, "cassandra", "not-this-one")
    line = await refusal(engine)
    servers.kill()
    assert "Cassandra refuses the user cassandra: check store.username and store.password" in line
    assert "not-this-one" not in line
