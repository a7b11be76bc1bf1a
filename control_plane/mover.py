"""Gives primaries the orders that the planners wish for: repair first, then relief, drains, homecomings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from control_plane import drain, homecoming, protect
from control_plane.books import Homecoming, OperationBook
from control_plane.movements import Ended, Wish
from control_plane.office import Office
from control_plane.ports import Applied
from control_plane.situation import Situation
from control_plane.views import Unreached
from core.assignments import Assignment, Copy
from core.copies import CopyView
from core.names import DcId, NodeId, ShardId
from core.orders import TransferOrder, TransferResult

REPAIRS_MAX = 16
"""Second copies made at a time, in the whole fleet; each node's slots bound them further."""
REST_S = 1.0
"""How long after a rescue plans rest: whoever has just been promoted has a queue to serve."""
GIVE_UP_S = 600
"""How long after the hold-down a homecoming may take."""
LOOK_S = 0.25
"""How often the planners look again while something is to be moved."""


@dataclass(slots=True)
class Mover:
    """The part of a leader that moves copies by plan."""

    office: Office
    promote_one: Callable[[ShardId, str, str], None]
    ended: Callable[[Ended], None]
    """Told every order that is over."""
    rescuing: Callable[[float], bool]
    """Whether shards wait for a new primary: they come first, whatever is planned."""
    complaints: dict[tuple[NodeId, ShardId], CopyView] = field(default_factory=dict)
    _rests_until: float = 0.0
    _disks: dict[NodeId, str] = field(default_factory=dict)
    """On which disk each node stood when its records were last compared with that."""
    _bereft: set[NodeId] = field(default_factory=set)
    """Nodes that records may name as primary for what was on another disk."""

    def heard(self, node: NodeId, copies: Iterable[CopyView]) -> None:
        """Note which copies complain."""
        for copy in copies:
            if copy.complaint:
                self.complaints[node, copy.shard] = copy
            else:
                self.complaints.pop((node, copy.shard), None)

    def changed(self, records: Iterable[Assignment], now: float) -> None:
        """Note new records: the orders that asked for them are over."""
        for record in records:
            self._bereft.add(record.primary.node)
            ended = self.office.movements.changed(record, now)
            if ended is not None:
                self.ended(ended)

    def look(self, now: float) -> float:
        """Plan the next orders, give out what is due, and say when to look again."""
        office = self.office
        if office.frozen:
            return now + LOOK_S
        if self.rescuing(now):
            self._rests_until = now + REST_S
        self._promote_for_bereft()
        if not self._busy():
            return now + 4 * LOOK_S
        for node, cancel in office.movements.abandon(office.known().holds_lost, now):
            self._send(node, [cancel])
        situation = office.situation()
        self._relieve(situation)
        if now >= self._rests_until:
            self._plan(situation)
        self._give_out(now)
        return now + LOOK_S

    def _busy(self) -> bool:
        """Say whether anything is to be moved, or is being moved."""
        office = self.office
        moved = office.movements.open or office.catalog.solo_since_ms or office.shelf.all(Homecoming)
        return bool(moved or self.complaints or running_drains(office))

    def _promote_for_bereft(self) -> None:
        """Promote standbys of primaries that were on a disk which their node has no more."""
        office = self.office
        for presence in office.roster.nodes.values():
            if presence.disk_id and self._disks.get(presence.node) != presence.disk_id:
                self._disks[presence.node] = presence.disk_id
                self._bereft.add(presence.node)
        for node in sorted(self._bereft & self._disks.keys()):
            lost = list(protect.bereft(office.catalog.led_by(node), self._disks[node]))
            for one in lost:
                self.promote_one(one.base.shard, f"{protect.RELIEF}/{one.base.shard}", one.reason)
            if not lost:
                self._bereft.discard(node)

    def _plan(self, situation: Situation) -> None:
        office = self.office
        self._repair(situation)
        for operation in running_drains(office):
            self._take(drain.wishes(_drained(operation), f"operations/{operation.id}", situation), situation)
        drained = {office.catalog.geography_of(_drained(operation)) for operation in running_drains(office)}
        for book in office.shelf.all(Homecoming):
            if office.catalog.geography_of(book.dc) not in drained:
                self._bring_home(book, situation)

    def take(self, wish: Wish) -> bool:
        """Take one wish up; False: the shard or a node is busy."""
        return bool(self._take([wish], self.office.situation()))

    def _relieve(self, situation: Situation) -> None:
        for (node, shard), view in list(self.complaints.items()):
            assignment = situation.catalog.get(shard)
            if assignment is None:
                continue
            remedy = protect.relief(assignment, Copy(node, view.copy_id), view, situation)
            match remedy:
                case Wish():
                    self._take([remedy], situation)
                case protect.Relieve(base, reason):
                    self.promote_one(base.shard, f"relief/{base.shard}", reason)
                case None:
                    pass

    def _repair(self, situation: Situation) -> None:
        slots = REPAIRS_MAX - situation.movements.count(protect.CAUSE)
        unrepaired: list[protect.Unrepaired] = []
        for remedy in protect.repairs(situation):
            if slots <= 0:
                break
            match remedy:
                case Wish():
                    slots -= len(self._take([remedy], situation))
                case protect.Unrepaired():
                    unrepaired.append(remedy)
        for geography in situation.catalog.topology.geographies:
            count = sum(geography.holds(entry.shard) for entry in unrepaired)
            if count:
                reasons = (f"{count} shards stay on one copy: {unrepaired[0].reason}",)
                self.office.audit("exposure.unrepaired", f"geographies/{geography.id}", acted=False, reasons=reasons)

    def _bring_home(self, book: Homecoming, situation: Situation) -> None:
        if book.dc in situation.lost_dcs or book.dc in situation.cordoned:
            return
        cause = f"homecomings/{book.dc}"
        if book.dc not in situation.held_down and homecoming.home(book.dc, situation):
            if not situation.movements.count(cause):
                self._home(book, "its share is within 10 % of what it should be")
            return
        if situation.now_ms >= book.holddown_until_ms + GIVE_UP_S * 1000:
            self._home(book, "its share is as near to what it should be as capacity and partners allow")
            return
        self._take(homecoming.wishes(book.dc, cause, situation), situation)

    def _home(self, book: Homecoming, why: str) -> None:
        office = self.office
        subject, reasons = f"dataCenters/{book.dc}", (why,)

        def answered(answer: object) -> None:
            if isinstance(answer, Applied):
                office.audit("dc.home", subject, acted=True, reasons=reasons)
                office.again()

        office.delete(book, answered)

    def _take(self, wishes: Iterable[Wish], situation: Situation) -> list[Wish]:
        """Take up the wishes for which there are slots."""
        taken = []
        for wish in wishes:
            base = situation.catalog.get(wish.shard)
            if base is None or not situation.movements.start(wish, base, situation.now):
                continue
            taken.append(wish)
            target = f" to {wish.target}" if wish.target is not None else ""
            reasons = (f"{wish.order.value}{target} by {base.primary.node}", wish.reason)
            self.office.audit("move.started", f"shards/{wish.shard}", acted=True, reasons=reasons, cause=wish.cause)
        return taken

    def _give_out(self, now: float) -> None:
        movements = self.office.movements
        for cancel in movements.overdue(now):
            record = self.office.catalog.get(cancel.shard)
            if record is not None:
                self._send(record.primary.node, [cancel])
        for node, orders in movements.due(now).items():
            self._send(node, orders)

    def _send(self, node: NodeId, orders: Sequence[TransferOrder]) -> None:
        office = self.office

        def answered(results: Sequence[TransferResult] | Unreached) -> None:
            if office.over or isinstance(results, Unreached):
                return
            for result in results:
                if not result.accepted:
                    self._refused(result)

        office.nodes.transfer(node, office.term, orders, answered)

    def _refused(self, result: TransferResult) -> None:
        ended = self.office.movements.refused(result.shard, result.refusal, self.office.clock.now())
        if ended is None:
            return
        self.office.audit(
            "move.refused",
            f"shards/{result.shard}",
            acted=False,
            reasons=(result.refusal,),
            cause=ended.wish.cause,
        )
        self.ended(ended)


def running_drains(office: Office) -> list[OperationBook]:
    """List the drains that are not done."""
    return [o for o in office.shelf.all(OperationBook) if o.kind == "drain" and not o.ended_ms]


def _drained(operation: OperationBook) -> DcId:
    assert operation.dc is not None, "a drain without a data center"
    return operation.dc
