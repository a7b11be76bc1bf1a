"""The port behind which every app stands: a small pure state machine per tenant (DESIGN.md section 8).

An app in another package registers in the entry-point group ``twinhold.apps`` and runs without a change here.
``decide`` runs on the primary only and may use the time and the seed that it is given; ``apply`` is total and blind to
clock and dice, so that a copy on other code reaches the same state from the same journal.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from google.protobuf.message import Message

State = TypeVar("State")


class Decided(NamedTuple):
    """What a command leads to: events for the journal, each encoded by the app, and the answer to the caller."""

    events: tuple[bytes, ...]
    answer: Message


class Asked(NamedTuple):
    """What an app may know of a command or a query besides its body."""

    tenant: str
    """``tenants/{geography}/{slug}``."""
    actor: str
    at_ms: int
    """Never less than that of the record before."""
    seed: int
    """Sixty-four fresh bits; 0 for queries."""


class Change(NamedTuple):
    """How many things of a kind differ between two states."""

    kind: str
    """In the plural, for people, e.g. ``posts``."""
    added: int
    removed: int
    changed: int


class App(Protocol[State]):
    """One app. Instances hold no state: it is passed in, one value per tenant, and owned by the caller."""

    name: str
    """Lower case, e.g. ``chat``; stands in every record."""
    schema_version: int
    """Of its events and snapshots: written by this code."""
    reads_versions: tuple[int, int]
    """The lowest and highest schema version that this code reads; travels in Hello."""
    command: type[Message]
    """What a command's Any holds."""
    query: type[Message]
    """What a query's Any holds."""
    event: type[Message]
    """What each of ``events`` parses as; what a subscription carries."""
    answer: type[Message]
    """What a command is answered with."""

    def empty(self) -> State:
        """Make the state of a tenant that has done nothing yet."""
        ...

    def decide(self, state: State, command: Message, asked: Asked) -> Decided:
        """Judge a command; must not change ``state``. Raises RefusedByAppError or another FixRequestError."""
        ...

    def apply(self, state: State, event: bytes, version: int) -> State:
        """Take one event; total: whatever was decided applies. May change and return ``state`` itself."""
        ...

    def ask(self, state: State, query: Message, asked: Asked) -> Iterator[Message]:
        """Answer a query in parts of at most 512 KiB each; must not change ``state``.

        Refuses, and takes what it needs from ``state``, when it is called, not when a part is drawn: events may be
        applied between two parts, and must not show.
        """
        ...

    def export(self, state: State) -> Iterator[bytes]:
        """Write a tenant's state in parts of at most 256 KiB: snapshot, move and export are all made of these.

        As with ``ask``, what is applied after the call, while parts are still being drawn, must not show.
        """
        ...

    def load(self, parts: Iterable[bytes], version: int) -> State:
        """Read what ``export`` wrote."""
        ...


@runtime_checkable
class Compares(Protocol):
    """An app that can say more of two states than that they differ; of one that can't, a restore is told as a whole."""

    def changes(self, now: object, then: object) -> Sequence[Change]:
        """Count what changes when ``then`` takes the place of ``now``; both are states of this app."""
        ...


Apps = Sequence[App[object]]
