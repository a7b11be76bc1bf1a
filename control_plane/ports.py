"""What the control plane needs from the world: a store with compare-and-set, a lock that avoids duels, the nodes.

The guarantees C1 to C10 of PROTOCOL.md section 2 are the contract; ``tests/contracts`` holds every adapter to them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from control_plane.views import ConferView, Unreached
from core.assignments import Assignment, Change, Fence, Proposer
from core.fleet_map import Delta
from core.names import ControlPlaneId, GeographyId, NodeId, ShardId
from core.orders import PrepareResult, PrepareShard, TransferOrder, TransferResult

SEGMENT = 64
"""Shards per partition: all of them that one event affects change in one conditional write."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """What one conditional write may span: 64 shards of a geography, or the fleet's own records (geography None)."""

    geography: GeographyId | None
    segment: int


FLEET = Partition(None, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """One assignment to write: created when ``base`` is None, else a change of exactly that base."""

    base: Fence | None
    new: Assignment
    change: Change | None
    proposer: Proposer


@dataclass(frozen=True, slots=True)
class Doc:
    """A small record of the leader's: an evacuation, a cordon, an operation; ``version`` grows by 1 per write."""

    key: str
    """``{kind}/{id}``, e.g. ``evacuations/fra1-3``."""
    version: int
    body: bytes
    """Empty: deleted."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What takes the place of what a restored store holds, in one piece (C10)."""

    incarnation: int
    """The store's, as it was read."""
    next_incarnation: int
    """The store's, when it is done; higher."""
    assignments: tuple[Assignment, ...]
    docs: tuple[Doc, ...]
    """Of the fleet's partition; each with a version above what the store holds of it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The row or doc is written, durable on a majority of its vote sites."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not written, and never will be: what the store holds instead."""

    current: Assignment | Doc | None


@dataclass(frozen=True, slots=True)
class StaleTerm:
    """Nothing was written: a newer leader has raised the partition's term (C7)."""

    term: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer in time: it may have happened. Read linearizably before acting (C1)."""

    cause: str


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Everything the store holds of a partition, read linearizably."""

    term: int
    assignments: tuple[Assignment, ...]
    docs: tuple[Doc, ...]


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Whose store it is, and whether it can be gone by."""

    fleet: str
    incarnation: int
    """Grows when it is adopted after it was restored from a backup (C10)."""
    restored: bool
    """It found itself older than what it has served: it takes no rows and docs until it is adopted."""


WriteAnswer: TypeAlias = tuple[Applied | Refused, ...] | StaleTerm | Unknown
ReadAnswer: TypeAlias = Mapping[Partition, PartitionState] | Unknown


class AssignmentStore(Protocol):
    """Linearizable compare-and-set; every call has a deadline after which its outcome is Unknown."""

    def write(
        self,
        partition: Partition,
        term: int,
        rows: Sequence[Row],
        docs: Sequence[Doc],
        done: Callable[[WriteAnswer], None],
    ) -> None:
        """Write rows and docs of one partition, each on its own condition, all under ``IF term <= mine``.

        A doc is written when the store holds ``version - 1`` of it (0: none). A first write with a higher term raises
        the partition's term. ``legal_successor`` is called on every row before anything is sent; answers stand in the
        order rows, then docs. A store that knows that it was restored writes nothing: Unknown, with the remedy.
        """
        ...

    def read(
        self,
        partitions: Sequence[Partition] | None,
        done: Callable[[ReadAnswer], None],
        *,
        shards: Collection[ShardId] | None = None,
    ) -> None:
        """Read partitions linearizably; None: all that exist.

        ``shards``, at least one: only their records in these partitions, and no docs.
        """
        ...

    def raise_term(self, term: int, done: Callable[[WriteAnswer], None]) -> None:
        """Take over the fleet partition: Applied once its term is ``term``, StaleTerm when it is that high already."""
        ...

    def adopt(self, term: int, adoption: Adoption, done: Callable[[WriteAnswer], None]) -> None:
        """Put records in place of those of a restored store, raise its incarnation and every partition's term (C10).

        All or nothing, and one answer: Applied; Refused when the store's incarnation is another one, an assignment does
        not rise above what is stored, or a doc is not newer; StaleTerm when any partition has seen a higher term.
        """
        ...

    def append_events(self, term: int, bodies: Sequence[bytes], done: Callable[[WriteAnswer], None]) -> None:
        """Add lines to the audit journal (serialized ``Event`` with number 0; the store numbers them)."""
        ...

    def read_events(
        self, before_number: int | None, limit: int, done: Callable[[Sequence[bytes] | Unknown], None]
    ) -> None:
        """Read the newest events before a number, newest first, numbers filled in."""
        ...

    def identity(self, done: Callable[[StoreIdentity | Unknown], None]) -> None:
        """Say whose store this is."""
        ...


class LeaderLock(Protocol):
    """Avoids duels between candidates; safety never depends on it (C7)."""

    def try_acquire(self, holder: ControlPlaneId, ttl_s: float, done: Callable[[ControlPlaneId | None], None]) -> None:
        """Take or renew the lock; answers with who holds it now, None when the lock service does not answer."""
        ...

    def release(self, holder: ControlPlaneId) -> None:
        """Give it back; harmless when not held."""
        ...


class Nodes(Protocol):
    """Calls to nodes; every call answers exactly once, in bounded time, never inside the call."""

    def prepare(
        self,
        node: NodeId,
        term: int,
        shards: Sequence[PrepareShard],
        done: Callable[[Sequence[PrepareResult] | Unreached], None],
    ) -> None:
        """Ask whether these copies could take over now; answers in the same order."""
        ...

    def transfer(
        self,
        node: NodeId,
        term: int,
        orders: Sequence[TransferOrder],
        done: Callable[[Sequence[TransferResult] | Unreached], None],
    ) -> None:
        """Give orders to primaries; answers in the same order."""
        ...


class Peers(Protocol):
    """Streams to the other control planes: ordered while up, at most once, never blocking."""

    def confer(self, peer: ControlPlaneId, beat: ConferView) -> None:
        """Send a heartbeat, or lose it; its answer comes back as ``ControlPlaneDriver.conferred``."""
        ...


class MapSink(Protocol):
    """Who serves the map on, and is told after each change of it."""

    def replaced(self) -> None:
        """The whole map is another one."""
        ...

    def stepped(self, delta: Delta) -> None:
        """The map has just taken this step."""
        ...


def partition_of(shard: ShardId, geography: GeographyId, first_shard: int) -> Partition:
    """Find the partition that a shard's record lies in."""
    return Partition(geography, (shard - first_shard) // SEGMENT)
