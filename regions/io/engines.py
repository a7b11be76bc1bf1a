"""Sees to a fleet's engines before any process of it starts: starts those that are its own, and asks all."""

from collections.abc import Callable

from core.engines import Engines
from core.errors import UnavailableError
from core.topology import Topology
from regions.io.servers import OwnServers
from regions.servers import dialled


async def prepared(topology: Topology, engines: Engines, servers: OwnServers, tell: Callable[[str], None]) -> Engines:
    """Make the engines ready; returns them as the fleet's processes have to dial them.

    Args:
        topology: the fleet.
        engines: as they were configured.
        servers: the fleet's own, not started.
        tell: takes progress.

    Raises:
        TwinholdError: an engine can't be used; one line says which and why.
    """
    if engines.store is not None:
        raise UnavailableError("Cassandra can't be the store yet: leave store.engine at embedded")
    if servers.all:
        tell(f"starting {', '.join(server.name for server in servers.all)}")
        await servers.up()
    return dialled(engines, servers.all)
