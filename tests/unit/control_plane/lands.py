"""Fleets on paper for the control plane's tests."""

from dataclasses import replace

from core.names import DcId, GeographyId, control_plane_in
from core.topology import ControlPlane, Topology
from regions.io.load import load

EU_SHARDS, US_SHARDS = 60, 20
CONTROL_PLANES = ("fra1", "iad1", "ber1", "pdx1", "waw1")


def two_lands() -> Topology:
    """The reference fleet's eu (five data centers) and us (two), with two nodes in each and five control planes."""
    drawn = load("reference")
    geographies = {g.id: g for g in drawn.geographies}
    eu = replace(geographies[GeographyId("eu")], first_shard=0, shards=EU_SHARDS)
    us = replace(geographies[GeographyId("us")], first_shard=EU_SHARDS, shards=US_SHARDS)
    dcs = tuple(dc for dc in drawn.data_centers if dc.geography in (eu.id, us.id))
    kept = {dc.id for dc in dcs}
    return replace(
        drawn,
        geographies=(eu, us),
        data_centers=dcs,
        nodes=tuple(replace(node, capacity=17.3) for node in drawn.nodes if node.dc in kept),
        control_planes=tuple(
            ControlPlane(control_plane_in(DcId(dc)), DcId(dc), "127.9.0.1", 7410) for dc in CONTROL_PLANES
        ),
        weights=(1.0,) * (EU_SHARDS + US_SHARDS),
    )
