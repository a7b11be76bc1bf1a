"""Statements to Apache Cassandra as coroutines: each to one coordinator, with a deadline, never sent twice by itself.

Only who chose Cassandra imports this. The driver's threads do nothing but hand an answer over to the event loop: a
coordinator is chosen here, nothing is retried or sent twice (a conditional write that is sent again could be refused by
its own effect), and one that fell silent is not asked for a while.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from core.engines import CassandraEngine, Tls
from core.errors import MalformedError, NotAllowedError, NotFoundError, TwinholdError, UnavailableError

try:
    from cassandra import (
        AuthenticationFailed,
        ConsistencyLevel,
        DriverException,
        InvalidRequest,
        OperationTimedOut,
        Unauthorized,
    )
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
    from cassandra.connection import ConnectionException
    from cassandra.policies import ConstantReconnectionPolicy, RetryPolicy, RoundRobinPolicy
    from cassandra.query import BatchStatement, SimpleStatement, tuple_factory
except ImportError as missing:
    raise UnavailableError(
        "Cassandra needs the package cassandra-driver: install it with: pip install 'twinhold[cassandra]'",
        reason="ENGINE_MISSING",
    ) from missing

Record: TypeAlias = tuple[Any, ...]  # what a column holds is known to whoever selected it
Statement: TypeAlias = Any  # the driver comes without types
SUSPECT_S = 2.0
"""For so long a coordinator that did not answer is asked last."""
HEARTBEAT_S = 2
"""After this long without a word, and as long again without an answer, a connection is given up."""
AGAIN_S = 0.5
PROTOCOL = 5


class _Never(RetryPolicy):  # type: ignore[misc]  # the driver comes without types
    """Sends nothing again: whoever asked finds out first what became of it."""

    def on_read_timeout(self, *_: object, **__: object) -> tuple[int, None]:
        return self.RETHROW, None

    on_write_timeout = on_unavailable = on_request_error = on_read_timeout


class CassandraSession:
    """One process's connections to a cluster.

    Args:
        engine: where it is, and who we are to it.
        distance_s: how far a data center of Cassandra's is, by its name; the nearest coordinator is asked first.
    """

    def __init__(self, engine: CassandraEngine, *, distance_s: Callable[[str], float]) -> None:
        self._engine = engine
        self._distance_s = distance_s
        self._cluster: Any = None
        self._session: Any = None
        self._prepared: dict[str, Any] = {}
        self._suspects: dict[Any, float] = {}

    @property
    def is_open(self) -> bool:
        """Say whether statements can be sent."""
        return self._session is not None

    @property
    def living(self) -> frozenset[str]:
        """Name Cassandra's data centers in which a node is known to live."""
        return frozenset(host.datacenter for host in self._hosts() if host.is_up)

    @property
    def nodes(self) -> Mapping[str, int]:
        """Count the nodes of each of Cassandra's data centers, dead or alive."""
        return Counter(host.datacenter for host in self._hosts())

    @property
    def loopback(self) -> bool:
        """Say whether the cluster is on this machine."""
        return all(point.startswith("127.") for point in self._engine.contact_points)

    async def open(self, statements: Mapping[str, str], *, serial_reads: Sequence[str], within_s: float) -> None:
        """Connect, and prepare statements.

        Args:
            statements: by the name that ``bound`` takes.
            serial_reads: the names of those that read linearizably; all others are conditional writes.
            within_s: for all of it.

        Raises:
            UnavailableError: no node answers.
            NotAllowedError: the cluster refuses the user.
            NotFoundError: the keyspace, or a table, does not exist.
        """
        logging.getLogger("cassandra").setLevel(
            logging.ERROR
        )  # that a node is gone is told as Unknown, and by `status`
        self._cluster = _cluster(self._engine, connect_s=within_s / (len(self._engine.contact_points) + 1))
        try:
            async with asyncio.timeout(within_s):
                session = await asyncio.to_thread(self._cluster.connect)
                for name, text in statements.items():
                    prepared = await asyncio.to_thread(session.prepare, text)
                    prepared.consistency_level = (
                        ConsistencyLevel.SERIAL if name in serial_reads else ConsistencyLevel.QUORUM
                    )
                    prepared.serial_consistency_level = ConsistencyLevel.SERIAL
                    self._prepared[name] = prepared
        except (DriverException, NoHostAvailable, OSError, ssl.SSLError, TimeoutError) as cause:
            await self.close()
            raise refused(self._engine, cause) from cause
        self._session = session

    def bound(self, name: str, values: Sequence[object]) -> Statement:
        """Fill a prepared statement in."""
        return self._prepared[name].bind(values)

    def spoken(self, text: str, *, serial: bool = False) -> Statement:
        """Make a statement that is used once: a look at the schema, or a change of it."""
        level = ConsistencyLevel.SERIAL if serial else ConsistencyLevel.QUORUM
        return SimpleStatement(text, consistency_level=level, serial_consistency_level=ConsistencyLevel.SERIAL)

    def batch(self, statements: Sequence[Statement]) -> Statement:
        """Make one conditional write of several, in one partition."""
        whole = BatchStatement(
            consistency_level=ConsistencyLevel.QUORUM, serial_consistency_level=ConsistencyLevel.SERIAL
        )
        for statement in statements:
            whole.add(statement)
        return whole

    async def ask(self, statement: Statement, *, within_s: float) -> Sequence[Record]:
        """Send a statement to the nearest coordinator that is not under suspicion, once.

        Raises:
            UnavailableError: no answer, or one that says nothing; a write may have happened, or may still.
        """
        if self._session is None:
            raise UnavailableError("Cassandra is not connected")
        host = self._coordinator()
        if host is None:
            raise UnavailableError(f"no Cassandra answers at {_points(self._engine)}")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Sequence[Record]] = loop.create_future()
        try:
            sent = self._session.execute_async(statement, timeout=within_s, host=host)
        except (DriverException, NoHostAvailable) as cause:
            raise refused(self._engine, cause) from cause
        sent.add_callbacks(
            lambda rows: _hand_over(loop, answered, rows or [], None),
            lambda cause: _hand_over(loop, answered, [], cause),
        )
        try:
            return await answered
        except (OperationTimedOut, ConnectionException, NoHostAvailable) as cause:
            self._suspects[host] = loop.time() + SUSPECT_S
            raise refused(self._engine, cause) from cause
        except Exception as cause:
            raise refused(self._engine, cause) from cause

    async def close(self) -> None:
        """Close all connections; what is under way is never answered."""
        cluster, self._cluster, self._session = self._cluster, None, None
        if cluster is not None:
            await asyncio.to_thread(cluster.shutdown)

    def _hosts(self) -> Sequence[Any]:
        return [] if self._cluster is None else self._cluster.metadata.all_hosts()

    def _coordinator(self) -> Any:  # a Host of the driver's
        now = asyncio.get_running_loop().time()

        def worth(host: Any) -> tuple[bool, bool, float, str]:
            return (
                not host.is_up,
                self._suspects.get(host, 0.0) > now,
                self._distance_s(host.datacenter),
                host.address,
            )

        connected = [pool.host for pool in self._session.get_pools() if not pool.is_shutdown]
        return min(connected, key=worth, default=None)


