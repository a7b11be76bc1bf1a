"""What the node's protocol code needs from the world: a journal on a disk, links to peers, and an archive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from core.assignments import Assignment, Copy
from core.copies import Quarantined
from core.names import CopyId, NodeId, ShardId
from core.ports import Done
from nodes.archive import Piece
from nodes.records import Generation, Record, Tip

Message = TypeVar("Message")
Message_contra = TypeVar("Message_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Intent:
    """A change of assignment that this copy asked for and has not yet seen decided (PROTOCOL.md section 5 and 6)."""

    kind: str
    """``evict``, ``add``, ``swap``, ``drain`` or ``cancel``."""
    base_incarnation: int
    base_epoch: int
    learner: Copy | None
    """ADD, SWAP: who joins."""
    lsn: int
    """The last entry when the intent was made: n of PROTOCOL.md."""


@dataclass(frozen=True, slots=True)
class CopyMeta:
    """What a copy must not forget besides its journal; written whole, before anything that depends on it is sent."""

    copy_id: CopyId
    seen: Generation
    """The highest (incarnation, epoch) seen, and the boot number in it (I5)."""
    assignment: Assignment | None = None
    """The decided record of ``seen``, when known."""
    intents: tuple[Intent, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """One row of the epoch table: entries from ``first_lsn`` on were decided in ``generation``."""

    generation: Generation
    first_lsn: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a disk knows of one shard at start."""

    shard: ShardId
    meta: CopyMeta
    tip: Tip
    floor: Tip
    """Entries up to and including this one are only in the snapshot."""
    spans: tuple[Span, ...]
    """The epoch table, ascending; covers everything above ``floor``."""
    damage: str = ""
    """Not empty: the copy is damaged, and where."""


@dataclass(frozen=True, slots=True)
class DiskError:
    """The disk refused: full, read-only, gone. ``cause`` is one line."""

    cause: str


class Journal(Protocol):
    """One disk: the journals of all copies of one node. Directory locked; deeds on one shard happen in order.

    ``done`` gets None once everything is durable (fsync), or a DiskError, after which the shard's state in memory must
    be thrown away and rebuilt from ``recover``. Reads raise DamagedError for what does not match its hash.
    """

    @property
    def disk_id(self) -> str:
        """Random, made with the disk."""
        ...

    def recover(self) -> Sequence[Recovered]:
        """Read what there is, every hash checked; once, at start."""
        ...

    def recover_one(self, shard: ShardId) -> Recovered | None:
        """The same for one shard, after a DiskError; None: there is no such copy."""
        ...

    def append(
        self, shard: ShardId, records: Sequence[Record], done: Callable[[DiskError | None], None], *, quiet: bool
    ) -> None:
        """Add records after the last one; commits are grouped across all shards of the node.

        ``quiet``: nobody waits for it alone, so that it wakes nobody: ``done`` is called before that of the next deed
        that is not quiet, after ``hasten``, or when the disk refuses.
        """
        ...

    def hasten(self) -> None:
        """Tell of everything that was asked for so far as soon as it is durable, quiet or not: somebody waits now."""
        ...

    def save_meta(self, shard: ShardId, meta: CopyMeta, done: Callable[[DiskError | None], None]) -> None:
        """Replace the copy's meta."""
        ...

    def truncate(
        self,
        shard: ShardId,
        *,
        keep_lsn: int,
        orphan: bool,
        done: Callable[[DiskError | None], None],
        lossy: bool = False,
    ) -> None:
        """Drop everything after ``keep_lsn``; with ``orphan``, move it to ``orphan/`` first.

        To keep nothing, 0, is to drop the snapshot too; to cut within one is refused like a disk that refuses.
        ``lossy``: what goes may have been acknowledged, and is counted among the ``quarantined``.
        """
        ...

    def read(self, shard: ShardId, *, after_lsn: int, limit_bytes: int) -> list[Record]:
        """Read records in order, at least one if there is one, then until the limit."""
        ...

    def tip_at(self, shard: ShardId, lsn: int) -> Tip | None:
        """Look the hash at a place up; None: not in the journal (above the tip, or below the floor)."""
        ...

    def save_snapshot(
        self,
        shard: ShardId,
        tip: Tip,
        parts: Sequence[bytes],
        done: Callable[[DiskError | None], None],
        *,
        orphan: bool = False,
    ) -> None:
        """Keep the app state as of ``tip``, checksummed, and drop the records up to it.

        If the journal does not reach that far, the snapshot came from a peer, and all records go; with ``orphan``, the
        snapshot that it takes the place of is moved to ``orphan/`` first, and counted among the ``quarantined``.
        """
        ...

    def quarantined(self, shard: ShardId) -> Quarantined:
        """Say what ``orphan/`` keeps of a shard although it may have been acknowledged; durable like the cut itself."""
        ...

    def load_snapshot(self, shard: ShardId) -> tuple[Tip, list[bytes]] | None:
        """Read the snapshot back; raises DamagedError."""
        ...

    def set_aside(self, shard: ShardId, done: Callable[[DiskError | None], None]) -> None:
        """Move a damaged copy's files out of the way; the shard is then unknown here, and its next copy id is new."""
        ...

    def fresh_copy_id(self, shard: ShardId) -> CopyId:
        """Name the copy that a new journal of this shard would be: grows with every ``set_aside``."""
        ...


class Links(Protocol, Generic[Message_contra]):
    """Streams to peer nodes: ordered while up, at most once, never blocking; a link that is full is dropped whole.

    ``bulk`` goes over a channel of its own, so that a snapshot never delays a heartbeat.
    """

    def send(self, peer: NodeId, message: Message_contra, *, bulk: bool = False) -> None:
        """Send, or lose."""
        ...


@dataclass(slots=True)
class Inbox(Generic[Message]):
    """What a driver hands to the adapter of ``Links``: where messages and link changes go."""

    message: Callable[[NodeId, Message], None]
    up: Callable[[NodeId], None]
    down: Callable[[NodeId, bool], None]
    """The flag: True when the stream was reset and connects were refused (strong evidence)."""
    peers: set[NodeId] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ArchiveFailure:
    """The archive did not do what it was asked for; ``cause`` is one line."""

    cause: str
    damaged: bool = False
    """The piece was altered or torn: asking again changes nothing."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an archive has of a shard."""

    pieces: tuple[Piece, ...]
    """Ascending by last place."""
    damaged: tuple[str, ...] = ()
    """Where it has something that can't be read as a piece."""


class Archive(Protocol):
    """Keeps sealed pieces of shards' journals, and snapshots; of one geography, for all of its nodes.

    Slower than a disk and now and then away: nothing that a client waits for waits for it. To put a piece again does no
    harm, whoever does it, and repairs one that was damaged. ``done`` is never called inside the call.
    """

    def put(self, piece: Piece, parts: Sequence[bytes], done: Done[ArchiveFailure | None]) -> None:
        """Keep a piece; None: it is durable, and from now on listed."""
        ...

    def pieces(self, shard: ShardId, *, from_lsn: int, done: Done[Listing | ArchiveFailure]) -> None:
        """List the pieces whose last place is ``from_lsn`` or later."""
        ...

    def read(self, piece: Piece, done: Done[Sequence[bytes] | ArchiveFailure]) -> None:
        """Read what a piece holds; nothing that does not match its checksum is given out."""
        ...
