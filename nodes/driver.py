"""Hosts the copies of one node: gives the machines their events, performs their actions through the ports.

Everything here runs on one thread, in callbacks; nothing awaits. ``tell`` receives what people and the rehearsal
look for in a node's log: an event name and facts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from core.assignments import Assignment
from core.names import NodeId, ShardId, TenantName
from core.ports import Clock, Rng, Spawn
from core.timers import Timers
from core.topology import Topology
from nodes.app_port import Apps
from nodes.control_port import Control
from nodes.frames import Frame
from nodes.ledger import Submitted
from nodes.ports import Journal, Links
from nodes.views import (
    CopyView,
    Observation,
    Outcome,
    PrepareResult,
    PrepareShard,
    QueryOutcome,
    Step,
    TransferOrder,
    TransferResult,
)

Tell: TypeAlias = Callable[[str, Mapping[str, object]], None]


class Subscription:
    """A tenant's committed entries, pulled at the reader's own pace: nothing is buffered for a slow one."""

    def take(self) -> Sequence[Step]:
        """Return the next steps, at most about 256 KiB of them; empty: nothing new, ``wake`` will be called."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget it."""
        raise NotImplementedError


class NodeDriver:
    """One node: its copies, its links, what its clients wait for.

    Hand ``message``, ``link_up`` and ``link_down`` to the adapter of ``Links`` as its ``Inbox``. Every ``done`` is
    called exactly once, possibly inside the call that was given it when the answer is known at once.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        node: NodeId,
        timers: Timers,
        clock: Clock,
        spawn: Spawn,
        rng: Rng,
        journal: Journal,
        links: Links[Frame],
        apps: Apps,
        control: Control,
        tell: Tell,
    ) -> None: ...

    def start(self) -> None:
        """Recover the copies from the journal and begin; call once, before anything else."""

    def stop(self) -> None:
        """Stop timers and answer whoever still waits; nothing relies on it being called."""

    def message(self, peer: NodeId, frame: Frame) -> None:
        """Take a frame from a peer, from either channel."""

    def link_up(self, peer: NodeId) -> None:
        """Note that the stream to a peer stands; what was sent before may be lost."""

    def link_down(self, peer: NodeId, refused: bool) -> None:
        """Note that it broke; ``refused``: it was reset, and connects were refused."""

    def partners(self) -> frozenset[NodeId]:
        """Name the nodes that this one must have a stream with now; asked again after every change."""
        raise NotImplementedError

    def jumped(self, step_s: float) -> None:
        """Note that the clock made a step between two loop turns: the process was stopped, or the loop blocked."""

    def map_changed(
        self, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId] | None = None
    ) -> None:
        """Take records from the map: all of a snapshot, or the changed ones of a delta; None: overrides as before."""

    def submit(self, submitted: Submitted, done: Callable[[Outcome], None]) -> None:
        """Run a command; ``done`` gets the answer once it is committed, or the error (never raises)."""

    def query(
        self, *, tenant: str, type_url: str, body: bytes, actor: str, done: Callable[[QueryOutcome], None]
    ) -> None:
        """Read; linearizable. A tenant of the form ``shards/N`` asks the shard itself (lists)."""

    def subscribe(self, tenant: str, after_lsn: int | None, wake: Callable[[], None]) -> Subscription:
        """Follow a tenant's committed entries; ``wake`` is called when ``take`` has something.

        Raises:
            NotOwnerError: another node serves the shard.
        """
        raise NotImplementedError

    def prepare(
        self, shards: Sequence[PrepareShard], term: int, done: Callable[[Sequence[PrepareResult]], None]
    ) -> None:
        """Say which copies could take over now; raises StaleEpochError for an older term than one seen."""

    def transfer(self, orders: Sequence[TransferOrder], term: int) -> Sequence[TransferResult]:
        """Take orders of the leader; raises StaleEpochError for an older term than one seen."""
        raise NotImplementedError

    def report(self, *, complete: bool) -> Sequence[CopyView]:
        """List the copies: all, or those that changed since the last call."""
        raise NotImplementedError

    def gone(self) -> Sequence[ShardId]:
        """List the shards whose copy is no longer held, since the last call."""
        raise NotImplementedError

    def observations(self) -> Sequence[Observation]:
        """Say what this node sees of its partners."""
        raise NotImplementedError

    def stats(self) -> Mapping[str, float]:
        """Counters and gauges, by metric name."""
        raise NotImplementedError
