"""Who holds a shard, and which changes of that are legal (PROTOCOL.md sections 1 and 2).

Upholds C2 to C6, and with them I2 (primary(e+1) is in in_sync(e)), the record's half of I6 (one primary per epoch)
and of I13 (no planned change passes through one copy). Every adapter of the assignment store calls
``legal_successor`` before it writes, and its conditional write repeats the base.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias, assert_never

from core.errors import ConflictError, MalformedError, RefusedBySafetyError, StaleEpochError
from core.names import CopyId, DcId, GeographyId, NodeId, ShardId, dc_of
from core.topology import Kind


@dataclass(frozen=True, slots=True, order=True)
class Copy:
    """A shard's data on a node: the node, and the disk it was written to."""

    node: NodeId
    copy_id: CopyId


class Fence(NamedTuple):
    """(incarnation, epoch): grows with every change of an assignment; an older one is refused everywhere.

    Compared and made with every report and read, so a named tuple: ten times as fast to compare as a frozen dataclass.
    """

    incarnation: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who holds a shard.

    SYNC: a standby is named, and both copies are in sync. SOLO: no standby; the primary alone is in sync.
    """

    shard: ShardId
    kind: Kind
    incarnation: int
    epoch: int
    primary: Copy
    standby: Copy | None
    reason: str = ""
    """What made this record, in a few words, for people."""
    fence: Fence = field(init=False, repr=False, compare=False)
    """What others compare: worked out once, as it is asked for with every read and report."""
    in_sync: tuple[Copy, ...] = field(init=False, repr=False, compare=False)
    """The copies that hold every acknowledged write: the primary first."""

    def __post_init__(self) -> None:
        """Work out what follows from the rest."""
        object.__setattr__(self, "fence", Fence(self.incarnation, self.epoch))
        standby = self.standby
        object.__setattr__(self, "in_sync", (self.primary,) if standby is None else (self.primary, standby))

    @property
    def solo(self) -> bool:
        """Say whether one copy is all there is."""
        return self.standby is None


@dataclass(frozen=True, slots=True)
class Evict:
    """The primary goes on alone: SYNC -> SOLO. Proposed by the primary."""


@dataclass(frozen=True, slots=True)
class Add:
    """A caught-up learner becomes the standby: SOLO -> SYNC. Proposed by the primary."""

    learner: Copy


@dataclass(frozen=True, slots=True)
class Swap:
    """A caught-up learner takes the standby's place: SYNC -> SYNC. Proposed by the primary."""

    old: Copy
    new: Copy


@dataclass(frozen=True, slots=True)
class Promote:
    """The standby takes over alone, the primary being lost. Proposed by the leader, on a verdict or a copy's report."""


@dataclass(frozen=True, slots=True)
class Switchover:
    """The drained primary and its standby change roles, both staying in sync. Proposed by the primary."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The same record under a new epoch: ends an ADD, SWAP or DRAIN in flight. Proposed by the primary."""


@dataclass(frozen=True, slots=True)
class Override:
    """The lossy override (C6): an operator states that the SOLO primary is gone for good."""

    stale: Copy
    """Takes over from what it has; in another data center of the geography."""
    token: str
    """Who states it."""


Change: TypeAlias = Evict | Add | Swap | Promote | Switchover | Cancel | Override


@dataclass(frozen=True, slots=True)
class Leader:
    """The proposer is the control plane's leader."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The proposer is a person with an operator's token."""

    token: str


Proposer: TypeAlias = Copy | Leader | Operator


def successor(old: Assignment, change: Change, *, reason: str) -> Assignment:
    """Build the record that a change makes of ``old``; whether it may is ``legal_successor``'s to say."""
    epoch = old.epoch + 1
    match change:
        case Evict() | Cancel():
            standby = None if isinstance(change, Evict) else old.standby
            return replace(old, epoch=epoch, standby=standby, reason=reason)
        case Add(learner):
            return replace(old, epoch=epoch, standby=learner, reason=reason)
        case Swap(_, new):
            return replace(old, epoch=epoch, standby=new, reason=reason)
        case Promote():
            return replace(old, epoch=epoch, primary=_standby(old), standby=None, reason=reason)
        case Switchover():
            return replace(old, epoch=epoch, primary=_standby(old), standby=old.primary, reason=reason)
        case Override(stale, _):
            grown = old.incarnation + 1
            return replace(old, incarnation=grown, epoch=epoch, primary=stale, standby=None, reason=reason)
        case _:
            assert_never(change)


