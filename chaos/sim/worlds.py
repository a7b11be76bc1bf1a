"""What simulated runs are made of: a small fleet, a plan, a schedule; all from the seed."""

from random import Random

from chaos.schedule import Schedule
from chaos.schedule_maker import generated
from chaos.sim.fleet import Plan
from chaos.sim.node import Parts
from core.names import (
    DcId,
    GeographyId,
    RegionId,
    ShardId,
    TenantName,
    collab_node,
    control_plane_in,
)
from core.sharding import home_shard
from core.timers import timers
from core.topology import ControlPlane, DataCenter, Geography, Kind, Node, Topology
from nodes.io.app_registry import installed_apps
from nodes.pair_rules import Rules

SHARDS = 4
TROUBLE_S = 24.0
SETTLE_S = 30.0
FAULTS = 6
EU = GeographyId("eu")
_PLACES = (("ber1", "de", 52.5, 13.4), ("ams1", "nl", 52.4, 4.9), ("fra1", "de", 50.1, 8.7), ("waw1", "pl", 52.2, 21.0))


def small_fleet(*, data_centers: int) -> Topology:
    """One geography of three or four data centers, a node and (in the first three) a control plane in each."""
    dcs = tuple(DataCenter(DcId(dc), RegionId(region), EU, lat, lon) for dc, region, lat, lon in _PLACES[:data_centers])
    nodes = tuple(
        Node(collab_node(dc.id, 1), dc.id, Kind.COLLAB, f"127.8.{n}.1", 7400, 64.0) for n, dc in enumerate(dcs)
    )
    planes = tuple(ControlPlane(control_plane_in(dc.id), dc.id, f"127.8.{n}.9", 7410) for n, dc in enumerate(dcs[:3]))
    geography = Geography(EU, 0, SHARDS, tuple(dc.id for dc in dcs[:3]))
    return Topology("sim", (geography,), dcs, nodes, planes, "127.8.99.1", 7420)


def tenants(topology: Topology) -> list[TenantName]:
    """Name one tenant for every shard, and one more."""
    geography = topology.geography(EU)
    found: dict[ShardId, TenantName] = {}
    names = (TenantName(EU, f"t{n}") for n in range(10_000))
    for name in names:
        found.setdefault(home_shard(name, geography), name)
        if len(found) == SHARDS:
            break
    return [*found.values(), next(names)]


def plan_of(seed: int) -> Plan:
    """Choose a world for a seed: three or four data centers, a calm or a stormy network."""
    chance = Random(seed)
    topology = small_fleet(data_centers=chance.choice((3, 3, 4)))
    stormy = chance.random() < 0.5
    return Plan(
        topology=topology,
        timers=timers("default"),
        tenants=tenants(topology),
        pause_s=0.05,
        break_ratio=0.0005 if stormy else 0.0,
        lost_call_ratio=0.02 if stormy else 0.0,
    )


def schedule_of(seed: int, topology: Topology) -> Schedule:
    """Make the seed's schedule."""
    return generated(seed, Random(seed), topology, faults=FAULTS, trouble_s=TROUBLE_S, settle_s=SETTLE_S)


def parts(rules: Rules | None = None) -> Parts:
    """Name the production parts; a mutant swaps its rules."""
    return Parts(rules or Rules(), installed_apps())
