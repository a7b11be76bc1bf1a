"""Small fleets for tests, each on addresses of its own."""

from dataclasses import replace

from core.topology import Topology
from regions.io.load import load


def small_fleet(octet: int) -> Topology:
    """Three data centers of one geography, a node and a control plane in each, all on 127.{octet}.0.0/16."""
    drawn = load("small")
    nodes = tuple(replace(node, host=f"127.{octet}.{i}.2") for i, node in enumerate(drawn.nodes))
    control_planes = tuple(replace(cp, host=f"127.{octet}.{i}.1") for i, cp in enumerate(drawn.control_planes))
    return replace(
        drawn, fleet=f"small-{octet}", nodes=nodes, control_planes=control_planes, store_host=f"127.{octet}.100.1"
    )
