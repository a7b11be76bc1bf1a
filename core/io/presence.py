"""Makes a process known to whoever keeps its fleet's register; whoever has none imports nothing of it."""

from core.discovery import Part, instances_of
from core.engines import ConsulEngine
from core.io.hosted import Life
from core.topology import Topology

DEADLINE_S = 1.0
"""Of one call; also what the end of a process waits at most for a register that is away."""


async def be_present(engine: ConsulEngine, topology: Topology, part: Part, name: str, life: Life) -> None:
    """Keep a process registered until it ends, whatever happens to the register.

    Args:
        engine: keeps the register.
        topology: the fleet.
        part: what the process is.
        name: its id.
        life: of the process.
    """
    from core.io.consul_discovery import ConsulDiscovery
    from core.io.registration import keep_registered

    instance = next(one for one in instances_of(topology) if (one.part, one.id) == (part, name))
    discovery = ConsulDiscovery(engine, topology.fleet, deadline_s=DEADLINE_S)
    try:
        await keep_registered(discovery, instance, life)
    finally:
        await discovery.close()
