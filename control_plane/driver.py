"""Hosts one control plane: gives the machines their events, performs their actions through the ports.

Everything here runs on one thread, in callbacks; nothing awaits. Errors that a caller can act on are raised at once by
what answers at once, and given to ``done`` by what answers later.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from control_plane.ports import AssignmentStore, LeaderLock, MapSink, Nodes, Peers, Unknown
from control_plane.views import (
    Asked,
    ConferView,
    DataCenterView,
    FleetStatus,
    LeaderView,
    OperationView,
    Proposal,
    ProposalAnswer,
    RegisterView,
    ReportView,
    ShardView,
    Started,
)
from core.assignments import Assignment
from core.errors import TwinholdError
from core.fleet_map import Delta, FleetMap, Revision
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, ShardId, TenantName
from core.ports import Clock, Rng
from core.timers import Timers
from core.topology import Topology

Tell: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Where an event name and facts go: the process's log."""


class ControlPlaneDriver:
    """One control plane, leading or not.

    What only the leader may answer raises NotLeaderError elsewhere, with ``leader`` and ``leader_endpoint`` as facts
    when they are known. Every ``done`` is called exactly once.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        control_plane: ControlPlaneId,
        timers: Timers,
        clock: Clock,
        rng: Rng,
        store: AssignmentStore,
        lock: LeaderLock,
        nodes: Nodes,
        peers: Peers,
        tell: Tell,
    ) -> None:
        self.fleet_map = FleetMap(topology)
        """The map as this control plane knows it; serve it on, never change it."""

    def start(self) -> None:
        """Begin; call once, before anything else."""

    def stop(self) -> None:
        """Stop timers; nothing relies on it being called."""

    def jumped(self, step_s: float) -> None:
        """Note that the clock made a step between two loop turns: the process was stopped, or the loop blocked."""

    # Other control planes.

    def confer(self, beat: ConferView) -> ConferView:
        """Take another control plane's heartbeat, and answer it at once."""
        raise NotImplementedError

    def conferred(self, answer: ConferView) -> None:
        """Take the answer to a heartbeat that went out through ``Peers``."""

    def peer_down(self, peer: ControlPlaneId, refused: bool) -> None:
        """Note that the stream to another control plane broke; ``refused``: reset, and connects were refused."""

    # Nodes.

    def registered(self, view: RegisterView) -> LeaderView:
        """Take a node's registration."""
        raise NotImplementedError

    def reported(self, view: ReportView) -> LeaderView:
        """Take a node's report."""
        raise NotImplementedError

    def report_broken(self, node: NodeId) -> None:
        """Note that a node's report stream broke."""

    def propose(
        self, node: NodeId, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]
    ) -> None:
        """Write changes that a primary asks for; answers in the same order.

        Raises:
            NotLeaderError: another control plane leads; certainly not done.
            UnavailableError: nothing is written now; certainly not done.
        """

    def record(self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | Unknown], None]) -> None:
        """Read records linearizably from the store; any control plane can."""

    # The map.

    def follow_map(self, sink: MapSink) -> None:
        """Tell a sink each change of ``fleet_map`` from now on."""

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        """Take a snapshot of the leader's map; raises MalformedError for a bad one, and stays on the last good one."""

    def map_stepped(self, delta: Delta) -> None:
        """Take a step of the leader's map; raises PositionGoneError when a snapshot is needed, or MalformedError."""

    def map_age_ms(self) -> int:
        """Say how long ago the leader was heard; 0 at the leader."""
        raise NotImplementedError

    # What people ask; leader only, except status.

    def leader(self) -> LeaderView:
        """Say who leads."""
        raise NotImplementedError

    def status(self) -> FleetStatus:
        """Say how the fleet is, worst first; any control plane answers for itself."""
        raise NotImplementedError

    def data_centers(self) -> Sequence[DataCenterView]:
        """List the data centers in the topology's order."""
        raise NotImplementedError

    def data_center(self, dc: DcId) -> DataCenterView:
        """Look one up; raises NotFoundError."""
        raise NotImplementedError

    def shard(self, shard: ShardId) -> ShardView:
        """Look one up; raises NotFoundError."""
        raise NotImplementedError

    def shards(self, *, geography: GeographyId | None, dc: DcId | None, exposed_only: bool) -> Sequence[ShardView]:
        """List shards by number; raises NotFoundError for an unknown geography or data center."""
        raise NotImplementedError

    def operations(self) -> Sequence[OperationView]:
        """List operations, newest first."""
        raise NotImplementedError

    def operation(self, operation: str) -> OperationView:
        """Look one up by the part after ``operations/``; raises NotFoundError."""
        raise NotImplementedError

    def follow_operations(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` whenever an operation may have changed; the answer ends that."""
        raise NotImplementedError

    def follow_events(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` whenever events were added to the store's journal; the answer ends that."""
        raise NotImplementedError

    def cordon(
        self, dc: DcId, *, etag: str, asked: Asked, done: Callable[[DataCenterView | TwinholdError], None]
    ) -> None:
        """Place nothing new in a data center; ``etag`` as read, or empty."""

    def uncordon(
        self, dc: DcId, *, etag: str, asked: Asked, done: Callable[[DataCenterView | TwinholdError], None]
    ) -> None:
        """Allow placing there again; ends a drain too."""

    def drain(
        self,
        dc: DcId,
        *,
        validate_only: bool,
        accept_exposure: bool,
        asked: Asked,
        done: Callable[[Started | TwinholdError], None],
    ) -> None:
        """Move everything away by plan."""

    def evacuate(
        self, dc: DcId, *, validate_only: bool, asked: Asked, done: Callable[[Started | TwinholdError], None]
    ) -> None:
        """Declare a data center lost, and promote every standby of its primaries."""

    def switchover(
        self, shard: ShardId, *, validate_only: bool, asked: Asked, done: Callable[[Started | TwinholdError], None]
    ) -> None:
        """Change the roles of a shard's copies by plan."""

    def promote(
        self, shard: ShardId, *, validate_only: bool, asked: Asked, done: Callable[[Started | TwinholdError], None]
    ) -> None:
        """Promote a standby although no verdict on the primary was reached."""

    def resume(self, asked: Asked, done: Callable[[Sequence[str] | TwinholdError], None]) -> None:
        """Close a halt of the brake; answers with what was halted, for people."""

    def cancel_operation(
        self, operation: str, asked: Asked, done: Callable[[OperationView | TwinholdError], None]
    ) -> None:
        """Ask an operation to stop at the next safe point."""
