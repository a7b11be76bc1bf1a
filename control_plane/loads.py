"""How loaded every node is, and would be after any loss: kept up to date with each change of an assignment.

A primary costs its shard's weight, a standby ``STANDBY_COST`` of it. The certificate says whether any one data center
of a geography can be lost now with every surviving node within its capacity, re-protection included where a third
data center exists (DESIGN.md section 5, N-1).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from core.assignments import Assignment
from core.names import DcId, GeographyId, NodeId, dc_of
from core.topology import Kind, Topology

STANDBY_COST = 0.3
"""Of what the primary costs."""
PARTNERS_MAX = 8
"""Partner nodes per node: heartbeats stay linear in nodes."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether a geography survives the loss of any one of its data centers."""

    geography: GeographyId
    survives_any_loss: bool
    worst_after_loss: float
    """The worst node after the worst loss; 1.0 is full."""
    violations: tuple[str, ...]


class Loads:
    """The load of every node under a set of assignments.

    Args:
        topology: nodes and their capacities, and what each shard weighs.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        nodes = [node for node in topology.nodes if node.kind is Kind.COLLAB]
        self.capacity: Mapping[NodeId, float] = {node.id: node.capacity for node in nodes}
        self.load: dict[NodeId, float] = dict.fromkeys(self.capacity, 0.0)
        self.placed: dict[DcId, float] = {dc.id: 0.0 for dc in topology.data_centers}
        """Weight of all copies in a data center, whatever their role."""
        self.led: dict[DcId, float] = {dc.id: 0.0 for dc in topology.data_centers}
        """Weight of the primaries in a data center."""
        self.partners: dict[NodeId, dict[NodeId, int]] = {node: {} for node in self.capacity}
        """By node: with whom it shares shards, and how many."""
        self._takeover: dict[DcId, dict[NodeId, float]] = {dc.id: {} for dc in topology.data_centers}
        """By data center: the weight that each node would take over, were it lost."""
        self._unpaired: dict[DcId, float] = {dc.id: 0.0 for dc in topology.data_centers}
        """By data center: the weight of standbys that would have to be made anew, were it lost."""
        self._solo: dict[DcId, int] = {dc.id: 0 for dc in topology.data_centers}
        """By data center: shards that would be down, were it lost."""

    def copied(self) -> "Loads":
        """Copy it, to try a plan on."""
        other = Loads(self.topology)
        other.load, other.placed, other.led = dict(self.load), dict(self.placed), dict(self.led)
        other.partners = {node: dict(counts) for node, counts in self.partners.items()}
        other._takeover = {dc: dict(weights) for dc, weights in self._takeover.items()}
        other._unpaired, other._solo = dict(self._unpaired), dict(self._solo)
        return other

    def add(self, assignment: Assignment) -> None:
        """Count an assignment in."""
        self._count(assignment, 1)

    def remove(self, assignment: Assignment) -> None:
        """Count it out."""
        self._count(assignment, -1)

    def move(self, old: Assignment, new: Assignment) -> None:
        """Count a change."""
        self.remove(old)
        self.add(new)

    def utilization(self, node: NodeId) -> float:
        """Say how full a node is; 1.0 is full."""
        return self.load[node] / self.capacity[node]

    def fits(self, node: NodeId, extra: float) -> bool:
        """Say whether a node can carry so much more."""
        return self.load[node] + extra <= self.capacity[node]

    def may_pair(self, a: NodeId, b: NodeId) -> bool:
        """Say whether two nodes may share a shard without either having too many partners."""
        if b in self.partners[a]:
            return True
        return len(self.partners[a]) < PARTNERS_MAX and len(self.partners[b]) < PARTNERS_MAX

    def after_loss(self, node: NodeId, dc: DcId, extra: float) -> float:
        """Say how full a node would be after the loss of a data center, if it took over so much more than now."""
        return (self.load[node] + self._takeover[dc].get(node, 0.0) * (1 - STANDBY_COST) + extra) / self.capacity[node]

    def certificate(self, geography: GeographyId, usable: Collection[DcId]) -> Certificate:
        """Judge every loss of one usable data center of a geography.

        Args:
            geography: which.
            usable: data centers that live and may take copies; a lost or cordoned one counts for nothing.
        """
        dcs = [dc.id for dc in self.topology.dcs_in(geography) if dc.id in usable]
        worst, violations = 0.0, []
        if len(dcs) < 2:
            violations.append(f"{geography} has no second data center to go to")
        for dc in dcs:
            after = self._worst_after(dc, [other for other in dcs if other != dc])
            worst = max(worst, after)
            if after > 1:
                violations.append(f"after the loss of {dc}, a node would be at {after:.0%} of its capacity")
        exposed = sum(self._solo[dc.id] for dc in self.topology.dcs_in(geography))
        if exposed:
            violations.append(f"{exposed} shards of {geography} stand on one copy")
        return Certificate(geography, not violations, worst, tuple(violations))

    def _worst_after(self, dc: DcId, others: list[DcId]) -> float:
        nodes = [node.id for other in others for node in self.topology.nodes_in(other) if node.id in self.load]
        if not nodes:
            return 0.0
        promoted = max(self.after_loss(node, dc, 0.0) for node in nodes)
        if len(others) < 2:
            return promoted
        total = sum(self.after_loss(node, dc, 0.0) * self.capacity[node] for node in nodes)
        remade = STANDBY_COST * (sum(self._takeover[dc].values()) + self._unpaired[dc])
        return max(promoted, (total + remade) / sum(self.capacity[node] for node in nodes))

    def _count(self, assignment: Assignment, sign: int) -> None:
        weight = sign * self.topology.weight(assignment.shard)
        primary, home = assignment.primary.node, dc_of(assignment.primary.node)
        self.load[primary] += weight
        self.placed[home] += weight
        self.led[home] += weight
        if assignment.standby is None:
            self._solo[home] += sign
            return
        standby, away = assignment.standby.node, dc_of(assignment.standby.node)
        self.load[standby] += STANDBY_COST * weight
        self.placed[away] += weight
        self._takeover[home][standby] = self._takeover[home].get(standby, 0.0) + weight
        self._unpaired[away] += weight
        self._pair(primary, standby, sign)
        self._pair(standby, primary, sign)

    def _pair(self, a: NodeId, b: NodeId, sign: int) -> None:
        left = self.partners[a].get(b, 0) + sign
        if left:
            self.partners[a][b] = left
        else:
            self.partners[a].pop(b, None)


def loads_of(topology: Topology, assignments: Iterable[Assignment]) -> Loads:
    """Count a whole map."""
    loads = Loads(topology)
    for assignment in assignments:
        loads.add(assignment)
    return loads
