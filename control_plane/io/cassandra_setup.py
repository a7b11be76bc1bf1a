"""Creates and checks the assignment store in Cassandra; says in one line why it can't be used."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from control_plane.cassandra_schema import (
    SCHEMA_VERSION,
    TABLES,
    Home,
    Keyspace,
    create_keyspace,
    create_tables,
    wrong_home,
    wrong_keyspace,
    wrong_sites,
)
from core.engines import CassandraEngine
from core.errors import FixRequestError, NotFoundError, RefusedBySafetyError, UnavailableError
from core.io.cassandra_session import CassandraSession, Record
from core.names import DcId
from core.topology import Topology

CHANGE_S = 30.0
"""For one change of the schema: all nodes have to agree on it."""
LOOK_S = 0.2
"""Between two questions whether they do."""
COPIES_MAX = 3
"""In each site, where it has as many nodes."""
_FLEET_ROW = "geography = '' AND segment = 0"
_NO_STORE = "create it: twinhold store init"


async def init_store(engine: CassandraEngine, topology: Topology, *, deadline_s: float) -> None:
    """Create what is not there of keyspace, tables and the fleet's own row, and check all of it.

    Args:
        engine: where the cluster is, and in which data centers of the fleet it stands.
        topology: the fleet.
        deadline_s: of each question; changes of the schema take longer.

    Raises:
        TwinholdError: it can't be used, as of ``check_store``.
    """
    async with _asking(engine, deadline_s) as asking:
        _refuse(wrong_sites(engine.sites, asking.session.nodes, _data_centers(topology)))
        copies = min(COPIES_MAX, *(asking.session.nodes[name] for name in engine.sites))
        await asking.change(create_keyspace(engine.keyspace, engine.sites, copies))
        missing = [table for table in TABLES if table not in (await asking.keyspace()).lives_s]
        if missing:
            _refuse(wrong_keyspace(_without_tables(await asking.keyspace()), engine.sites))
            for statement in create_tables(engine.keyspace):
                await asking.change(statement)
        await asking.own(topology.fleet)
        await _check(asking, topology)


async def check_store(engine: CassandraEngine, topology: Topology, *, deadline_s: float) -> str:
    """Find out whether a fleet can be put on this store; changes nothing.

    Args:
        engine: as above.
        topology: the fleet.
        deadline_s: of each of a few questions.

    Returns:
        What was found, in one line.

    Raises:
        UnavailableError: nobody answers.
        NotAllowedError: the cluster refuses the user.
        NotFoundError: there is no such keyspace, or no store in it.
        FixRequestError: it is another fleet's, or of a newer version.
        RefusedBySafetyError: it would not keep what it promises; names what is wrong.
    """
    async with _asking(engine, deadline_s) as asking:
        return await _check(asking, topology)


class _Asking:
    """Questions about one keyspace."""

    def __init__(self, session: CassandraSession, engine: CassandraEngine, deadline_s: float) -> None:
        self.session = session
        self.engine = engine
        self._deadline_s = deadline_s

    async def keyspace(self) -> Keyspace:
        name = self.engine.keyspace
        rows = await self._ask(f"SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{name}'")
        if not rows:
            raise NotFoundError("keyspace", name, remedy=f"check store.keyspace, or {_NO_STORE}")
        replication = dict(rows[0][0])
        strategy = str(replication.pop("class")).rpartition(".")[2]
        copies = {dc: int(factor) for dc, factor in replication.items() if str(factor).isdigit()}
        tables = await self._ask(
            f"SELECT table_name, default_time_to_live FROM system_schema.tables WHERE keyspace_name = '{name}'"
        )
        return Keyspace(name, strategy, copies, {table: life_s or 0 for table, life_s in tables})

    async def home(self) -> Home:
        table = f"{self.engine.keyspace}.records"
        rows = await self._ask(f"SELECT fleet, schema_version FROM {table} WHERE {_FLEET_ROW} LIMIT 1", serial=True)
        if not rows or rows[0][0] is None:
            raise NotFoundError("store", self.engine.keyspace, remedy=_NO_STORE)
        return Home(*rows[0])

    async def own(self, fleet: str) -> None:
        """Write whose store it is, unless that is written; one conditional write, like all others."""
        await self._ask(
            f"UPDATE {self.engine.keyspace}.records SET fleet = '{fleet}', store_incarnation = 1,"
            f" schema_version = {SCHEMA_VERSION}, adopting = '' WHERE {_FLEET_ROW} IF fleet = null"
        )

    async def change(self, text: str) -> None:
        """Change the schema, and wait until all nodes have it: one that has not yet would refuse whoever asks it."""
        await self.session.ask(self.session.spoken(text), within_s=CHANGE_S)
        until = asyncio.get_running_loop().time() + CHANGE_S
        while len(await self._versions()) > 1:
            if asyncio.get_running_loop().time() > until:
                raise UnavailableError(f"Cassandra's nodes did not agree on the schema within {CHANGE_S:g} s")
            await asyncio.sleep(LOOK_S)

    async def _versions(self) -> frozenset[object]:
        own = await self._ask("SELECT schema_version FROM system.local")
        others = await self._ask("SELECT schema_version FROM system.peers_v2")
        return frozenset(version for (version,) in (*own, *others))

    async def _ask(self, text: str, *, serial: bool = False) -> Sequence[Record]:
        return await self.session.ask(self.session.spoken(text, serial=serial), within_s=self._deadline_s)


@asynccontextmanager
async def _asking(engine: CassandraEngine, deadline_s: float) -> AsyncIterator[_Asking]:
    if not engine.contact_points:
        raise UnavailableError("no contact point of Cassandra is named: set store.contact_points")
    session = CassandraSession(engine, distance_s=lambda name: 0.0 if name in engine.sites else 1.0)
    try:
        await session.open({}, serial_reads=(), within_s=deadline_s)
        yield _Asking(session, engine, deadline_s)
    finally:
        await session.close()


async def _check(asking: _Asking, topology: Topology) -> str:
    engine = asking.engine
    _refuse(wrong_sites(engine.sites, asking.session.nodes, _data_centers(topology)))
    keyspace = await asking.keyspace()
    _refuse(wrong_keyspace(keyspace, engine.sites))
    home = await asking.home()
    if wrong := wrong_home(home, topology.fleet):
        raise FixRequestError(wrong)
    shown = ", ".join(f"{engine.sites[name]} {copies}" for name, copies in sorted(keyspace.copies.items()))
    return f"fleet {home.fleet}, schema {home.schema_version}, copies in {shown}: any one of these may be lost"


def _refuse(wrong: str) -> None:
    if wrong:
        raise RefusedBySafetyError(wrong, violations=[wrong])


def _data_centers(topology: Topology) -> frozenset[DcId]:
    return frozenset(dc.id for dc in topology.data_centers)


def _without_tables(keyspace: Keyspace) -> Keyspace:
    """Judge a keyspace before its tables are made."""
    return Keyspace(keyspace.name, keyspace.strategy, keyspace.copies, dict.fromkeys(TABLES, 0))
