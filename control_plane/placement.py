"""Where copies go: the port that a full optimizer will fill, and a simple placer that keeps every hard constraint.

Hard: residency; two data centers; at most ``loads.PARTNERS_MAX`` partner nodes per node; capacity; cordons. The simple
placer places heavy shards first, each primary on the least loaded node, its standby where the worst case after a loss
of the primary's data center stays lowest. Equal inputs give equal plans.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from control_plane.loads import STANDBY_COST, Loads
from core.assignments import Assignment, Copy
from core.errors import RefusedBySafetyError
from core.names import DcId, GeographyId, NodeId, ShardId, dc_of
from core.topology import Kind, Node, Topology

FIRST_PARTNERS = 4
"""Partner nodes per node that the first placement uses: heartbeats cost, and repairs need some to spare."""
NEW_PARTNER = 0.1
"""How much fuller after a loss a node may be, that is a partner already, and still be preferred to a new one."""

CopyOn = Callable[[NodeId], Copy]
"""Names the copy that a fresh shard would have on a node."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where copies may go now."""

    loads: Loads
    usable: Collection[DcId]
    """Data centers that live and are not cordoned."""
    well: Collection[NodeId]
    """Nodes that may take a copy in."""


class Placement(Protocol):
    """Decides where copies go."""

    def first(
        self, topology: Topology, geography: GeographyId, *, usable: Collection[DcId], copy_on: CopyOn
    ) -> Sequence[Assignment]:
        """Place all shards of a geography; raises RefusedBySafetyError when no two data centers can hold them."""
        ...

    def standby(self, assignment: Assignment, room: Room) -> NodeId | None:
        """Choose the node for a new second copy, other than the present ones; None: none fits."""
        ...


class SimplePlacement:
    """The placer described above."""

    def first(
        self, topology: Topology, geography: GeographyId, *, usable: Collection[DcId], copy_on: CopyOn
    ) -> Sequence[Assignment]:
        """Place all shards of a geography, heaviest first."""
        partners = partner_nodes(topology, geography, usable)
        if not any(partners.values()):
            raise RefusedBySafetyError(
                f"{geography} can't be placed: it has no two data centers with nodes", violations=("two data centers",)
            )
        loads = Loads(topology)
        home = topology.geography(geography)
        shards = [ShardId(number) for number in range(home.first_shard, home.first_shard + home.shards)]
        order = sorted(shards, key=lambda shard: (-topology.weight(shard), shard))
        placed = [_place(shard, topology, partners, loads, copy_on) for shard in order]
        return sorted(placed, key=lambda assignment: assignment.shard)

    def standby(self, assignment: Assignment, room: Room) -> NodeId | None:
        """Choose the least loaded node after a loss of the primary's data center, partners of the primary first."""
        topology, loads = room.loads.topology, room.loads
        weight = topology.weight(assignment.shard)
        home = dc_of(assignment.primary.node)
        taken = {copy.node for copy in assignment.in_sync}
        candidates = [
            node
            for node in _nodes(topology, topology.geography_of_shard(assignment.shard).id, room.usable)
            if node.dc != home and node.id in room.well and node.id not in taken
        ]
        fitting = [
            node.id
            for node in candidates
            if loads.may_pair(assignment.primary.node, node.id) and loads.fits(node.id, STANDBY_COST * weight)
        ]
        partners = loads.partners[assignment.primary.node]

        def cost(node: NodeId) -> float:
            return loads.after_loss(node, home, weight) + (0.0 if node in partners else NEW_PARTNER)

        return min(fitting, key=cost, default=None)


def partner_nodes(
    topology: Topology, geography: GeographyId, usable: Collection[DcId]
) -> Mapping[NodeId, Sequence[NodeId]]:
    """Pair the nodes of a geography: each with at most ``FIRST_PARTNERS`` of other data centers, evenly spread.

    Rotations of each pair of data centers against each other: all get their first partner before any gets its second.
    """
    by_dc = [
        [node.id for node in topology.nodes_in(dc.id) if node.kind is Kind.COLLAB]
        for dc in topology.dcs_in(geography)
        if dc.id in usable
    ]
    pairs = [(a, b) for n, a in enumerate(by_dc) for b in by_dc[n + 1 :] if a and b]
    partners: dict[NodeId, list[NodeId]] = {node: [] for nodes in by_dc for node in nodes}
    for turn in range(FIRST_PARTNERS):
        for a, b in pairs:
            for index in range(max(len(a), len(b))):
                _join(partners, a[index % len(a)], b[(index + turn) % len(b)])
    return partners


def _join(partners: dict[NodeId, list[NodeId]], a: NodeId, b: NodeId) -> None:
    full = len(partners[a]) >= FIRST_PARTNERS or len(partners[b]) >= FIRST_PARTNERS
    if not full and b not in partners[a]:
        partners[a].append(b)
        partners[b].append(a)


def _place(
    shard: ShardId, topology: Topology, partners: Mapping[NodeId, Sequence[NodeId]], loads: Loads, copy_on: CopyOn
) -> Assignment:
    weight = topology.weight(shard)
    primary = min((node for node, others in partners.items() if others), key=loads.utilization)
    home = dc_of(primary)
    standby = min(partners[primary], key=lambda node: loads.after_loss(node, home, weight))
    placed = Assignment(shard, Kind.COLLAB, 1, 1, copy_on(primary), copy_on(standby), "first placement")
    loads.add(placed)
    return placed


def _nodes(topology: Topology, geography: GeographyId, usable: Collection[DcId]) -> Iterable[Node]:
    for dc in topology.dcs_in(geography):
        if dc.id in usable:
            yield from (node for node in topology.nodes_in(dc.id) if node.kind is Kind.COLLAB)
