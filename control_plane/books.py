"""The leader's small records in the store: what a new leader must know to go on where the old one stopped.

Evacuations (C9), cordons, homecomings, operations, the brake's halt, an adoption. Bodies are JSON, so that an operator
can read them; a field that a newer leader added is ignored by an older one.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TypeAlias, TypeVar

from control_plane.ports import Doc
from core.errors import MalformedError
from core.names import DcId, GeographyId, NodeId, ShardId

OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True, slots=True)
class Evacuation:
    """The recorded decision that a data center or a node is lost (C9)."""

    id: str
    """``{dc or node}-{n}``: the n-th of it."""
    dc: DcId
    node: NodeId | None
    """None: the whole data center."""
    geography: GeographyId
    automatic: bool
    """Decided by a verdict, not by a person; only these are counted by the brake."""
    since_ms: int
    last_sign_ms: int
    """When the accused was last seen alive, in the leader's wall time."""
    evidence: tuple[str, ...]
    state: str = OPEN
    ended_ms: int = 0
    empty: bool = False
    """No copy stood there: nothing is brought back, and the brake does not count it. Kept because it is a fall."""

    @property
    def open(self) -> bool:
        """Say whether what it names still counts as lost."""
        return self.state == OPEN

    @property
    def subject(self) -> str:
        """Name what is lost, as a resource."""
        return f"nodes/{self.node}" if self.node is not None else f"dataCenters/{self.dc}"


@dataclass(frozen=True, slots=True)
class Cordon:
    """Nothing new is placed in a data center."""

    dc: DcId
    since_ms: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Homecoming:
    """A data center is back and is being given its share again."""

    dc: DcId
    since_ms: int
    holddown_until_ms: int
    """No primaries by plan before this."""
    flaps: int = 0
    """How often in a row it had fallen again soon after its return: why the hold-down is as long as it is."""


@dataclass(frozen=True, slots=True)
class Halt:
    """The brake has stopped automatic evacuation of a geography, or of the fleet (None), until a person resumes it."""

    geography: GeographyId | None
    since_ms: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """A person has closed a halt: what happened before does not count any more."""

    at_ms: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class OperationBook:
    """Work that goes on across leaders."""

    id: str
    kind: str
    """drain, evacuate, switchover, promote or override."""
    dc: DcId | None
    shard: ShardId | None
    steps: int
    started_ms: int
    actor: str
    reason: str
    request_id: str
    base_epoch: int = 0
    """Switchover, promote, override: the epoch that it started from."""
    base_incarnation: int = 0
    """Override: the incarnation that it started from."""
    stated_by: str = ""
    """Override: who states that the primary's data center is fenced."""
    takes_over: str = ""
    """Override: the copy that was agreed on, as ``{node}/{copy id}``; another one may lose more."""
    evidence: tuple[str, ...] = ()
    """Override: why the primary counted as gone when it was asked for."""
    ended_ms: int = 0
    steps_done: int = 0
    detail: str = ""
    error_reason: str = ""
    error_message: str = ""

    @property
    def subject(self) -> str:
        """Name what it is about, as a resource."""
        return f"shards/{self.shard}" if self.shard is not None else f"dataCenters/{self.dc}"


@dataclass(frozen=True, slots=True)
class AdoptionBook:
    """The last time that a restored store's records were rebuilt from what copies report (C10)."""

    at_ms: int
    actor: str
    reason: str
    request_id: str
    store_incarnation: int
    rebuilt: int
    frozen: tuple[ShardId, ...]
    """Shards whose records could not be rebuilt: nothing is written to them."""


Book: TypeAlias = Evacuation | Cordon | Homecoming | Halt | Resume | OperationBook | AdoptionBook
Kind = TypeVar("Kind", Evacuation, Cordon, Homecoming, Halt, Resume, OperationBook, AdoptionBook)

_FOLDERS: dict[str, type[Book]] = {
    "evacuations": Evacuation,
    "cordons": Cordon,
    "homecomings": Homecoming,
    "halts": Halt,
    "resumes": Resume,
    "operations": OperationBook,
    "adoptions": AdoptionBook,
}


def key_of(book: Book) -> str:
    """Name the doc that a book is kept in."""
    match book:
        case Evacuation(id):
            return f"evacuations/{id}"
        case Cordon(dc) | Homecoming(dc):
            return f"{'cordons' if isinstance(book, Cordon) else 'homecomings'}/{dc}"
        case Halt(geography):
            return f"halts/{geography or 'fleet'}"
        case Resume():
            return "resumes/last"
        case OperationBook(id):
            return f"operations/{id}"
        case AdoptionBook():
            return "adoptions/last"


