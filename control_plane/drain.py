"""Empties a data center by plan, never through one copy (I13).

Primaries change roles with their standbys elsewhere; then all that is left are standbys, and they are swapped away.
Both copies of a shard never move together, because a shard has one order at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

from control_plane.loads import Certificate
from control_plane.movements import Wish
from control_plane.placement import Placement, Room
from control_plane.situation import Situation
from control_plane.views import Move, MovePlan, Step
from core.assignments import Assignment, Copy, Switchover, successor
from core.names import CopyId, DcId, dc_of
from core.orders import Order

SWAPS_MAX = 8
SWITCHOVERS_MAX = 3


@dataclass(frozen=True, slots=True)
class Preview:
    """What a drain would do, and what speaks against it."""

    plan: MovePlan
    violations: tuple[str, ...]


def preview(dc: DcId, situation: Situation) -> Preview:
    """Try a drain on paper."""
    catalog = situation.catalog
    geography = catalog.geography_of(dc)
    loads = catalog.loads.copied()
    usable = [other for other in situation.usable if other != dc]
    room = Room(loads, usable, situation.well)
    before = catalog.loads.certificate(geography, [d for d in situation.usable_in(geography) if d != dc] + [dc])
    moves: list[Move] = []
    for assignment in sorted((*catalog.led_in(dc), *catalog.followed_in(dc)), key=lambda a: a.shard):
        moves += _moved(assignment, dc, room, situation.placement)
    after = loads.certificate(geography, usable)
    stuck = sum(move.target is None for move in moves)
    worst = max((loads.utilization(node) for node in loads.load if dc_of(node) in usable), default=0.0)
    return Preview(
        MovePlan(tuple(moves), worst, after.survives_any_loss and not stuck),
        _violations(dc, before, after, stuck),
    )


def wishes(dc: DcId, cause: str, situation: Situation) -> Iterator[Wish]:
    """Name the next orders of a drain: roles first, and nothing copied meanwhile, because writers wait for them.

    A role waits until the data center that would lead is not held down any more. The caller takes as many as there are
    slots.
    """
    reason = f"{dc} is drained"
    under_way = situation.movements.count(cause, Order.SWITCHOVER)
    roles = list(islice(_roles(dc, cause, reason, situation), max(0, SWITCHOVERS_MAX - under_way)))
    yield from roles
    if not roles and not under_way:
        swaps = SWAPS_MAX - situation.movements.count(cause, Order.SWAP)
        yield from islice(_standbys(dc, cause, reason, situation), max(0, swaps))


def _roles(dc: DcId, cause: str, reason: str, situation: Situation) -> Iterator[Wish]:
    for assignment in _led_by_turns(dc, situation):
        wish = None if _waits(assignment, situation) else situation.switchover(assignment, cause, reason)
        if wish is not None:
            yield wish


def _waits(assignment: Assignment, situation: Situation) -> bool:
    """Say whether the data center that would lead a shard is held down."""
    return assignment.standby is not None and dc_of(assignment.standby.node) in situation.held_down


def _led_by_turns(dc: DcId, situation: Situation) -> Iterator[Assignment]:
    """Take one from each node in turn: writers wait longer where several roles leave one node at once."""
    nodes = situation.catalog.topology.nodes_in(dc)
    rounds = zip_longest(*(situation.catalog.led_by(node.id) for node in nodes))
    return (assignment for turn in rounds for assignment in turn if assignment is not None)


def _standbys(dc: DcId, cause: str, reason: str, situation: Situation) -> Iterator[Wish]:
    for assignment in situation.catalog.followed_in(dc):
        wish = situation.swap(assignment, cause, reason) if situation.free(assignment) else None
        if wish is not None and wish.target is not None and situation.movements.learns(wish.target):
            yield wish


def roles_waiting(dc: DcId, situation: Situation) -> int:
    """Count the primaries that stay until the data centers of their standbys are not held down any more."""
    return sum(_waits(assignment, situation) for assignment in situation.catalog.led_in(dc))


def copies_stuck(dc: DcId, situation: Situation) -> int:
    """Count the copies that are still there and have nowhere to go."""
    followed = situation.catalog.followed_in(dc)
    return sum(situation.free(a) and situation.placement.standby(a, situation.room) is None for a in followed)


def _moved(assignment: Assignment, dc: DcId, room: Room, placement: Placement) -> Iterator[Move]:
    """Try one shard's moves on the room's loads."""
    present = assignment
    if dc_of(present.primary.node) == dc:
        source = present.primary.node
        if present.standby is None:
            yield Move(present.shard, Step.SWITCHOVER, source, None)
            return
        yield Move(present.shard, Step.SWITCHOVER, source, present.standby.node)
        changed = successor(present, Switchover(), reason="")
        room.loads.move(present, changed)
        present = changed
    assert present.standby is not None, "a shard with a copy to drain has a second one after its switchover"
    target = placement.standby(present, room)
    yield Move(present.shard, Step.SWAP, present.standby.node, target)
    if target is not None:
        room.loads.move(present, replace(present, standby=Copy(target, CopyId("planned"))))


def _violations(dc: DcId, before: Certificate, after: Certificate, stuck: int) -> tuple[str, ...]:
    now = [f"now: {line}" for line in before.violations]
    then = [f"without {dc}: {line}" for line in after.violations]
    nowhere = [f"{stuck} copies of {dc} have nowhere to go"] if stuck else []
    return (*now, *then, *nowhere)
