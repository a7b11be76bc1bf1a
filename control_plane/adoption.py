"""Works out which records take the place of those of a restored store, from what copies report (C10).

A decided record is unique for its epoch, so the record of the highest epoch that is known is the right one; if nothing
above it was acted on. Who could have acted on more is either in sync by it, or a learner that its primary asked for and
has not seen decided (such a change may be in force unseen): all of these must be heard, and know of nothing higher. A
shard for which that does not hold stays frozen, for its last acknowledged writes may stand where nobody is heard.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from control_plane.ports import Doc
from core.assignments import Assignment, Copy, Fence
from core.names import NodeId, ShardId

INCARNATIONS = 100
"""By how many an adopted record rises: what was decided in the lost time and nobody heard tells of keeps its epochs to
itself, lossy overrides, which take an incarnation each, included. What then returns from it lies in a lower one: its
entries are set aside and told, never dropped in silence."""
REASON = "adopted from its copies: the store was restored"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a node that is heard says of its copy of a shard."""

    copy: Copy
    fence: Fence
    decided: Assignment | None
    """The record that it acts on: that of ``fence``."""
    learner: NodeId | None
    """Whom it lets join, or asked to; that may be decided already."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A shard's new record."""

    new: Assignment
    stored: Fence | None
    """What the store holds of it; None: nothing."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """A shard whose record can't be rebuilt now, and why: nothing is written to it."""

    shard: ShardId
    reason: str


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """What an adoption would do, or has done."""

    incarnation: int
    """The store's, before."""
    next_incarnation: int
    """The store's, after: above every one that any map was published under."""
    rebuilt: tuple[Rebuilt, ...]
    unclear: tuple[Unclear, ...]
    docs: tuple[Doc, ...]
    """The leader's own records that are newer than the store's."""
    silent: tuple[NodeId, ...]
    """Nodes that are not heard: what only they know is not in the plan."""
    halts_brake: bool
    """Evacuations may be missing from the store, and nobody remembers them: a person must release the brake."""
    obstacles: tuple[str, ...] = ()
    """Why it can't be done yet; empty: it can."""


@dataclass(frozen=True, slots=True)
class StoreView:
    """How the store is, as its leader knows it."""

    fleet: str
    term: int
    restored: str
    """Why nothing is written; empty: it was not restored, or has been adopted."""
    plan: AdoptionPlan
    """What adopting it would do now."""


def rebuilt(
    shard: ShardId,
    claims: Sequence[Claim],
    *,
    stored: Assignment | None,
    known: Assignment | None,
    heard: Container[NodeId],
) -> Rebuilt | Unclear:
    """Rebuild one shard's record.

    Args:
        shard: which.
        claims: of all copies whose nodes are heard now, members or not.
        stored: what the store holds of it.
        known: what the leader's map shows of it.
        heard: the nodes that are heard now, whether they hold a copy or not.
    """
    if not claims:
        return Unclear(shard, "no copy of it is heard")
    highest = max(one.fence for one in claims)
    for whose, record in (("the store", stored), ("the map", known)):
        if record is not None and record.fence > highest:
            return Unclear(shard, f"{whose} knows {_shown(record.fence)}, and the copies heard only {_shown(highest)}")
    records = {_bare(one.decided) for one in claims if one.fence == highest}
    decided = next(iter(records))
    if len(records) > 1 or decided is None or decided.fence != highest:
        return Unclear(shard, f"its copies contradict each other about {_shown(highest)}")
    if missing := _missing(decided, claims, heard):
        return Unclear(shard, missing)
    raised = max(one.fence.incarnation for one in claims) + INCARNATIONS
    new = replace(decided, incarnation=raised, epoch=highest.epoch + 1, reason=REASON)
    return Rebuilt(new, None if stored is None else stored.fence)


def _missing(decided: Assignment, claims: Sequence[Claim], heard: Container[NodeId]) -> str:
    """Say who could know more and is not heard at the highest epoch; empty: nobody."""
    fences = {one.copy: one.fence for one in claims}
    for role, copy in zip(("primary", "standby"), decided.in_sync, strict=False):
        if copy not in fences:
            return f"its {role} on {copy.node} is not heard, and may have gone on in the lost time"
        if fences[copy] != decided.fence:
            return f"its {role} on {copy.node} has not come to {_shown(decided.fence)} yet"
    for one in claims:
        if one.copy in decided.in_sync and one.learner is not None and one.learner not in heard:
            return f"{one.learner} was to join it, is not heard, and may have gone on in the lost time"
    return ""


def _bare(record: Assignment | None) -> Assignment | None:
    """Leave out the reason, which maps do not carry."""
    return None if record is None else replace(record, reason="")


def _shown(fence: Fence) -> str:
    return f"{fence.incarnation}.{fence.epoch}"
