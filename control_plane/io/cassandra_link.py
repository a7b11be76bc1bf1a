"""One control plane's way to the tables in Cassandra: connected for as long as it lives, however often that breaks.

Every request has a deadline and goes to one coordinator, once. Where the cluster is on this machine, it travels as far
as the caller would have to the nearest majority of the sites: half of it before, half after.
"""

import asyncio
from collections.abc import Sequence

from control_plane.cassandra_events import EVENT_READS, event_statements
from control_plane.cassandra_plan import Held
from control_plane.io.cassandra_rows import READ, SERIAL_READS, Values, applied, held, key, statements
from control_plane.ports import Partition
from control_plane.store_rules import nearest_majority_s
from core.engines import CassandraEngine
from core.errors import TwinholdError, UnavailableError
from core.io.cassandra_session import CassandraSession, Record
from core.io.json_log import warn
from core.names import ControlPlaneId, dc_of
from core.topology import Topology, rtt_table_s

AGAIN_S = 0.3
"""Between two attempts to connect."""
ASK_AGAIN_S = 0.02
"""Between a question without an answer and the next coordinator."""
TRIES = 2.5
"""Requests that a call has time for: one that is not answered, and the reading of what became of it."""
READS_AT_ONCE = 16
WRITES_AT_ONCE = 8


class CassandraLink:
    """Connections, prepared statements and distances.

    Args:
        engine: where the cluster is, and in which data centers of the fleet it stands.
        topology: the fleet.
        control_plane: whose way it is.
        deadline_s: of a call; a request has a part of it.
    """

    def __init__(
        self, engine: CassandraEngine, topology: Topology, control_plane: ControlPlaneId, *, deadline_s: float
    ) -> None:
        self._engine = engine
        self._home = dc_of(control_plane)
        self._rtt_s = dict(rtt_table_s(topology))
        self._request_s = deadline_s / TRIES
        self._connect_s = max(2.0, deadline_s)
        self._session = CassandraSession(engine, distance_s=self._distance_s)
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)
        self._connected = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; if no node answers, go on trying beside.

        Raises:
            NotAllowedError: the cluster refuses the user.
            NotFoundError: the keyspace, or a table, does not exist.
        """
        try:
            await self._connect()
        except UnavailableError as error:
            warn("store.away", message=error.message)
            self._connecting = asyncio.ensure_future(self._keep_connecting())

    async def close(self) -> None:
        """Close all connections."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._session.close()

    async def read(self, partition: Partition) -> Held:
        """Read a partition linearizably; errors as of ``ask``.

        Raises:
            UnavailableError: a record is not what was written.
        """
        return held(await self.ask(READ, key(partition)))

    async def ask(self, name: str, values: Values) -> Sequence[Record]:
        """Send a statement that reads, again and again until it is answered; the caller's deadline ends that.

        Raises:
            NotAllowedError: the cluster refuses the user.
            FixRequestError: it does not understand the question.
        """
        while True:
            try:
                async with self._reads:
                    await self._connected.wait()
                    return await self._travel(self._session.bound(name, values))
            except UnavailableError:
                await asyncio.sleep(ASK_AGAIN_S)

    async def put(self, *parts: tuple[str, Values]) -> bool:
        """Send one conditional write, of one partition; says whether it was applied.

        Raises:
            UnavailableError: no answer: it may have happened, or may still.
        """
        async with self._writes:
            await self._connected.wait()
            bound = [self._session.bound(name, values) for name, values in parts]
            return applied(await self._travel(bound[0] if len(bound) == 1 else self._session.batch(bound)))

    async def _travel(self, statement: object) -> Sequence[Record]:
        trip_s = self._trip_s() / 2
        await asyncio.sleep(trip_s)
        try:
            rows = await self._session.ask(statement, within_s=self._request_s)
        except TwinholdError:
            await asyncio.sleep(trip_s)
            raise
        await asyncio.sleep(trip_s)
        return rows

    async def _connect(self) -> None:
        wanted = {**statements(self._engine.keyspace), **event_statements(self._engine.keyspace)}
        await self._session.open(wanted, serial_reads=(*SERIAL_READS, *EVENT_READS), within_s=self._connect_s)
        self._connected.set()

    async def _keep_connecting(self) -> None:
        complained = ""
        while not self._session.is_open:
            await asyncio.sleep(AGAIN_S)
            try:
                await self._connect()
            except TwinholdError as error:  # whatever it is, it may be mended while we run
                if error.message != complained:
                    complained = error.message
                    warn("store.away", message=complained)

    def _distance_s(self, name: str) -> float:
        """Say how far a data center of Cassandra's is; one that nobody has placed is farther than all others."""
        site = self._engine.sites.get(name)
        return float("inf") if site is None else self._rtt_s.get((self._home, site), float("inf"))

    def _trip_s(self) -> float:
        """Measure the round trip to the nearest majority of sites; on a cluster elsewhere, the network sees to it."""
        if not self._session.loopback:
            return 0.0
        sites = tuple(self._engine.sites.values())
        living = frozenset(self._engine.sites[name] for name in self._session.living if name in self._engine.sites)
        trip_s = nearest_majority_s(self._home, sites, living=living, rtt_s=self._rtt_s)
        return max((self._rtt_s[self._home, site] for site in sites), default=0.0) if trip_s is None else trip_s
