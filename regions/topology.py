"""From a document to a validated fleet: geographies, data centers, vote sites, nodes, addresses, capacities.

Addresses are given by place: data center i of the document lives on 127.(address_base + i).0.0/16, so that several
fleets run side by side on one machine when their bases differ by more than the number of data centers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.names import DcId, GeographyId, collab_node, control_plane_in, dc_id, fleet_id, geography_id, region_id
from core.topology import ControlPlane, DataCenter, Geography, Kind, Node, Topology
from regions.document import (
    DocumentError,
    Entry,
    key,
    mapping,
    number,
    required,
    sequence,
    table,
    through,
    whole,
    wrong,
)
from regions.weights import shard_weights

FLEET_FIELDS = (
    "fleet",
    "address_base",
    "shards",
    "tenants",
    "weights_seed",
    "utilization",
    "collab_nodes",
    "control_planes",
    "geographies",
)
GEOGRAPHY_FIELDS = ("share", "vote_sites", "data_centers")
DATA_CENTER_FIELDS = ("region", "latitude_deg", "longitude_deg", "collab_nodes")

NODE_PORT = 7400
CONTROL_PLANE_PORT = 7410
STORE_PORT = 7420
"""Below the range that kernels give to outgoing connections, and outside 10002-19999, which Ray takes."""
STANDBY_COST = 0.3
"""What a standby costs its node, of what the primary costs."""
VOTE_SITES = 3
ADDRESS_BASE_MAX = 200
NODES_MAX = 250
SHARDS_MAX = 1_000_000
TENANTS_MAX = 50_000_000


@dataclass(frozen=True, slots=True)
class _Place:
    """A data center as the document describes it."""

    dc: DataCenter
    collab_nodes: int
    entry: Entry


def topology(document: Entry, *, address_base: int | None = None) -> Topology:
    """Read a fleet.

    Args:
        document: the parsed YAML.
        address_base: the second octet of the first data center's addresses, instead of the document's.

    Raises:
        DocumentError: something in it can't be; names file and line, and what is allowed.
    """
    table(document, FLEET_FIELDS)
    places = _places(document)
    base = _base(document, address_base)
    geographies = _geographies(document, {place.dc.id: place.dc.geography for place in places})
    weights = _weights(document, geographies)
    utilization = number(required(document, "utilization"), least=0.01, most=1.0)
    return Topology(
        fleet=through(required(document, "fleet"), fleet_id),
        geographies=geographies,
        data_centers=tuple(place.dc for place in places),
        nodes=_nodes(places, _capacities(geographies, places, weights, utilization), base),
        control_planes=_control_planes(required(document, "control_planes"), places, base),
        store_host=f"127.{base + len(places)}.0.1",
        store_port=STORE_PORT,
        weights=weights,
    )


def _base(document: Entry, asked: int | None) -> int:
    entry = required(document, "address_base")
    return whole(entry if asked is None else replace(entry, content=asked), least=1, most=ADDRESS_BASE_MAX)


def _places(document: Entry) -> tuple[_Place, ...]:
    usual = whole(required(document, "collab_nodes"), least=1, most=NODES_MAX)
    geographies = mapping(required(document, "geographies"))
    found = [place for entry in geographies.values() for place in _places_of(entry, usual)]
    for place in found:
        same = [other.dc for other in found if other.dc.id == place.dc.id]
        if len(same) > 1:
            raise DocumentError(place.entry, f"data center {place.dc.id!r} stands in {_both(same)}: it can be in one")
        homes = {other.dc.geography for other in found if other.dc.region == place.dc.region}
        if len(homes) > 1:
            raise DocumentError(
                place.entry, f"region {place.dc.region!r} is split between {' and '.join(sorted(homes))}"
            )
    return tuple(found)


def _both(dcs: Sequence[DataCenter]) -> str:
    return " and ".join(sorted(dc.geography for dc in dcs))


def _places_of(entry: Entry, usual: int) -> list[_Place]:
    table(entry, GEOGRAPHY_FIELDS)
    geography = key(entry, geography_id)
    dcs = mapping(required(entry, "data_centers"))
    if len(dcs) < 2:
        raise DocumentError(entry, f"geography {geography!r} has {len(dcs)} data center: expected at least 2")
    return [_place(dc, geography, usual) for dc in dcs.values()]


def _place(entry: Entry, geography: GeographyId, usual: int) -> _Place:
    fields = table(entry, DATA_CENTER_FIELDS)
    dc = DataCenter(
        id=key(entry, dc_id),
        region=through(required(entry, "region"), region_id),
        geography=geography,
        latitude_deg=number(required(entry, "latitude_deg"), least=-90.0, most=90.0),
        longitude_deg=number(required(entry, "longitude_deg"), least=-180.0, most=180.0),
    )
    nodes = whole(fields["collab_nodes"], least=1, most=NODES_MAX) if "collab_nodes" in fields else usual
    return _Place(dc, nodes, entry)


def _geographies(document: Entry, home: Mapping[DcId, GeographyId]) -> tuple[Geography, ...]:
    entries = list(mapping(required(document, "geographies")).values())
    shards = whole(required(document, "shards"), least=len(entries), most=SHARDS_MAX)
    shares = [number(required(entry, "share"), least=0.001, most=1e9) for entry in entries]
    sizes = split(shards, shares)
    firsts = [sum(sizes[:place]) for place in range(len(sizes))]
    return tuple(
        Geography(key(entry, geography_id), first, size, _vote_sites(entry, home))
        for entry, first, size in zip(entries, firsts, sizes, strict=True)
    )


def split(total: int, shares: Sequence[float]) -> list[int]:
    """Split a whole number by shares, every part at least 1, by largest remainder.

    Args:
        total: what to split; at least one for each part.
        shares: positive, in any unit.
    """
    free = total - len(shares)
    exact = [free * share / sum(shares) for share in shares]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_remainder[: free - sum(parts)]:
        parts[place] += 1
    return [part + 1 for part in parts]


def _vote_sites(geography: Entry, home: Mapping[DcId, GeographyId]) -> tuple[DcId, ...]:
    entry = required(geography, "vote_sites")
    sites = _known_dcs(entry, home)
    own = key(geography, geography_id)
    if len(sites) != VOTE_SITES:
        raise DocumentError(entry, f"{entry.name} has {len(sites)} entries: expected {VOTE_SITES} data centers")
    abroad = [site for site in sites if home[site] != own]
    allowed = max(0, VOTE_SITES - sum(1 for at in home.values() if at == own))
    if len(abroad) > allowed:
        some = f"at most {allowed} of another geography" if allowed else "only data centers of its own"
        raise DocumentError(entry, f"{entry.name} names {', '.join(abroad)}: {own} takes {some}")
    return sites


def _known_dcs(entry: Entry, home: Mapping[DcId, GeographyId]) -> tuple[DcId, ...]:
    """Take a list of data centers of this fleet, each once."""
    found: list[DcId] = []
    for item in sequence(entry):
        dc = through(item, dc_id)
        if dc not in home:
            raise wrong(item, f"one of {', '.join(home)}")
        if dc in found:
            raise DocumentError(item, f"{entry.name} names {dc!r} twice")
        found.append(dc)
    return tuple(found)


def _weights(document: Entry, geographies: Sequence[Geography]) -> tuple[float, ...]:
    tenants = whole(required(document, "tenants"), least=len(geographies), most=TENANTS_MAX)
    seed = whole(required(document, "weights_seed"), least=0, most=2**32)
    parts = split(tenants, [geography.shards for geography in geographies])
    return tuple(
        weight
        for place, (geography, part) in enumerate(zip(geographies, parts, strict=True))
        for weight in shard_weights(tenants=part, shards=geography.shards, seed=seed + place)
    )


def _capacities(
    geographies: Sequence[Geography], places: Sequence[_Place], weights: Sequence[float], utilization: float
) -> Mapping[GeographyId, float]:
    """Give every node of a geography the capacity at which normal use is ``utilization`` of it."""
    nodes = {g.id: sum(p.collab_nodes for p in places if p.dc.geography == g.id) for g in geographies}
    loads = {g.id: sum(weights[g.first_shard : g.first_shard + g.shards]) * (1 + STANDBY_COST) for g in geographies}
    return {geography: load / nodes[geography] / utilization for geography, load in loads.items()}


def _nodes(places: Sequence[_Place], capacities: Mapping[GeographyId, float], base: int) -> tuple[Node, ...]:
    return tuple(
        Node(
            id=collab_node(place.dc.id, count),
            dc=place.dc.id,
            kind=Kind.COLLAB,
            host=f"127.{base + octet}.1.{count}",
            port=NODE_PORT,
            capacity=capacities[place.dc.geography],
        )
        for octet, place in enumerate(places)
        for count in range(1, place.collab_nodes + 1)
    )


def _control_planes(entry: Entry, places: Sequence[_Place], base: int) -> tuple[ControlPlane, ...]:
    chosen = _known_dcs(entry, {place.dc.id: place.dc.geography for place in places})
    if len(chosen) % 2 == 0:
        raise DocumentError(entry, f"{entry.name} has {len(chosen)} entries: expected an odd number, 3 or 5 say")
    octets = {place.dc.id: base + octet for octet, place in enumerate(places)}
    return tuple(ControlPlane(control_plane_in(dc), dc, f"127.{octets[dc]}.0.1", CONTROL_PLANE_PORT) for dc in chosen)
