"""What kind of fleet a schedule runs on: data centers, nodes, shards, people and the network between them, as data."""

from dataclasses import dataclass
from itertools import chain, zip_longest

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
from core.topology import ControlPlane, DataCenter, Geography, Kind, Node, Topology

_EU, _US = GeographyId("eu"), GeographyId("us")
PLACES: dict[GeographyId, tuple[tuple[str, str, float, float], ...]] = {
    _EU: (
        ("ber1", "de", 52.5, 13.4),
        ("ams1", "nl", 52.4, 4.9),
        ("fra1", "de", 50.1, 8.7),
        ("waw1", "pl", 52.2, 21.0),
        ("par1", "fr", 48.9, 2.3),
        ("vie1", "at", 48.2, 16.4),
    ),
    _US: (("iad1", "us", 38.9, -77.4), ("pdx1", "us", 45.6, -122.6), ("ord1", "us", 41.9, -87.9)),
}
"""Data center, country, latitude, longitude; the first of a geography come first into every fleet."""
VOTE_SITES = 3
NODE_PORT, PLANE_PORT = 7400, 7410


@dataclass(frozen=True, slots=True)
class Setting:
    """The world of one schedule; from it alone, topology and tenants are the same on every run."""

    data_centers: tuple[int, ...]
    """How many each geography has; two at least, three to six in all."""
    nodes_per_dc: int
    control_planes: int
    """In as many data centers, of every geography by turns."""
    shards: int
    """Of each geography."""
    profile: str
    """Of timers."""
    pause_s: float
    """Between two operations of a person, on average."""
    break_ratio: float
    """How many messages break their stream."""
    lost_call_ratio: float
    """How many calls lose their request, and how many their answer."""


SMALL = Setting((3,), 1, 3, 4, "default", 0.05, 0.0, 0.0)
"""Three data centers of one geography, in fine weather."""


def topology_of(setting: Setting) -> Topology:
    """Build the fleet on paper."""
    groups = [
        [DataCenter(DcId(dc), RegionId(region), geography, lat, lon) for dc, region, lat, lon in places[:count]]
        for (geography, places), count in zip(PLACES.items(), setting.data_centers, strict=False)
    ]
    dcs = list(chain.from_iterable(groups))
    by_turns = [dc for row in zip_longest(*groups) for dc in row if dc is not None]
    nodes = (
        Node(collab_node(dc.id, k), dc.id, Kind.COLLAB, f"127.8.{n}.{k}", NODE_PORT, 64.0)
        for n, dc in enumerate(dcs)
        for k in range(1, setting.nodes_per_dc + 1)
    )
    planes = (
        ControlPlane(control_plane_in(dc.id), dc.id, f"127.8.{n}.99", PLANE_PORT)
        for n, dc in enumerate(by_turns[: setting.control_planes])
    )
    geographies = (
        Geography(group[0].geography, n * setting.shards, setting.shards, _vote_sites(group, dcs))
        for n, group in enumerate(groups)
    )
    return Topology("sim", tuple(geographies), tuple(dcs), tuple(nodes), tuple(planes), "127.8.99.1", 7420)


def processes_of(topology: Topology) -> dict[str, DcId]:
    """List every process, and the data center that it stands in."""
    nodes = {str(node.id): node.dc for node in topology.nodes}
    return nodes | {str(plane.id): plane.dc for plane in topology.control_planes}


def tenants_of(setting: Setting) -> list[TenantName]:
    """Name one tenant for every shard, and in each geography one more."""
    return [tenant for geography in topology_of(setting).geographies for tenant in _tenants(geography)]


def _tenants(geography: Geography) -> list[TenantName]:
    found: dict[ShardId, TenantName] = {}
    names = (TenantName(geography.id, f"{geography.id}{n}") for n in range(10_000))
    for name in names:
        found.setdefault(home_shard(name, geography), name)
        if len(found) == geography.shards:
            break
    return [*found.values(), next(names)]


def _vote_sites(group: list[DataCenter], everywhere: list[DataCenter]) -> tuple[DcId, ...]:
    others = [dc for dc in everywhere if dc not in group]
    return tuple(dc.id for dc in [*group[:VOTE_SITES], *others[: VOTE_SITES - len(group[:VOTE_SITES])]])
