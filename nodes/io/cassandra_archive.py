"""The archive in Cassandra: of one geography, in Cassandra's data centers that stand in it.

Pieces are rows that are only ever inserted, so that to put one again does no harm: first what it holds, then its head,
which makes it visible. A write is taken by a quorum of the nearest data center; what another one wrote a moment ago may
not be listed yet, and is archived once more then. Only who chose Cassandra imports this.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

from cassandra import ConsistencyLevel

from core.engines import CassandraEngine
from core.errors import MalformedError, NotFoundError, TwinholdError
from core.io.cassandra_session import CassandraSession, Record
from core.names import DcId, GeographyId, ShardId
from core.ports import Done
from core.topology import Topology, rtt_table_s
from nodes.archive import DamagedPieceError, Piece, checked
from nodes.archive_heads import head_line, head_of
from nodes.archive_tables import (
    INSERT_CHUNK,
    INSERT_PIECE,
    LIST,
    READ_BUCKET,
    chunks_of,
    joined,
    keyspace_of,
    schema,
    sites_of,
    statements,
)
from nodes.ports import ArchiveFailure, Listing

CONNECT_S = 10.0
SCHEMA_S = 30.0
AGREE_S = 0.2
"""Between two looks whether Cassandra's nodes agree on the schema."""
ELSEWHERE_S = 1e6
"""How far a data center of another geography is: its nodes are asked by nobody who can ask another."""
Answer = TypeVar("Answer")


class CassandraArchive:
    """The port ``Archive`` over Cassandra; used on one event loop. It connects when it is first asked for something.

    Args:
        engine: where the cluster is, and in which data centers of the fleet it stands.
        topology: the fleet.
        geography: whose data it is.
        home: where the caller stands: the nearest coordinator is asked.
        deadline_s: of one statement.

    Raises:
        MalformedError: the keyspace's name is too long.
    """

    def __init__(
        self, engine: CassandraEngine, topology: Topology, geography: GeographyId, home: DcId, *, deadline_s: float
    ) -> None:
        self._keyspace = keyspace_of(engine.keyspace, geography)
        self._sites = sites_of(engine.sites, topology, geography)
        rtt_s = rtt_table_s(topology)

        def distance_s(name: str) -> float:
            site = self._sites.get(name)
            return ELSEWHERE_S if site is None else rtt_s.get((home, site), 0.0)

        # The driver's own lines: that tables are not there yet is no error, and what is one is told as a failure.
        logging.getLogger("cassandra.cluster").setLevel(logging.CRITICAL)
        self._session = CassandraSession(engine, distance_s=distance_s)
        self._deadline_s = deadline_s
        self._connecting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, piece: Piece, parts: Sequence[bytes], done: Done[ArchiveFailure | None]) -> None:
        """Keep a piece."""
        self._run(self._put(piece, parts), done)

    def pieces(self, shard: ShardId, *, from_lsn: int, done: Done[Listing | ArchiveFailure]) -> None:
        """List pieces."""
        self._run(self._listed(shard, from_lsn), done)

    def read(self, piece: Piece, done: Done[Sequence[bytes] | ArchiveFailure]) -> None:
        """Read what a piece holds."""
        self._run(self._read(piece), done)

    async def close(self) -> None:
        """Hang up; nobody is told any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    def _run(self, work: Coroutine[object, object, Answer], done: Callable[[Answer | ArchiveFailure], None]) -> None:
        async def ending() -> None:
            done(await _outcome(work))

        task = asyncio.ensure_future(ending())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _put(self, piece: Piece, parts: Sequence[bytes]) -> None:
        for chunk in chunks_of(parts):
            await self._ask(INSERT_CHUNK, (piece.shard, piece.name, *chunk))
        await self._ask(INSERT_PIECE, (piece.shard, piece.after.lsn, piece.name, head_line(piece)))

    async def _listed(self, shard: ShardId, from_lsn: int) -> Listing:
        pieces, damaged = list[Piece](), list[str]()
        place: tuple[int, str] = (from_lsn, "")
        while rows := await self._ask(LIST, (shard, *place)):
            for last_lsn, name, head in rows:
                place = (last_lsn, name)
                try:
                    pieces.append(head_of(head))
                except MalformedError:
                    damaged.append(f"{self._keyspace}.archive_pieces: shard {shard}, {name}")
        return Listing(tuple(pieces), tuple(damaged))

    async def _read(self, piece: Piece) -> Sequence[bytes] | ArchiveFailure:
        rows, bucket = list[tuple[int, bytes]](), 0
        while found := await self._ask(READ_BUCKET, (piece.shard, piece.name, bucket)):
            rows += [(part, body) for part, body in found]
            bucket += 1
        where = f"{self._keyspace}.archive_chunks: shard {piece.shard}, {piece.name}"
        try:
            return checked(piece, joined(rows))
        except DamagedPieceError as error:
            return ArchiveFailure(f"{where}: {error.cause}", damaged=True)

    async def _ask(self, name: str, values: Sequence[object]) -> Sequence[Record]:
        if not self._session.is_open:
            await self._connect()
        statement = self._session.bound(name, values)
        statement.consistency_level = ConsistencyLevel.LOCAL_QUORUM
        return await self._session.ask(statement, within_s=self._deadline_s)

    async def _connect(self) -> None:
        """Connect, and make the tables if this is the first time."""
        async with self._connecting:
            if self._session.is_open:
                return
            prepared = statements(self._keyspace)
            try:
                await self._session.open(prepared, serial_reads=(), within_s=CONNECT_S)
            except NotFoundError:
                await self._session.open({}, serial_reads=(), within_s=CONNECT_S)
                await self._make_tables()
                await self._session.close()
                await self._session.open(prepared, serial_reads=(), within_s=CONNECT_S)

    async def _make_tables(self) -> None:
        """Make what is missing, and wait until every node knows it; others may be doing the same."""
        copies = {name: count for name, count in self._session.nodes.items() if name in self._sites}
        for text in schema(self._keyspace, copies):
            await self._session.ask(self._session.spoken(text), within_s=SCHEMA_S)
        async with asyncio.timeout(SCHEMA_S):
            while True:
                if len(await self._versions()) == 1:
                    return
                await asyncio.sleep(AGREE_S)

    async def _versions(self) -> frozenset[object]:
        looks = [f"SELECT schema_version FROM system.{table}" for table in ("local", "peers_v2")]
        rows = [await self._session.ask(self._session.spoken(text), within_s=self._deadline_s) for text in looks]
        return frozenset(version for some in rows for (version,) in some)


async def _outcome(work: Awaitable[Answer]) -> Answer | ArchiveFailure:
    try:
        return await work
    except TwinholdError as error:
        return ArchiveFailure(error.message)
    except TimeoutError:
        return ArchiveFailure(f"Cassandra's nodes did not agree on the schema within {SCHEMA_S:.0f} s")
