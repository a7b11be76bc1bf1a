"""Who observes whom: every node is looked at by three nodes of other data centers, chosen by rendezvous hashing."""

from heapq import nlargest

from core.names import NodeId
from core.sharding import rendezvous_score
from core.topology import Node, Topology

OBSERVERS = 3


def observers_of(target: Node, topology: Topology) -> tuple[NodeId, ...]:
    """Choose a target's observers; every node computes the same."""
    others = [node.id for node in topology.nodes if node.dc != target.dc]
    return tuple(nlargest(OBSERVERS, others, key=lambda other: rendezvous_score(target.id, other)))


def targets_of(observer: NodeId, topology: Topology) -> tuple[NodeId, ...]:
    """List whom a node observes, in the topology's order."""
    return tuple(node.id for node in topology.nodes if observer in observers_of(node, topology))