def refused(engine: CassandraEngine, cause: BaseException) -> TwinholdError:
    """Say what went wrong in one line, with what to do about it."""
    causes = list(cause.errors.values()) if isinstance(cause, NoHostAvailable) and cause.errors else [cause]
    if any(isinstance(one, AuthenticationFailed) for one in causes):
        user = engine.username or "(none)"
        return NotAllowedError(f"Cassandra refuses the user {user}: check store.username and store.password")
    if isinstance(cause, Unauthorized):
        return NotAllowedError(f"Cassandra refuses the user {engine.username}: {_line(cause)}")
    if isinstance(cause, InvalidRequest) and "does not exist" in str(cause):
        return NotFoundError(
            "keyspace", engine.keyspace, remedy="check store.keyspace, or create it: twinhold store init"
        )
    if isinstance(cause, InvalidRequest):
        return MalformedError("statement", _line(cause), expected="a schema of this version: twinhold store check")
    if isinstance(cause, OperationTimedOut | TimeoutError):
        return UnavailableError(f"Cassandra at {_points(engine)} did not answer in time")
    if isinstance(cause, NoHostAvailable | OSError):
        return UnavailableError(f"no Cassandra answers at {_points(engine)}: {_line(causes[0])}")
    return UnavailableError(f"Cassandra gave no answer: {_line(cause)}")


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    answered: "asyncio.Future[Sequence[Record]]",
    rows: Sequence[Record],
    cause: BaseException | None,
) -> None:
    """Bring an answer from the driver's thread to the loop; one that nobody waits for any more is dropped."""

    def settle() -> None:
        if answered.done():
            return
        if cause is None:
            answered.set_result(rows)
        else:
            answered.set_exception(cause)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        """The loop is closed: nobody waits."""


def _cluster(engine: CassandraEngine, *, connect_s: float) -> Any:
    profile = ExecutionProfile(
        load_balancing_policy=RoundRobinPolicy(),
        retry_policy=_Never(),
        consistency_level=ConsistencyLevel.QUORUM,
        serial_consistency_level=ConsistencyLevel.SERIAL,
        row_factory=tuple_factory,
    )
    credentials = PlainTextAuthProvider(engine.username, engine.password) if engine.username else None
    return Cluster(
        contact_points=[_address(point) for point in engine.contact_points],
        auth_provider=credentials,
        ssl_context=None if engine.tls is None else _ssl_context(engine.tls),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=PROTOCOL,
        connect_timeout=connect_s,
        control_connection_timeout=connect_s,
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_S,
        reconnection_policy=ConstantReconnectionPolicy(AGAIN_S, None),
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        monitor_reporting_enabled=False,
    )


def _address(point: str) -> tuple[str, int]:
    host, _, port = point.rpartition(":")
    return host.strip("[]"), int(port)


def _ssl_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.check_hostname = False  # nodes are found by address; who they are is what the authority says
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context


def _points(engine: CassandraEngine) -> str:
    return ", ".join(engine.contact_points)


def _line(cause: BaseException) -> str:
    return " ".join(str(cause).split())[:300] or type(cause).__name__
