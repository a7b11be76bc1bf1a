"""Gives a data center that came back its share again: standbys at once, primaries after the hold-down.

Its share is what its capacity makes of its geography's weight; within 10 % of it is enough. Shards whose old copies it
still holds come first: they only need what they missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from control_plane.movements import Wish
from control_plane.situation import Situation, outside
from core.assignments import Assignment
from core.names import DcId, NodeId, ShardId, dc_of
from core.orders import Order

ENOUGH = 0.9
SWAPS_MAX = 6
SWITCHOVERS_MAX = 2


@dataclass(frozen=True, slots=True)
class Share:
    """A data center's weight of copies, and of primaries, next to what it should be."""

    placed: float
    placed_due: float
    led: float
    led_due: float


def share(dc: DcId, situation: Situation) -> Share:
    """Measure a data center's share, what is on its way counted in."""
    catalog = situation.catalog
    dcs = situation.usable_in(catalog.geography_of(dc))
    capacity = {d: sum(n.capacity for n in catalog.topology.nodes_in(d)) for d in dcs}
    part = capacity.get(dc, 0.0) / (sum(capacity.values()) or 1.0)
    geography = [d.id for d in catalog.topology.dcs_in(catalog.geography_of(dc))]
    under_way = [move.wish for move in situation.movements.open.values()]
    coming = [wish for wish in under_way if wish.target and dc_of(wish.target) == dc]
    leaving = [wish.shard for wish in under_way if wish.order is Order.SWAP and _donor(wish.shard, situation) == dc]
    weight = catalog.topology.weight
    loads = catalog.loads
    moved_in = sum(weight(w.shard) for w in coming if w.order is not Order.SWITCHOVER)
    return Share(
        loads.placed[dc] + moved_in - sum(weight(shard) for shard in leaving),
        part * sum(loads.placed[d] for d in geography),
        loads.led[dc] + sum(weight(w.shard) for w in coming if w.order is Order.SWITCHOVER),
        part * sum(loads.led[d] for d in geography),
    )


def wishes(dc: DcId, cause: str, situation: Situation) -> Iterator[Wish]:
    """Name the next orders of a homecoming."""
    held = share(dc, situation)
    reason = f"{dc} is back"
    yield from _standbys(dc, cause, reason, held, situation)
    if dc not in situation.held_down:
        yield from _primaries(dc, cause, reason, held, situation)


def home(dc: DcId, situation: Situation) -> bool:
    """Say whether a data center has its share of copies and of primaries."""
    held = share(dc, situation)
    return held.placed >= ENOUGH * held.placed_due and held.led >= ENOUGH * held.led_due


def _standbys(dc: DcId, cause: str, reason: str, held: Share, situation: Situation) -> Iterator[Wish]:
    placed, slots = held.placed, SWAPS_MAX - situation.movements.count(cause, Order.SWAP)
    enough = ENOUGH * held.placed_due
    donors = _Donors(situation)
    for shard, target in _candidates(dc, situation) if slots > 0 and placed < enough else ():
        if slots <= 0 or placed >= enough:
            return
        assignment = situation.catalog.get(shard)
        if assignment is None or not _may_take(assignment, target, dc, situation):
            continue
        weight, donor = situation.catalog.topology.weight(shard), _donor(shard, situation)
        if donors.fullness(donor, without=weight) <= placed / held.placed_due:
            continue
        donors.give(donor, weight)
        slots -= 1
        placed += weight
        yield Wish(shard, Order.SWAP, target, cause, reason)


@dataclass(slots=True)
class _Donors:
    """How full those are that give copies up in this round.

    Nobody gives so much that it would be less full than who takes: two that come home at once would take the same
    copies from each other for ever.
    """

    situation: Situation
    _shares: dict[DcId, Share] = field(default_factory=dict)
    _given: dict[DcId, float] = field(default_factory=dict)

    def fullness(self, dc: DcId, *, without: float) -> float:
        """Say what part of its due share a data center would have left; infinite for one that is due nothing."""
        held = self._shares.get(dc)
        if held is None:
            held = self._shares[dc] = share(dc, self.situation)
        left = held.placed - self._given.get(dc, 0.0) - without
        return left / held.placed_due if held.placed_due > 0.0 else inf

    def give(self, dc: DcId, weight: float) -> None:
        """Count a copy as given up."""
        self._given[dc] = self._given.get(dc, 0.0) + weight


def _may_take(assignment: Assignment, target: NodeId, dc: DcId, situation: Situation) -> bool:
    loads = situation.catalog.loads
    return (
        assignment.standby is not None
        and outside(assignment, dc)
        and situation.free(assignment)
        and situation.movements.learns(target)
        and loads.may_pair(assignment.primary.node, target)
        and loads.fits(target, loads.topology.weight(assignment.shard))
    )


def _candidates(dc: DcId, situation: Situation) -> Iterator[tuple[ShardId, NodeId]]:
    """List shards that the data center could take, and on which node: those with old copies first."""
    placed = situation.catalog.loads.placed
    old = [(node, shard, _donor(shard, situation)) for node, shard in situation.copies_in(dc)]
    for node, shard, _ in sorted(old, key=lambda entry: -placed.get(entry[2], 0.0)):
        yield shard, node
    nodes = [n.id for n in situation.catalog.topology.nodes_in(dc) if n.id in situation.well]
    if not nodes:
        return
    donors = [d for d in situation.usable_in(situation.catalog.geography_of(dc)) if d != dc]
    for away in sorted(donors, key=lambda d: -placed[d]):
        for number, assignment in enumerate(situation.catalog.followed_in(away)):
            yield assignment.shard, nodes[number % len(nodes)]


def _donor(shard: ShardId, situation: Situation) -> DcId:
    """Name the data center that would give up a shard's standby; empty, and last in order, when there is none."""
    assignment = situation.catalog.get(shard)
    if assignment is None or assignment.standby is None:
        return DcId("")
    return dc_of(assignment.standby.node)


def _primaries(dc: DcId, cause: str, reason: str, held: Share, situation: Situation) -> Iterator[Wish]:
    led, slots = held.led, SWITCHOVERS_MAX - situation.movements.count(cause, Order.SWITCHOVER)
    loads = situation.catalog.loads
    followed = situation.catalog.followed_in(dc) if slots > 0 else []
    for assignment in sorted(followed, key=lambda a: -loads.led[dc_of(a.primary.node)]):
        weight = loads.topology.weight(assignment.shard)
        if slots <= 0 or led + weight / 2 >= held.led_due:
            return
        wish = situation.switchover(assignment, cause, reason)
        if wish is not None and wish.target is not None and loads.fits(wish.target, weight):
            slots -= 1
            led += weight
            yield wish
