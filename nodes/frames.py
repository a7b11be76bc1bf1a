"""What two nodes say to each other: frozen messages, many of them in one frame.

A frame carries whatever one turn of the sender's loop produced for the peer, for many shards, in order. Messages about
a shard name it first; ``gen`` is the (incarnation, epoch, boot) that the sender acts in, and nothing of an older one
than the receiver's counts (I5).

What every write or heartbeat makes one of is a named tuple: a frozen dataclass takes three times as long to make.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from core.assignments import Assignment, Fence
from core.errors import TwinholdError
from core.names import CopyId, ShardId
from nodes.ports import Span
from nodes.records import Generation, Record, Tip


class Append(NamedTuple):
    """Primary to standby or learner: entries after ``prev``; none of them: a first contact, or news of commits."""

    shard: ShardId
    gen: Generation
    prev: Tip
    records: tuple[Record, ...]
    commit_lsn: int
    decided: Assignment | None = None
    """The record of ``gen``, until the peer has answered in it: whoever lacks it may adopt it."""


class Ack(NamedTuple):
    """Everything up to ``lsn`` is durable here, in the sender's ``gen``; an ack of another gen does not count."""

    shard: ShardId
    gen: Generation
    lsn: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The receiver's gen is behind: stop until the record is read. ``decided`` is the record, if known here."""

    shard: ShardId
    seen: Generation
    decided: Assignment | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decided record; from the old primary of a switchover to the new one it is the hand-over."""

    shard: ShardId
    decided: Assignment


@dataclass(frozen=True, slots=True)
class Invite:
    """Primary to whoever shall follow it: say what you hold. ``ask`` is echoed, so that only a fresh answer counts."""

    shard: ShardId
    gen: Generation
    decided: Assignment
    ask: int


@dataclass(frozen=True, slots=True)
class Hello:
    """A copy to its primary: what it holds; ``number`` is new every time, and a Welcome must name it."""

    shard: ShardId
    seen: Generation
    copy_id: CopyId
    tip: Tip
    floor: Tip
    """Entries up to here are in its snapshot only."""
    spans: tuple[Span, ...]
    """The epoch table: covers everything above ``floor``."""
    number: int
    ask: int
    """Of the Invite that this answers; 0: unasked."""
    reads: tuple[int, int] = (1, 1)
    """The lowest and highest record version that the copy's node reads."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Primary to a copy: what both hold ends at ``common``; drop what lies beyond, entries follow.

    With ``snapshot`` nothing is common that the primary still has entries for: app state in parts comes first.
    """

    shard: ShardId
    gen: Generation
    decided: Assignment
    number: int
    common: Tip
    snapshot: bool


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """A part of the app state as of ``tip``; the last one completes it. Over the bulk channel."""

    shard: ShardId
    gen: Generation
    number: int
    tip: Tip
    index: int
    body: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class SnapshotAck:
    """Part ``index`` has arrived: one more may be sent."""

    shard: ShardId
    gen: Generation
    number: int
    index: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """A copy to its primary: I can't follow (damaged, disk refused, or not the copy you mean); do without me."""

    shard: ShardId
    gen: Generation
    copy_id: CopyId
    cause: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Old primary to the new one after a switchover: a request that waited in its queue."""

    shard: ShardId
    ticket: int
    tenant: str
    app: str
    type_url: str
    body: bytes
    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of a forwarded request: an error, or an answer that is committed at ``lsn``."""

    shard: ShardId
    ticket: int
    error: TwinholdError | None
    type_url: str = ""
    body: bytes = b""
    lsn: int = 0
    replayed: bool = False


class Heartbeat(NamedTuple):
    """Once per node pair and heartbeat interval: I live, and these shards ask you for their lease.

    ``wanted`` is sent when it changed, or when the peer does not know ``version``; otherwise the peer's last one holds.
    """

    sent_at: float
    """On the sender's clock; comes back in the reply."""
    version: int
    """Of the sender's list; never used twice, restarts included."""
    wanted: tuple[tuple[ShardId, Fence], ...] | None


class HeartbeatReply(NamedTuple):
    """All shards of that list are granted, except these; ``version`` 0: the list is not known here, send it."""

    sent_at: float
    version: int
    refused: tuple[ShardId, ...]


Message: TypeAlias = (
    Append
    | Ack
    | Stale
    | Decided
    | Invite
    | Hello
    | Welcome
    | SnapshotPart
    | SnapshotAck
    | Unfit
    | Forward
    | Forwarded
    | Heartbeat
    | HeartbeatReply
)
ShardMessage: TypeAlias = (
    Append | Ack | Stale | Decided | Invite | Hello | Welcome | SnapshotPart | SnapshotAck | Unfit | Forward | Forwarded
)


class Frame(NamedTuple):
    """What one turn had for one peer, in order."""

    messages: tuple[Message, ...] = ()
