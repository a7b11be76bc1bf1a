"""The world of the assignment store in Cassandra: three real data centers, reached through proxies that can cut."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from control_plane.cassandra_schema import TABLES
from control_plane.io.cassandra_setup import init_store
from control_plane.io.cassandra_store import CassandraStore
from core.engines import CassandraEngine
from core.errors import TwinholdError
from core.io.cassandra_session import CassandraSession
from core.names import ControlPlaneId, DcId
from core.topology import Topology
from regions.cassandra_settings import CQL_PORT
from regions.io.cassandra_servers import CassandraServers
from regions.io.server_process import ServerProcess
from tests.contracts.cutting_proxy import CuttingProxy
from tests.contracts.store_calls import AMS, FRA
from tests.contracts.store_worlds import ALWAYS

HOSTS = {"dc1": "127.30.1.1", "dc2": "127.30.2.1", "dc3": "127.30.3.1"}
ADVERTISED = {"dc1": "127.30.1.2", "dc2": "127.30.2.2", "dc3": "127.30.3.2"}
"""What the nodes tell clients: the proxies."""
SITES = {"dc1": DcId("fra1"), "dc2": DcId("ams1"), "dc3": DcId("waw1")}
KEYSPACE = "contract"
DEADLINE_S = 3.0
"""Two busy cores carry three Cassandras and the test."""
SETTLE_S = 60.0
AGAIN_S = 0.2


class CassandraCluster:
    """Three data centers that tests share; whatever a test did to them, the next one finds them whole.

    Args:
        folder: for what they keep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = CassandraServers(HOSTS, folder, advertised=ADVERTISED)

    def server(self, site: str) -> ServerProcess:
        """Find the server that stands in a data center of the fleet."""
        return self.servers.servers[next(name for name, dc in SITES.items() if dc == site)]

    def engine(self, keyspace: str = KEYSPACE, sites: Mapping[str, DcId] | None = None) -> CassandraEngine:
        """Say how clients reach it."""
        points = tuple(f"{host}:{CQL_PORT}" for host in ADVERTISED.values())
        return CassandraEngine(points, keyspace, SITES if sites is None else sites)

    async def whole(self) -> None:
        """Resume and start what is not there."""
        for server in self.servers.servers.values():
            server.resume()
        await self.servers.start()


class CassandraWorld:
    """The assignment store in Cassandra.

    Args:
        cluster: where.
        topology: whose.
    """

    notices_restore = False

    def __init__(self, cluster: CassandraCluster, topology: Topology) -> None:
        self.cluster = cluster
        self.topology = topology
        self.proxies = {
            dc: CuttingProxy((ADVERTISED[dc], CQL_PORT), (HOSTS[dc], CQL_PORT)) for dc in cluster.servers.servers
        }
        self._stores: dict[ControlPlaneId, CassandraStore] = {}

    async def start(self) -> None:
        """Make everything whole and empty, and open the callers' stores."""
        await self.cluster.whole()
        for proxy in self.proxies.values():
            await proxy.start()
        await settled(self._emptied)
        await self._open()

    def store(self, caller: ControlPlaneId) -> CassandraStore:
        return self._stores[caller]

    async def set_living(self, *dcs: str) -> None:
        """Freeze the others: nobody has to start for what comes after."""
        for site in SITES.values():
            server = self.cluster.server(site)
            if site in dcs:
                server.resume()
            else:
                server.freeze()

    async def freeze(self) -> None:
        await self.set_living()

    async def thaw(self) -> None:
        await self.set_living(*SITES.values())

    async def lose_answers(self) -> None:
        for proxy in self.proxies.values():
            proxy.cuts = ALWAYS

    async def hear_again(self) -> None:
        for proxy in self.proxies.values():
            proxy.cuts = 0

    async def crash_and_restart(self) -> None:
        await self._restarted(lambda: None)

    async def keep(self) -> None:
        await self._restarted(lambda: self._copy(self.cluster.folder, self._kept))

    async def put_back(self) -> None:
        await self._restarted(lambda: self._copy(self._kept, self.cluster.folder))

    async def close(self) -> None:
        await self.thaw()
        await self._close()
        for proxy in self.proxies.values():
            await proxy.close()
        shutil.rmtree(self._kept, ignore_errors=True)

    @property
    def _kept(self) -> Path:
        return self.cluster.folder.with_name("backup")

    def _copy(self, source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)

    async def _restarted(self, deed: Callable[[], None]) -> None:
        self.cluster.servers.kill()
        deed()
        await self.cluster.whole()

    async def _open(self) -> None:
        for caller in (FRA, AMS):
            self._stores[caller] = CassandraStore(self.cluster.engine(), self.topology, caller, deadline_s=DEADLINE_S)
            await self._stores[caller].open()

    async def _close(self) -> None:
        for store in self._stores.values():
            await store.close()
        self._stores.clear()

    async def _emptied(self) -> None:
        engine = self.cluster.engine()
        session = CassandraSession(engine, distance_s=lambda _: 0.0)
        try:
            await session.open({}, serial_reads=(), within_s=DEADLINE_S)
            names = await session.ask(
                session.spoken(f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{KEYSPACE}'"),
                within_s=DEADLINE_S,
            )
            if len(names) == len(TABLES):
                for (name,) in names:
                    await session.ask(session.spoken(f"TRUNCATE {KEYSPACE}.{name}"), within_s=SETTLE_S)
        finally:
            await session.close()
        await init_store(engine, self.topology, deadline_s=DEADLINE_S)


async def settled(deed: Callable[[], Awaitable[None]]) -> None:
    """Do it as soon as it can be done: servers that come back find each other in their own time."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            try:
                await deed()
            except TwinholdError:
                await asyncio.sleep(AGAIN_S)
            else:
                return
