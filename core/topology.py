"""The fleet on paper: geographies, regions, data centers, vote sites, nodes; and how far apart they are.

``regions/`` reads it from YAML. Everybody else takes it as a value.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import asin, cos, radians, sin, sqrt
from typing import TypeVar

from core.errors import NotFoundError
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, RegionId

Found = TypeVar("Found")
Key = TypeVar("Key", bound=str)

EARTH_RADIUS_KM = 6371.0
FIBRE_KM_PER_S = 200_000.0
"""Light in glass: c / 1.468, rounded."""
ROUTE_FACTOR = 1.5
"""Cables are longer than great circles; 1.4 to 1.6 on long-haul routes."""
HOP_RTT_S = 0.0005
"""Routers and the last mile, both ends, both ways."""


class Kind(Enum):
    """What a node serves, and what an assignment is of."""

    COLLAB = "collab"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class Node:
    """A server process."""

    id: NodeId
    dc: DcId
    kind: Kind
    host: str
    """An address of 127.0.0.0/8 of its own."""
    port: int
    capacity: float
    """What it carries for minutes, in the unit of shard weights (cores)."""

    @property
    def endpoint(self) -> str:
        """Where to dial it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A control plane; it lives in a data center and dies with it."""

    id: ControlPlaneId
    dc: DcId
    host: str
    port: int

    @property
    def endpoint(self) -> str:
        """Where to dial it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class DataCenter:
    """An independent failure domain."""

    id: DcId
    region: RegionId
    geography: GeographyId
    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True, slots=True)
class Geography:
    """A data-residency boundary; its shards are ``first_shard .. first_shard + shards - 1`` for life."""

    id: GeographyId
    first_shard: int
    shards: int
    vote_sites: tuple[DcId, ...]
    """Three data centers that vote on the geography's records; at most one of another geography."""

    def holds(self, shard: int) -> bool:
        """Say whether a shard is one of this geography."""
        return self.first_shard <= shard < self.first_shard + self.shards


@dataclass(frozen=True, slots=True)
class _Index:
    """What is looked up in a topology, tabulated once: it never changes, and every record is checked against it."""

    geographies: Mapping[GeographyId, Geography]
    data_centers: Mapping[DcId, DataCenter]
    nodes: Mapping[NodeId, Node]
    control_planes: Mapping[ControlPlaneId, ControlPlane]
    dcs_in: Mapping[GeographyId, tuple[DataCenter, ...]]
    nodes_in: Mapping[DcId, tuple[Node, ...]]
    by_first_shard: Sequence[Geography]


@dataclass(frozen=True, slots=True)
class Topology:
    """A validated fleet; look-ups raise NotFoundError with what does exist.

    ``control_planes`` stand in the order in which they are candidates for leadership; their data centers are the
    vote sites of the fleet's own records.
    """

    fleet: str
    geographies: tuple[Geography, ...]
    data_centers: tuple[DataCenter, ...]
    nodes: tuple[Node, ...]
    control_planes: tuple[ControlPlane, ...]
    store_host: str
    store_port: int
    weights: tuple[float, ...] = ()
    """What each shard's primary costs, in cores, by shard number; empty: not known here (clients need not)."""
    _index: _Index = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", _indexed(self))

    @property
    def store_endpoint(self) -> str:
        """Where the embedded assignment store is dialled."""
        return f"{self.store_host}:{self.store_port}"

    def geography(self, geography: GeographyId) -> Geography:
        """Look a geography up."""
        return _one("geography", geography, self._index.geographies)

    def data_center(self, dc: DcId) -> DataCenter:
        """Look a data center up."""
        return _one("data center", dc, self._index.data_centers)

    def node(self, node: NodeId) -> Node:
        """Look a node up."""
        return _one("node", node, self._index.nodes)

    def control_plane(self, control_plane: ControlPlaneId) -> ControlPlane:
        """Look a control plane up."""
        return _one("control plane", control_plane, self._index.control_planes)

    def geography_of_shard(self, shard: int) -> Geography:
        """Find the geography that a shard belongs to."""
        ordered = self._index.by_first_shard
        place = bisect_right(ordered, shard, key=lambda geography: geography.first_shard)
        if place and ordered[place - 1].holds(shard):
            return ordered[place - 1]
        raise NotFoundError("shard", shard, remedy="see `twinhold shard list`")

    def dcs_in(self, geography: GeographyId) -> tuple[DataCenter, ...]:
        """List the data centers of a geography, in the topology's order."""
        return self._index.dcs_in.get(geography, ())

    def nodes_in(self, dc: DcId) -> tuple[Node, ...]:
        """List the nodes of a data center, in the topology's order."""
        return self._index.nodes_in.get(dc, ())

    @property
    def fleet_vote_sites(self) -> tuple[DcId, ...]:
        """Where the fleet's own records (term, evacuations, brake) are voted on."""
        return tuple(c.dc for c in self.control_planes)

    def weight(self, shard: int) -> float:
        """Say what a shard's primary costs, in cores; 1.0 for every shard where weights are not known."""
        return self.weights[shard] if self.weights else 1.0

    @property
    def shards(self) -> int:
        """Count all shards."""
        return sum(g.shards for g in self.geographies)


def distance_km(a: DataCenter, b: DataCenter) -> float:
    """Measure the great circle between two data centers (haversine)."""
    lat_a, lat_b = radians(a.latitude_deg), radians(b.latitude_deg)
    d_lat, d_lon = lat_b - lat_a, radians(b.longitude_deg - a.longitude_deg)
    h = sin(d_lat / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(d_lon / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(h))


def rtt_s(a: DataCenter, b: DataCenter) -> float:
    """Recompute the reference round-trip time: great circle over fibre speed, times the route factor."""
    if a.id == b.id:
        return 0.0
    return 2 * distance_km(a, b) * ROUTE_FACTOR / FIBRE_KM_PER_S + HOP_RTT_S


def rtt_table_s(topology: Topology) -> Mapping[tuple[DcId, DcId], float]:
    """Compute every ordered pair's round-trip time once, so that nobody does it per message."""
    return {(a.id, b.id): rtt_s(a, b) for a in topology.data_centers for b in topology.data_centers}


def _indexed(topology: Topology) -> _Index:
    dcs, nodes = topology.data_centers, topology.nodes
    return _Index(
        geographies={geography.id: geography for geography in topology.geographies},
        data_centers={dc.id: dc for dc in dcs},
        nodes={node.id: node for node in nodes},
        control_planes={one.id: one for one in topology.control_planes},
        dcs_in={g.id: tuple(dc for dc in dcs if dc.geography == g.id) for g in topology.geographies},
        nodes_in={dc.id: tuple(node for node in nodes if node.dc == dc.id) for dc in dcs},
        by_first_shard=sorted(topology.geographies, key=lambda geography: geography.first_shard),
    )


def _one(kind: str, key: Key, table: Mapping[Key, Found]) -> Found:
    if key not in table:
        raise NotFoundError(kind, key, remedy="one of " + ", ".join(sorted(map(str, table))))
    return table[key]
