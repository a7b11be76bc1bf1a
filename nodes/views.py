"""What a node tells the control plane about itself, and what it is told to do: plain values, no wire."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from core.assignments import Assignment, Fence
from core.errors import TwinholdError
from core.names import CopyId, NodeId, ShardId
from nodes.quarantine import NOTHING, Quarantined
from nodes.records import EMPTY, Generation


class Role(Enum):
    """What a copy does (PROTOCOL.md section 1); the values are those of ``CopyReport.Role`` without its prefix."""

    PRIMARY = "PRIMARY"
    STANDBY = "STANDBY"
    LEARNER = "LEARNER"
    OUT = "OUT"
    DRAINED = "DRAINED"
    PROMOTED = "PROMOTED"


class Order(Enum):
    """What the leader orders a primary to do; the values are those of ``TransferOrder.Kind`` without its prefix."""

    ADD = "ADD"
    SWAP = "SWAP"
    SWITCHOVER = "SWITCHOVER"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class CopyView:
    """One copy, as it is reported."""

    shard: ShardId
    copy_id: CopyId
    fence: Fence
    role: Role
    last_lsn: int
    commit_lsn: int
    learner: NodeId | None
    learner_lag: int
    complaint: str
    writes_per_s: int
    orphaned: int
    serving: bool
    last: Generation = EMPTY.generation
    """When its last entry was decided: of two journals, the one that ends in a later generation holds more."""
    quarantined: Quarantined = NOTHING
    """What was moved to ``orphan/`` although it may have been acknowledged."""
    decided: Assignment | None = None
    """The record that it acts on, that of ``fence``; None: it is member of nothing yet."""


class Observation(NamedTuple):
    """What this node sees of a partner."""

    node: NodeId
    heard_at: float
    """On this node's clock; in the future while a new partner is given time to come up."""
    refused: bool
    """Its stream was reset and connects were refused."""


@dataclass(frozen=True, slots=True)
class PrepareShard:
    """A copy that may have to take over, and the record it would be promoted from."""

    shard: ShardId
    base: Fence


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """Whether a copy could take over now; ``refusal`` says why not."""

    shard: ShardId
    ready: bool
    refusal: str
    last_lsn: int


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """An order to a primary; giving it again does no harm."""

    shard: ShardId
    base: Fence
    order: Order
    target: NodeId | None
    """ADD, SWAP: who takes the new copy."""
    reason: str


@dataclass(frozen=True, slots=True)
class TransferResult:
    """Whether the order is under way, or done already; ``refusal`` says why not."""

    shard: ShardId
    accepted: bool
    refusal: str


class Answered(NamedTuple):
    """A committed command; or, ``replayed``, one that was committed before; every write makes one, so a tuple."""

    shard: ShardId
    lsn: int
    type_url: str
    body: bytes
    replayed: bool


class QueryAnswer(NamedTuple):
    """A linearizable read: parts as (type url, body), and the journal position that they reflect; a tuple as above."""

    shard: ShardId
    lsn: int
    parts: Sequence[tuple[str, bytes]]


Outcome: TypeAlias = Answered | TwinholdError
QueryOutcome: TypeAlias = QueryAnswer | TwinholdError


@dataclass(frozen=True, slots=True)
class EntryStep:
    """A committed entry of the subscribed tenant; ``body`` is a serialized ``JournalEntry``."""

    lsn: int
    body: bytes


@dataclass(frozen=True, slots=True)
class CaughtUpStep:
    """Every committed entry up to here was given, or is another tenant's."""

    lsn: int


@dataclass(frozen=True, slots=True)
class GapStep:
    """Entries ``first_lsn .. last_lsn`` are no longer kept: read state by a query, go on from here."""

    first_lsn: int
    last_lsn: int


@dataclass(frozen=True, slots=True)
class EndedStep:
    """The subscription is over; the error says where to go."""

    error: TwinholdError


Step: TypeAlias = EntryStep | CaughtUpStep | GapStep | EndedStep
