"""Fleets to measure on, and clients of them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from chaos.io.load_process import create_tenants
from chaos.probes import probe_tenants
from client.io import Client, connect
from core.names import NodeId, ShardId, TenantName
from core.topology import Topology
from regions.io.fleet import Fleet
from regions.io.load import load

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Bench:
    """A running fleet with one tenant per shard."""

    fleet: Fleet
    client: Client
    tenants: dict[ShardId, TenantName]

    def by_primary(self) -> dict[NodeId, list[ShardId]]:
        """Group the shards by who serves them now."""
        found: dict[NodeId, list[ShardId]] = {}
        for shard, held in sorted(self.client.map.shards.items()):
            found.setdefault(held.primary.node, []).append(shard)
        return found


def metro() -> Topology:
    """Load the fleet that everything is measured on."""
    return load(str(resources.files("chaos.bench") / "metro.yaml"))


@asynccontextmanager
async def fleet_up(*, profile: str, seed: int) -> AsyncIterator[Bench]:
    """Bring a fresh fleet up in a folder of its own; nothing of it is left behind."""
    topology = metro()
    with tempfile.TemporaryDirectory(prefix="twinhold-bench-", ignore_cleanup_errors=True) as folder:
        fleet = await Fleet.up(topology, Path(folder), profile=profile, seed=seed, described="metro.yaml")
        try:
            async with connect(doors(topology), actor="bench", seed=seed, retries_per_s=10_000.0) as client:
                await client.ready(timeout_s=READY_S)
                tenants = probe_tenants(client.map.topology)
                await create_tenants(client, tenants.values())
                yield Bench(fleet, client, tenants)
        finally:
            await asyncio.shield(fleet.down())


def doors(topology: Topology) -> list[str]:
    """List every endpoint of a fleet."""
    return [*(c.endpoint for c in topology.control_planes), *(n.endpoint for n in topology.nodes)]
