"""A small fleet on paper, for tests."""

from core.names import DcId, GeographyId, RegionId, collab_node, control_plane_in
from core.topology import ControlPlane, DataCenter, Geography, Kind, Node, Topology

_PLACES = (("ber1", "de", "eu", 52.5, 13.4), ("ams1", "nl", "eu", 52.4, 4.9), ("fra1", "de", "eu", 50.1, 8.7))
_MORE = (("iad1", "us", "us", 39.0, -77.5), ("pdx1", "us", "us", 45.5, -122.7))


def two_geographies(*, shards: int = 8) -> Topology:
    """Three data centers in eu, two in us, one node each, ``shards`` shards in each geography."""
    dcs = tuple(
        DataCenter(DcId(dc), RegionId(region), GeographyId(geography), latitude, longitude)
        for dc, region, geography, latitude, longitude in _PLACES + _MORE
    )
    eu, us = GeographyId("eu"), GeographyId("us")
    return Topology(
        fleet="test",
        geographies=(
            Geography(eu, 0, shards, (DcId("ber1"), DcId("ams1"), DcId("fra1"))),
            Geography(us, shards, shards, (DcId("iad1"), DcId("pdx1"), DcId("ams1"))),
        ),
        data_centers=dcs,
        nodes=tuple(
            Node(collab_node(dc.id, 1), dc.id, Kind.COLLAB, f"127.9.{number}.1", 7001, 4.0)
            for number, dc in enumerate(dcs)
        ),
        control_planes=tuple(
            ControlPlane(control_plane_in(dc.id), dc.id, f"127.9.{number}.9", 7000) for number, dc in enumerate(dcs[:3])
        ),
        store_host="127.9.99.1",
        store_port=7000,
    )
