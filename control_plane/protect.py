"""Gives shards on one copy a second one again, and relieves copies that complain about themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from control_plane.movements import Wish
from control_plane.situation import Situation
from core.assignments import Assignment, Copy
from core.copies import CopyView
from core.names import ShardId, disk_of
from core.orders import Order

CAUSE = "exposure"
RELIEF = "relief"
LAG_WORD = "lag"
"""A complaint about the loop's lag names it; the copy is healthy, and changes roles by plan only."""


@dataclass(frozen=True, slots=True)
class Unrepaired:
    """A shard on one copy for which no place was found."""

    shard: ShardId
    reason: str


@dataclass(frozen=True, slots=True)
class Relieve:
    """The primary can't serve and says so: its report counts as a verdict for the shard."""

    base: Assignment
    reason: str


def repairs(situation: Situation) -> Iterator[Wish | Unrepaired]:
    """Go through the exposure ledger, oldest first, and name what could be done about each entry."""
    ledger = situation.catalog.solo_since_ms
    for shard in sorted(ledger, key=lambda entry: (ledger[entry], entry)):
        assignment = situation.catalog.get(shard)
        if assignment is None or not situation.free(assignment):
            continue
        target = situation.placement.standby(assignment, situation.room)
        if target is None:
            yield Unrepaired(shard, "no living node of another data center of its geography has room for a second copy")
        else:
            yield Wish(shard, Order.ADD, target, CAUSE, "its second copy was lost")


def bereft(led: Iterable[Assignment], disk_id: str) -> Iterator[Relieve]:
    """Name the shards whose primary is gone although its node lives: it came back on another disk (I9).

    Args:
        led: records that name the node as primary.
        disk_id: on which disk it stands now.
    """
    for assignment in led:
        if assignment.standby is not None and disk_of(assignment.primary.copy_id) != disk_id:
            yield Relieve(assignment, f"{assignment.primary.node} came back on another disk, without its copy")


def relief(assignment: Assignment, complainer: Copy, view: CopyView, situation: Situation) -> Wish | Relieve | None:
    """Say what to do about a copy that asks to be relieved; None: nothing can be done, or nothing need be.

    Args:
        assignment: the shard's record.
        complainer: the copy, as its node names it.
        view: what it reports.
        situation: now.
    """
    if not view.complaint or view.fence != assignment.fence or assignment.standby is None:
        return None
    reason = f"{complainer.node} asks to be relieved: {view.complaint}"
    slow = LAG_WORD in view.complaint
    if complainer == assignment.primary:
        return situation.switchover(assignment, RELIEF, reason) if slow else Relieve(assignment, reason)
    if complainer == assignment.standby and not slow and situation.free(assignment):
        return situation.swap(assignment, RELIEF, reason)
    return None