def body_of(book: Book) -> bytes:
    """Write a book."""
    return json.dumps(asdict(book), separators=(",", ":"), sort_keys=True).encode()


def book_of(doc: Doc) -> Book | None:
    """Read a book; None for a deleted one, or of a kind that only a newer leader knows.

    Raises:
        MalformedError: it is not what this or an older leader wrote.
    """
    kind = _FOLDERS.get(doc.key.split("/", 1)[0])
    if kind is None or not doc.body:
        return None
    try:
        held = json.loads(doc.body)
        known = {f.name for f in fields(kind)}
        values = {
            name: tuple(value) if isinstance(value, list) else value for name, value in held.items() if name in known
        }
        make: Callable[..., Book] = kind
        return make(**values)
    except (ValueError, TypeError, AttributeError) as cause:
        raise MalformedError("doc", doc.key, expected=f"the fields of {kind.__name__}") from cause


class Shelf:
    """The fleet's books as the leader knows them, with the versions that the next write of each needs."""

    def __init__(self) -> None:
        self._docs: dict[str, Doc] = {}
        self._books: dict[str, Book] = {}
        self._ordered: list[Book] = []
        """By key; worked out when a book comes, as each look of a leader asks for several kinds."""
        self._lost_dcs: frozenset[DcId] = frozenset()
        self._lost_nodes: frozenset[NodeId] = frozenset()
        self._cordoned: frozenset[DcId] = frozenset()
        self._frozen: frozenset[ShardId] = frozenset()

    def read(self, docs: tuple[Doc, ...]) -> None:
        """Take what the store holds."""
        for doc in docs:
            self.seen(doc)

    def seen(self, doc: Doc) -> None:
        """Take one doc, unless a newer version is known."""
        if doc.version < self.version(doc.key):
            return
        self._docs[doc.key] = doc
        book = book_of(doc)
        if book is None:
            self._books.pop(doc.key, None)
        else:
            self._books[doc.key] = book
        self._ordered = [self._books[key] for key in sorted(self._books)]
        lost = self.evacuations(open_only=True)
        self._lost_dcs = frozenset(e.dc for e in lost if e.node is None)
        self._lost_nodes = frozenset(e.node for e in lost if e.node is not None)
        self._cordoned = frozenset(c.dc for c in self.all(Cordon))
        self._frozen = frozenset(shard for book in self.all(AdoptionBook) for shard in book.frozen)

    def docs(self) -> list[Doc]:
        """List everything as the store has held it, deleted docs included."""
        return list(self._docs.values())

    def next(self, book: Book) -> Doc:
        """Write the doc that puts a book in place of what the store holds."""
        key = key_of(book)
        return Doc(key, self.version(key) + 1, body_of(book))

    def gone(self, book: Book) -> Doc:
        """Write the doc that deletes a book."""
        key = key_of(book)
        return Doc(key, self.version(key) + 1, b"")

    def all(self, kind: type[Kind]) -> list[Kind]:
        """List the books of a kind, by key."""
        return [book for book in self._ordered if isinstance(book, kind)]

    def evacuations(self, *, open_only: bool) -> list[Evacuation]:
        """List evacuations, the open ones or all."""
        return [e for e in self.all(Evacuation) if e.open or not open_only]

    def lost_dcs(self) -> frozenset[DcId]:
        """Name the data centers that are held lost."""
        return self._lost_dcs

    def lost_nodes(self) -> frozenset[NodeId]:
        """Name the nodes that are held lost on their own."""
        return self._lost_nodes

    def cordoned(self) -> frozenset[DcId]:
        """Name the data centers where nothing new is placed."""
        return self._cordoned

    def frozen_shards(self) -> frozenset[ShardId]:
        """Name the shards whose records were not rebuilt when the store was adopted: nothing is written to them."""
        return self._frozen

    def held_down(self, now_ms: int) -> frozenset[DcId]:
        """Name the data centers that are given no primaries by plan now."""
        return frozenset(book.dc for book in self.all(Homecoming) if book.holddown_until_ms > now_ms)

    def operation(self, id_: str) -> OperationBook | None:
        """Look an operation up."""
        found = self._books.get(f"operations/{id_}")
        return found if isinstance(found, OperationBook) else None

    def version(self, key: str) -> int:
        """Say how often a doc has been written."""
        held = self._docs.get(key)
        return 0 if held is None else held.version


def closed(evacuation: Evacuation, at_ms: int) -> Evacuation:
    """End an evacuation: what it names is back."""
    return replace(evacuation, state=CLOSED, ended_ms=at_ms)
