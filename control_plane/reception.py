"""What people ask of a control plane, and the orders that they give: only a leader answers, except for the status."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from control_plane.adoption import AdoptionPlan, StoreView
from control_plane.books import OperationBook, Shelf
from control_plane.catalog import Catalog
from control_plane.desk import Desk, operation_view
from control_plane.leader import Leader
from control_plane.movements import Movements
from control_plane.office import Office
from control_plane.roster import Roster
from control_plane.status import Facts, data_center_view, fleet_status, shard_view
from control_plane.views import (
    Asked,
    DataCenterView,
    FleetStatus,
    LeaderView,
    OperationView,
    ShardView,
    Started,
    Statement,
)
from core.errors import NotFoundError, TwinholdError, UnavailableError
from core.fleet_map import FleetMap
from core.names import ControlPlaneId, DcId, GeographyId, ShardId, dc_of
from core.ports import Clock
from core.timers import Timers


class Seat(Protocol):
    """The control plane behind it."""

    fleet_map: FleetMap

    def leader(self) -> LeaderView:
        """Say who leads."""
        ...

    def leading(self) -> Leader:
        """Give the leader that this control plane is; raises NotLeaderError."""
        ...

    def office(self) -> Office | None:
        """Give the leader's office; None: this control plane does not lead, or has not read its records yet."""
        ...

    def living(self) -> int:
        """Count the control planes heard lately, this one included."""
        ...


