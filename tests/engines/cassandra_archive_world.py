"""The world of the archive in Cassandra: two real data centers of one geography, and a process's loop on a thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from core.engines import CassandraEngine
from core.io.cassandra_session import CassandraSession
from core.names import DcId, GeographyId, ShardId
from core.ports import Done
from nodes.archive import Piece
from nodes.io.cassandra_archive import CassandraArchive
from nodes.ports import Archive, ArchiveFailure, Listing
from regions.io.cassandra_servers import CassandraServers
from tests.fleets import small_fleet

HOSTS = {"dc1": "127.42.1.1", "dc2": "127.42.2.1"}
SITES = {"dc1": DcId("fra1"), "dc2": DcId("ams1")}
EU = GeographyId("eu")
KEYSPACE = "contract"
DEADLINE_S = 5.0
PATIENCE_S = 60.0
AGAIN_S = 0.2
Answer = TypeVar("Answer")


def started_servers(folder: Path) -> CassandraServers:
    """Start the servers, for all tests."""
    servers = CassandraServers(HOSTS, folder)
    asyncio.run(servers.start())
    return servers


class CassandraWorld:
    """The adapter over Cassandra; every test has a keyspace of its own.

    Args:
        servers: they run.
        name: of the test's store.
    """

    def __init__(self, servers: CassandraServers, name: str) -> None:
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._servers = servers
        self._engine = CassandraEngine(servers.contact_points, name, SITES)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._opened = self._on_loop(self._open())
        # Another node starts beside it, on a store without tables: both make them.
        other = self._on_loop(self._open())
        self._on_loop(asyncio.wait_for(_asked_at_once(self._opened, other), PATIENCE_S))
        self._on_loop(other.close())

    @property
    def archive(self) -> Archive:
        return _Elsewhere(self._opened, self._loop, self.calls)

    def reopen(self) -> None:
        self._on_loop(self._opened.close())
        self._opened = self._on_loop(self._open())

    def flip(self, piece: Piece, at: int) -> None:
        self._on_loop(self._flip(piece, at))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        for server in self._servers.servers.values():
            server.freeze()
        yield
        for server in self._servers.servers.values():
            server.resume()
        self._on_loop(asyncio.wait_for(self._settled(), PATIENCE_S))

    def close(self) -> None:
        self._on_loop(self._opened.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> CassandraArchive:
        return CassandraArchive(self._engine, small_fleet(42), EU, DcId("ams1"), deadline_s=DEADLINE_S)

    async def _settled(self) -> None:
        """Ask until it answers: the client finds its servers again in its own time."""
        answers: asyncio.Queue[Listing | ArchiveFailure] = asyncio.Queue()
        while True:
            self._opened.pieces(ShardId(1), from_lsn=0, done=answers.put_nowait)
            if isinstance(await answers.get(), Listing):
                return
            await asyncio.sleep(AGAIN_S)

    async def _flip(self, piece: Piece, at: int) -> None:
        session = CassandraSession(self._engine, distance_s=lambda _: 0.0)
        where = f"shard = {piece.shard} AND name = '{piece.name}' AND bucket = 0 AND part = 0 AND slice = 0"
        table = f"{self._engine.keyspace}_archive_eu.archive_chunks"
        try:
            await session.open({}, serial_reads=(), within_s=DEADLINE_S)
            ((body,),) = await session.ask(
                session.spoken(f"SELECT body FROM {table} WHERE {where}"), within_s=DEADLINE_S
            )
            changed = bytearray(body)
            changed[at] ^= 1
            text = f"UPDATE {table} SET body = 0x{changed.hex()} WHERE {where}"
            await session.ask(session.spoken(text), within_s=DEADLINE_S)
        finally:
            await session.close()

    def _on_loop(self, work: Coroutine[object, object, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


class _Elsewhere:
    """An archive whose loop runs on another thread; answers come to the test's queue."""

    def __init__(
        self, inner: CassandraArchive, loop: asyncio.AbstractEventLoop, calls: "SimpleQueue[Callable[[], None]]"
    ) -> None:
        self._inner = inner
        self._loop = loop
        self._calls = calls

    def put(self, piece: Piece, parts: Sequence[bytes], done: Done[ArchiveFailure | None]) -> None:
        self._loop.call_soon_threadsafe(lambda: self._inner.put(piece, parts, self._told(done)))

    def pieces(self, shard: ShardId, *, from_lsn: int, done: Done[Listing | ArchiveFailure]) -> None:
        self._loop.call_soon_threadsafe(lambda: self._inner.pieces(shard, from_lsn=from_lsn, done=self._told(done)))

    def read(self, piece: Piece, done: Done[Sequence[bytes] | ArchiveFailure]) -> None:
        self._loop.call_soon_threadsafe(lambda: self._inner.read(piece, self._told(done)))

    def _told(self, done: Callable[[Answer], None]) -> Callable[[Answer], None]:
        return lambda answer: self._calls.put(lambda: done(answer))


async def _asked_at_once(*archives: CassandraArchive) -> None:
    """Ask several processes' archives something at the same time; raises AssertionError when one can't answer."""
    answers: asyncio.Queue[Listing | ArchiveFailure] = asyncio.Queue()
    for archive in archives:
        archive.pieces(ShardId(1), from_lsn=0, done=answers.put_nowait)
    for _ in archives:
        assert await answers.get() == Listing(())
