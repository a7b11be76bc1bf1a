"""What a node tells the control plane about itself, and what it is told to do: plain values, no wire."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from core.errors import TwinholdError
from core.names import NodeId, ShardId


class Observation(NamedTuple):
    """What this node sees of a partner."""

    node: NodeId
    heard_at: float
    """On this node's clock; in the future while a new partner is given time to come up."""
    refused: bool
    """Its stream was reset and connects were refused."""


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
