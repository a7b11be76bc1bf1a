"""Sees to a fleet's engines before any process of it starts: asks those that were named, starts its own."""

from collections.abc import Callable
from pathlib import Path

from core.engines import Engines, Launcher
from core.topology import Topology
from regions.io.host import Host
from regions.io.process_host import ProcessHost
from regions.io.processes import modules
from regions.io.servers import OwnServers
from regions.servers import Service, dialled

CHECK_S = 2.5
"""Of one engine; whoever brings a fleet up on the wrong one hears so within five seconds."""
INIT_S = 10.0
"""Of a question to a store that has only just been started, beside everything else."""
HOST_LOGS = {Launcher.PROCESSES: "forkserver.log", Launcher.RAY: "ray.log"}


async def asked(topology: Topology, engines: Engines) -> None:
    """Ask every engine that was named whether it can be used; nothing has been started yet.

    Raises:
        TwinholdError: one can't; the one line says which and why.
    """
    if engines.store is not None and engines.store.contact_points:
        from control_plane.io.cassandra_setup import check_store

        await check_store(engines.store, topology, deadline_s=CHECK_S)
    if engines.discovery is not None and engines.discovery.addresses:
        from core.io.consul_check import check_consul

        await check_consul(engines.discovery, topology.fleet, deadline_s=CHECK_S)


async def hosted(topology: Topology, engines: Engines, folder: Path) -> ProcessHost:
    """Open what starts the processes of a fleet.

    Raises:
        UnavailableError: it can't be opened; says why.
    """
    log = folder / HOST_LOGS[engines.launcher]
    if engines.launcher is Launcher.PROCESSES:
        return await Host.open(log, modules(engines))
    from regions.io.ray_host import RayHost

    data_centers = [dc.id for dc in topology.data_centers]
    return await RayHost.open(log, modules(engines), address=engines.ray_address, data_centers=data_centers)


async def started(topology: Topology, engines: Engines, servers: OwnServers, tell: Callable[[str], None]) -> Engines:
    """Start a fleet's own servers; returns the engines as its processes have to dial them.

    Args:
        topology: the fleet.
        engines: as they were configured.
        servers: the fleet's own, not started.
        tell: takes progress.

    Raises:
        TwinholdError: one does not come up, is not on this machine, or can't be used; says why.
    """
    if servers.all:
        tell(f"starting {', '.join(server.name for server in servers.all)}")
        await servers.up()
    ready = dialled(engines, servers.all)
    if ready.store is not None and any(server.service is Service.CASSANDRA for server in servers.all):
        from control_plane.io.cassandra_setup import init_store

        await init_store(ready.store, topology, deadline_s=INIT_S)
    return ready
