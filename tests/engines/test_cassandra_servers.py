"""The launcher of Cassandra: ready means ready, and nothing is left behind."""

import os
from pathlib import Path

import pytest

from core.errors import UnavailableError
from regions.io.cassandra_servers import CassandraServers
from regions.io.proc import State, seen
from tests.engines.needs import need

pytestmark = pytest.mark.engines


@pytest.fixture(autouse=True)
def _needs() -> None:
    need("cassandra/lib", "java")


async def test_a_server_that_wants_passwords_is_ready_when_it_asks_for_one_and_is_gone_when_killed(
    tmp_path: Path,
) -> None:
    servers = CassandraServers({"fra1": "127.30.9.1"}, tmp_path, with_passwords=True)
    await servers.start()
    server = servers.servers["fra1"]
    pid = server.pid
    assert pid is not None
    assert os.getpgid(pid) == pid
    found = []
    for step in (server.resume, server.freeze, servers.kill):
        step()
        found.append(server.state)
    assert found == [State.RUNNING, State.FROZEN, State.DEAD]
    assert seen(pid) is None
    assert not list(Path("/tmp").glob(f"hsperfdata_*/{pid}"))


async def test_a_server_that_can_t_start_is_one_line(tmp_path: Path) -> None:
    servers = CassandraServers({"fra1": "192.0.2.1"}, tmp_path)
    with pytest.raises(UnavailableError, match=r"cassandra-fra1 ended while starting: .*Cannot assign"):
        await servers.start()
    assert servers.servers["fra1"].pid is None