def legal_successor(
    old: Assignment,
    new: Assignment,
    change: Change,
    *,
    proposer: Proposer,
    geography_of: Callable[[DcId], GeographyId],
) -> None:
    """Refuse every change of an assignment that C2 to C6, residency or the two-data-center rule forbid.

    Args:
        old: the record as the proposer knows it; the store compares it again when it writes.
        new: the record to write.
        change: what kind of change this claims to be.
        proposer: who asks.
        geography_of: the topology's map from a data center to its geography.

    Raises:
        StaleEpochError: the new (incarnation, epoch) is not the very next one.
        RefusedBySafetyError: the change is not legal; ``violations`` says why.
    """
    step = (new.incarnation - old.incarnation, new.epoch - old.epoch)
    if step != ((1, 1) if isinstance(change, Override) else (0, 1)):
        raise StaleEpochError(
            f"shard {old.shard} is at {old.incarnation}.{old.epoch}: {new.incarnation}.{new.epoch} does not follow it",
            shard=old.shard,
            incarnation=old.incarnation,
            epoch=old.epoch,
        )
    wrong = [*_proposer_wrong(old, change, proposer), *_change_wrong(old, change), *_placement_wrong(new, geography_of)]
    if isinstance(change, Override):
        wrong += _override_wrong(old.primary, change.stale, geography_of)
    if not wrong and replace(new, reason="") != replace(successor(old, change, reason=""), reason=""):
        wrong.append(f"the record is not what {type(change).__name__} makes of its base")
    if wrong:
        raise RefusedBySafetyError(
            f"shard {old.shard}: {type(change).__name__} is not legal here: {wrong[0]}",
            violations=wrong,
            shard=old.shard,
        )


def first_assignment(new: Assignment, *, geography_of: Callable[[DcId], GeographyId]) -> None:
    """Check the record that a shard starts with: SYNC at 1.1, two data centers of one geography.

    Raises:
        RefusedBySafetyError: it is not such a record.
    """
    wrong = _placement_wrong(new, geography_of)
    if new.fence != Fence(1, 1) or (new.solo and new.kind is Kind.COLLAB):
        wrong.append("a shard starts in sync, at incarnation 1, epoch 1")
    if wrong:
        raise RefusedBySafetyError(f"shard {new.shard} can't start like this: {wrong[0]}", violations=wrong)


def legal_adoption(current: Assignment | None, new: Assignment, *, geography_of: Callable[[DcId], GeographyId]) -> None:
    """Check a record that takes the place of what a restored store holds (C2, C10).

    Raises:
        RefusedBySafetyError: it does not rise above the stored incarnation, so that an epoch could be used twice, or
            its copies may not stand there.
    """
    wrong = _placement_wrong(new, geography_of)
    if current is not None and new.incarnation <= current.incarnation:
        wrong.append(f"incarnation {new.incarnation} is not above {current.incarnation}, which the store holds")
    if wrong:
        raise RefusedBySafetyError(f"shard {new.shard} can't be adopted like this: {wrong[0]}", violations=wrong)


def fits_base(current: Assignment | None, base: Fence) -> None:
    """Compare a record with the base that a change was made on.

    Raises:
        ConflictError: the record moved on, or does not exist.
    """
    if current is None or current.fence != base:
        shown = "nothing" if current is None else f"{current.incarnation}.{current.epoch}"
        raise ConflictError(
            f"the change was made on {base.incarnation}.{base.epoch}, the store holds {shown}: read it again"
        )


def _standby(old: Assignment) -> Copy:
    if old.standby is None:
        raise MalformedError("change", f"of SOLO shard {old.shard}", expected="a shard that has a standby")
    return old.standby


def _proposer_wrong(old: Assignment, change: Change, proposer: Proposer) -> list[str]:
    match change:
        case Promote():
            return [] if proposer == Leader() else ["only the leader promotes"]
        case Override(_, token):
            named = token.strip() and proposer == Operator(token)
            return [] if named else ["only an operator, by name, overrides"]
        case _:
            return [] if proposer == old.primary else ["only the present primary proposes this"]


def _change_wrong(old: Assignment, change: Change) -> list[str]:
    match change:
        case Evict() | Promote() | Switchover():
            return ["the shard has no standby in sync"] if old.solo else []
        case Add(learner):
            wrong = [] if old.solo else ["the shard has a standby already"]
            return wrong + (["the learner is the primary"] if learner == old.primary else [])
        case Swap(gone, new):
            wrong = [] if gone == old.standby else ["the copy to leave is not the standby"]
            return wrong + (["the learner is in sync already"] if new in old.in_sync else [])
        case Override():
            return [] if old.solo else ["the shard has two copies in sync: promote the standby"]
        case Cancel():
            return []
        case _:
            assert_never(change)


def _override_wrong(lost: Copy, stale: Copy, geography_of: Callable[[DcId], GeographyId]) -> list[str]:
    """The one change after which no copy of the base is left: what the copies have in common is asked here."""
    here, there = dc_of(lost.node), dc_of(stale.node)
    wrong = [f"the stale copy is in {here}, which is stated to be gone"] if here == there else []
    if geography_of(here) != geography_of(there):
        wrong.append(f"the stale copy is in {geography_of(there)}, the shard's data may not leave {geography_of(here)}")
    return wrong


def _placement_wrong(new: Assignment, geography_of: Callable[[DcId], GeographyId]) -> list[str]:
    dcs = [dc_of(copy.node) for copy in new.in_sync]
    wrong = [f"both copies would be in {dcs[0]}"] if len(set(dcs)) < len(dcs) else []
    geographies = {geography_of(dc) for dc in dcs}
    return wrong + ([f"the copies would be in {' and '.join(sorted(geographies))}"] if len(geographies) > 1 else [])