class Reception:
    """Where people stand.

    What only the leader may answer raises NotLeaderError elsewhere, with ``leader`` and ``leader_endpoint`` as facts
    when they are known. Every ``done`` is called exactly once, possibly inside the call that was given it.

    Args:
        seat: the control plane.
        me: its name.
        catalog: the records as it knows them.
        roster: what the nodes told it.
        timers: when a node counts as slow.
        clock: its time.
    """

    def __init__(
        self, seat: Seat, me: ControlPlaneId, catalog: Catalog, roster: Roster, timers: Timers, clock: Clock
    ) -> None:
        self._seat = seat
        self._me = me
        self._catalog = catalog
        self._roster = roster
        self._timers = timers
        self._clock = clock
        self._event_wakes: dict[int, Callable[[], None]] = {}
        self._operation_wakes: dict[int, Callable[[], None]] = {}

    def events_added(self) -> None:
        """Wake whoever follows the audit journal."""
        _wake_all(self._event_wakes)

    def operations_changed(self) -> None:
        """Wake whoever follows operations."""
        _wake_all(self._operation_wakes)

    def status(self) -> FleetStatus:
        """Say how the fleet is, worst first; any control plane answers for itself."""
        return fleet_status(self._facts())

    def data_centers(self) -> Sequence[DataCenterView]:
        """List the data centers in the topology's order."""
        counts, facts = self._open().catalog.counts, self._facts()
        return [data_center_view(dc.id, facts, counts(dc.id)) for dc in self._seat.fleet_map.topology.data_centers]

    def data_center(self, dc: DcId) -> DataCenterView:
        """Look one up; raises NotFoundError."""
        self._seat.fleet_map.topology.data_center(dc)
        return data_center_view(dc, self._facts(), self._open().catalog.counts(dc))

    def shard(self, shard: ShardId) -> ShardView:
        """Look one up; raises NotFoundError."""
        self._open()
        return shard_view(self._seat.fleet_map.shard(shard), self._facts())

    def shards(self, *, geography: GeographyId | None, dc: DcId | None, exposed_only: bool) -> Sequence[ShardView]:
        """List shards by number; raises NotFoundError for an unknown geography or data center."""
        self._open()
        topology = self._seat.fleet_map.topology
        held = topology.geography(geography) if geography is not None else None
        if dc is not None:
            topology.data_center(dc)
        facts = self._facts()
        return [
            shard_view(record, facts)
            for shard, record in sorted(self._seat.fleet_map.shards.items())
            if (held is None or held.holds(shard))
            and (dc is None or any(dc_of(copy.node) == dc for copy in record.in_sync))
            and (record.solo or not exposed_only)
        ]

    def operations(self) -> Sequence[OperationView]:
        """List operations, newest first."""
        office = self._open()
        books = sorted(office.shelf.all(OperationBook), key=lambda book: book.started_ms, reverse=True)
        return [operation_view(book, office) for book in books]

    def operation(self, operation: str) -> OperationView:
        """Look one up by the part after ``operations/``; raises NotFoundError."""
        office = self._open()
        book = office.shelf.operation(operation)
        if book is None:
            raise NotFoundError("operation", operation)
        return operation_view(book, office)

    def follow_operations(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` whenever an operation may have changed; the answer ends that."""
        return _followed(self._operation_wakes, wake)

    def follow_events(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` whenever events were added to the store's journal; the answer ends that."""
        return _followed(self._event_wakes, wake)

    def cordon(
        self, dc: DcId, *, etag: str, asked: Asked, done: Callable[[DataCenterView | TwinholdError], None]
    ) -> None:
        """Place nothing new in a data center; ``etag`` as read, or empty."""
        self._desk().cordon(dc, etag=etag, asked=asked, done=done)

    def uncordon(
        self, dc: DcId, *, etag: str, asked: Asked, done: Callable[[DataCenterView | TwinholdError], None]
    ) -> None:
        """Allow placing there again; ends a drain too."""
        self._desk().uncordon(dc, etag=etag, asked=asked, done=done)

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
        self._desk().drain(dc, validate_only=validate_only, accept_exposure=accept_exposure, asked=asked, done=done)

    def evacuate(
        self, dc: DcId, *, validate_only: bool, asked: Asked, done: Callable[[Started | TwinholdError], None]
    ) -> None:
        """Declare a data center lost, and promote every standby of its primaries."""
        self._desk().evacuate(dc, validate_only=validate_only, asked=asked, done=done)

    def switchover(
        self, shard: ShardId, *, validate_only: bool, asked: Asked, done: Callable[[Started | TwinholdError], None]
    ) -> None:
        """Change the roles of a shard's copies by plan."""
        self._desk().switchover(shard, validate_only=validate_only, asked=asked, done=done)

    def promote(
        self, shard: ShardId, *, validate_only: bool, asked: Asked, done: Callable[[Started | TwinholdError], None]
    ) -> None:
        """Promote a standby although no verdict on the primary was reached."""
        self._desk().promote(shard, validate_only=validate_only, asked=asked, done=done)

    def override(
        self,
        shard: ShardId,
        *,
        statement: Statement,
        validate_only: bool,
        asked: Asked,
        done: Callable[[Started | TwinholdError], None],
    ) -> None:
        """Let a stale copy take over from a primary that is gone for good, and give up what only that had."""
        self._desk().override(shard, statement=statement, validate_only=validate_only, asked=asked, done=done)

    def store(self, done: Callable[[StoreView | TwinholdError], None]) -> None:
        """Say whether the store was restored, and what adopting it would do."""
        leader, office = self._seat.leading(), self._open()

        def planned(plan: AdoptionPlan | TwinholdError) -> None:
            if isinstance(plan, TwinholdError):
                done(plan)
            else:
                done(StoreView(office.topology.fleet, office.term, office.frozen, plan))

        leader.restoration.plan(planned)

    def adopt_store(self, asked: Asked, done: Callable[[AdoptionPlan | TwinholdError], None]) -> None:
        """Rebuild the records of a restored store from what copies report; answers with what was done."""
        self._open()
        self._seat.leading().restoration.adopt(asked, done)

    def resume(self, asked: Asked, done: Callable[[Sequence[str] | TwinholdError], None]) -> None:
        """Close a halt of the brake; answers with what was halted, for people."""
        self._desk().resume(asked, done)

    def cancel_operation(
        self, operation: str, asked: Asked, done: Callable[[OperationView | TwinholdError], None]
    ) -> None:
        """Ask an operation to stop at the next safe point."""
        self._desk().cancel(operation, asked, done)

    def _open(self) -> Office:
        office = self._seat.leading().office
        if office is None:
            raise UnavailableError("the new leader is still reading its records: ask again", retry_after_s=0.2)
        return office

    def _desk(self) -> Desk:
        leader = self._seat.leading()
        leader.must_write()
        return leader.desk

    def _facts(self) -> Facts:
        now = self._clock.now()
        office = self._seat.office()
        return Facts(
            me=self._me,
            fleet_map=self._seat.fleet_map,
            roster=self._roster,
            leader=self._seat.leader(),
            control_planes_live=self._seat.living(),
            shelf=office.shelf if office is not None else Shelf(),
            movements=office.movements if office is not None else Movements(),
            loads=self._catalog.loads,
            solo_since_ms=office.catalog.solo_since_ms if office is not None else {},
            frozen=office.frozen if office is not None else "",
            suspect_dcs=frozenset(dc_of(target) for target in self._roster.doubted),
            lag_max_ms=self._timers.jump_s * 1000,
            holddown_s=self._timers.holddown_s,
            now=now,
            now_ms=self._clock.wall_ms(),
        )


def _followed(wakes: dict[int, Callable[[], None]], wake: Callable[[], None]) -> Callable[[], None]:
    key = max(wakes, default=0) + 1
    wakes[key] = wake

    def end() -> None:
        wakes.pop(key, None)

    return end


def _wake_all(wakes: Mapping[int, Callable[[], None]]) -> None:
    for wake in list(wakes.values()):
        wake()
