"""Which store and which lock a control plane goes by; the adapter of an engine is imported only if it was chosen."""

from contextlib import AsyncExitStack

from control_plane.io.no_lock import NoLock
from control_plane.io.store_client import StoreClient
from control_plane.ports import AssignmentStore, LeaderLock
from core.engines import CassandraEngine, ConsulEngine
from core.processes import ControlPlaneConfig


async def opened(
    config: ControlPlaneConfig, closing: AsyncExitStack, *, deadline_s: float
) -> tuple[AssignmentStore, LeaderLock]:
    """Open the store and the lock that a control plane was started with.

    Args:
        config: says which.
        closing: gets what closes them.
        deadline_s: when an unanswered call counts as unknown.

    Raises:
        UnavailableError: the package that an engine needs is not installed.
    """
    engines = config.engines
    lock = None if engines.discovery is None else _consul_lock(config, engines.discovery, closing, deadline_s)
    if engines.store is not None:
        return await _cassandra_store(config, engines.store, closing, deadline_s), lock or NoLock()
    client = StoreClient(config.topology, config.control_plane, deadline_s=deadline_s)
    closing.push_async_callback(client.close)
    return client, lock or client


def _consul_lock(
    config: ControlPlaneConfig, engine: ConsulEngine, closing: AsyncExitStack, deadline_s: float
) -> LeaderLock:
    from control_plane.io.consul_lock import ConsulLock

    lock = ConsulLock(engine, config.topology.fleet, config.control_plane, deadline_s=deadline_s)
    closing.push_async_callback(lock.close)
    return lock


async def _cassandra_store(
    config: ControlPlaneConfig, engine: CassandraEngine, closing: AsyncExitStack, deadline_s: float
) -> AssignmentStore:
    from control_plane.io.cassandra_store import CassandraStore

    store = CassandraStore(engine, config.topology, config.control_plane, deadline_s=deadline_s)
    closing.push_async_callback(store.close)
    await store.open()
    return store
