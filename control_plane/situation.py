"""What every planner of moves sees: the records, who lives, where copies may go, what is under way.

Planners are level-triggered: they look at the records as they are and name the next few orders. What an order led to is
seen in the records again, so a lost answer, a refused order or a new leader need no special care.
"""

from collections.abc import Collection
from dataclasses import dataclass

from control_plane.catalog import Catalog
from control_plane.movements import Movements, Wish
from control_plane.placement import Placement, Room
from control_plane.roster import Roster
from core.assignments import Assignment
from core.names import DcId, GeographyId, NodeId, ShardId, dc_of
from core.orders import Order


@dataclass(frozen=True, slots=True)
class Situation:
    """One moment."""

    catalog: Catalog
    roster: Roster
    movements: Movements
    placement: Placement
    well: Collection[NodeId]
    """Nodes that may be given something to do."""
    lost_dcs: Collection[DcId]
    cordoned: Collection[DcId]
    frozen: Collection[ShardId]
    """Shards whose records were not rebuilt when the store was adopted: nothing is written to them."""
    held_down: Collection[DcId]
    """Data centers that are given no primaries by plan yet."""
    now: float
    now_ms: int

    @property
    def usable(self) -> list[DcId]:
        """List the data centers where copies may be placed."""
        dcs = self.catalog.topology.data_centers
        return [dc.id for dc in dcs if dc.id not in self.lost_dcs and dc.id not in self.cordoned]

    @property
    def room(self) -> Room:
        """Say where copies may go."""
        return Room(self.catalog.loads, self.usable, self.well)

    def free(self, assignment: Assignment) -> bool:
        """Say whether a shard can be given an order: nothing under way, and its primary lives."""
        if assignment.shard in self.frozen or assignment.primary.node not in self.well:
            return False
        return self.movements.free(assignment.shard, self.now)

    def both_live(self, assignment: Assignment) -> bool:
        """Say whether both copies stand on living nodes."""
        return all(copy.node in self.well for copy in assignment.in_sync)

    def usable_in(self, geography: GeographyId) -> list[DcId]:
        """List the usable data centers of a geography."""
        usable = set(self.usable)
        return [dc.id for dc in self.catalog.topology.dcs_in(geography) if dc.id in usable]

    def swap(self, assignment: Assignment, cause: str, reason: str) -> Wish | None:
        """Wish the standby away to where the placement likes it best; None: nowhere fits."""
        target = self.placement.standby(assignment, self.room)
        return None if target is None else Wish(assignment.shard, Order.SWAP, target, cause, reason)

    def switchover(self, assignment: Assignment, cause: str, reason: str) -> Wish | None:
        """Wish primary and standby to change roles; None: not now."""
        if assignment.standby is None or not self.both_live(assignment) or not self.free(assignment):
            return None
        return Wish(assignment.shard, Order.SWITCHOVER, assignment.standby.node, cause, reason)

    def copies_in(self, dc: DcId) -> list[tuple[NodeId, ShardId]]:
        """List the copies that a data center's nodes report, members or not: old ones can be used again."""
        nodes = [node.id for node in self.catalog.topology.nodes_in(dc) if node.id in self.well]
        return [(node, shard) for node in nodes for shard in sorted(self.roster.nodes[node].copies)]


def outside(assignment: Assignment, dc: DcId) -> bool:
    """Say whether no copy of a record is in a data center."""
    return all(dc_of(copy.node) != dc for copy in assignment.in_sync)
