"""What a pair machine is told, and what it wants done.

What every write makes one of is a named tuple: a frozen dataclass takes three times as long to make.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from core.assignments import Assignment, Fence
from core.copies import NOTHING_QUARANTINED, Quarantined
from core.names import NodeId
from core.orders import Order
from core.proposals import Proposal, ProposalAnswer
from nodes.frames import ShardMessage
from nodes.ports import CopyMeta
from nodes.records import Record, Tip


@dataclass(frozen=True, slots=True)
class Flush:
    """The turn's admitted entries are to be written and sent."""


class Durable(NamedTuple):
    """The journal is on disk up to ``lsn``; void if the journal was cut since (``cuts``)."""

    lsn: int
    cuts: int


@dataclass(frozen=True, slots=True)
class MetaSaved:
    """The meta of that version is on disk."""

    version: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The journal was cut, or replaced by a snapshot, on disk."""

    cuts: int
    quarantined: Quarantined = NOTHING_QUARANTINED
    """All that is kept aside by now although it may have been acknowledged."""


@dataclass(frozen=True, slots=True)
class CutMismatch:
    """Our entry at the place where the journal was to be cut is another one than the primary's: damage."""

    lsn: int


class Heard(NamedTuple):
    """A message about this shard came from a peer."""

    peer: NodeId
    message: ShardMessage


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The stream to a peer stands again; what was sent before may be lost."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The stream to a peer broke; ``refused``: connects are refused too, which is strong evidence."""

    peer: NodeId
    refused: bool


@dataclass(frozen=True, slots=True)
class MapRecord:
    """The map, or the leader's answer to somebody else, shows a decided record."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class RecordRead:
    """The store's record, read linearizably; None: the store did not answer."""

    number: int
    """Of the ``ReadRecord`` that it answers."""
    assignment: Assignment | None


@dataclass(frozen=True, slots=True)
class ProposalAnswered:
    """What became of a proposal."""

    proposal: Proposal
    answer: ProposalAnswer


@dataclass(frozen=True, slots=True)
class Ordered:
    """The leader wants this primary to start a change."""

    order: Order
    base: Fence
    target: NodeId | None


@dataclass(frozen=True, slots=True)
class Jumped:
    """The clock made a step between two turns: this process was stopped, or its loop blocked."""

    step_s: float


@dataclass(frozen=True, slots=True)
class PlaceFound:
    """What this journal holds at the place that a Hello and it have in common; None: no longer there."""

    peer: NodeId
    number: int
    tip: Tip | None


@dataclass(frozen=True, slots=True)
class TailRead:
    """Entries for a peer that catches up."""

    peer: NodeId
    number: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """The peer has every part of the snapshot as of ``tip``."""

    peer: NodeId
    number: int
    tip: Tip


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """The journal now starts after ``tip``: a snapshot holds what is before."""

    tip: Tip


Event: TypeAlias = (
    Flush
    | Durable
    | MetaSaved
    | Cut
    | CutMismatch
    | Heard
    | LinkUp
    | LinkDown
    | MapRecord
    | RecordRead
    | ProposalAnswered
    | Ordered
    | Jumped
    | PlaceFound
    | TailRead
    | SnapshotSent
    | SnapshotTaken
)


class Persist(NamedTuple):
    """Append these entries; then tell ``Durable`` with the last lsn and ``cuts``, at once unless ``quiet``."""

    records: tuple[Record, ...]
    cuts: int
    quiet: bool
    """Others must hold them too, so that nobody waits for this disk alone: it may be told of after ``Hasten``."""


@dataclass(frozen=True, slots=True)
class Hasten:
    """Somebody waits for this disk now: tell ``Durable`` of everything as soon as it is so."""


@dataclass(frozen=True, slots=True)
class SaveMeta:
    """Replace the meta; then tell ``MetaSaved``."""

    meta: CopyMeta
    version: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """Drop everything after ``keep``, moved to ``orphan/``; then tell ``Cut``, or ``CutMismatch``."""

    keep: Tip
    dropped: int
    cuts: int
    lossy: bool = False
    """What goes may have been acknowledged: it is counted by tenant."""


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """Replace journal and state by a peer's snapshot; then tell ``Cut``."""

    tip: Tip
    parts: tuple[bytes, ...]
    cuts: int
    lossy: bool = False
    """Our own snapshot may hold what was acknowledged and is lost: it goes to ``orphan/``."""


class Send(NamedTuple):
    """Send to a peer node."""

    peer: NodeId
    message: ShardMessage
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the leader; then tell ``ProposalAnswered``."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """Read the store's record; then tell ``RecordRead``."""

    number: int


@dataclass(frozen=True, slots=True)
class FindPlace:
    """Look up what the journal holds at ``lsn``; then tell ``PlaceFound``."""

    peer: NodeId
    number: int
    lsn: int


@dataclass(frozen=True, slots=True)
class ReadTail:
    """Read entries after a place for a peer that catches up; then tell ``TailRead``."""

    peer: NodeId
    number: int
    after_lsn: int


@dataclass(frozen=True, slots=True)
class SendSnapshot:
    """Send the kept snapshot in parts; then tell ``SnapshotSent``."""

    peer: NodeId
    number: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """The switchover is decided: forward the waiting requests to the new primary."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class CarryLeases:
    """Leases of the old epoch hold in the new one: these peers are members of both."""

    old: Fence
    new: Fence
    peers: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that people look for in the log."""

    event: str
    facts: tuple[tuple[str, object], ...]


Action: TypeAlias = (
    Persist
    | Hasten
    | SaveMeta
    | Truncate
    | InstallSnapshot
    | Send
    | Propose
    | ReadRecord
    | FindPlace
    | ReadTail
    | SendSnapshot
    | HandOver
    | CarryLeases
    | Note
)
