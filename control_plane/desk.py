"""What operators ask of a leader: cordons, drains, evacuations, single shards, the brake.

Every operation is a record in the store before anything moves, so it goes on under the next leader; a retry under the
same request id finds it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from control_plane import drain
from control_plane.books import Cordon, Halt, Homecoming, OperationBook, Resume
from control_plane.guard import Guard
from control_plane.movements import Ended, Wish
from control_plane.mover import Mover, running_drains
from control_plane.office import Office
from control_plane.overriding import Overrides, judged
from control_plane.ports import Applied
from control_plane.views import (
    Asked,
    DataCenterView,
    Move,
    MovePlan,
    OperationFailure,
    OperationView,
    Started,
    Statement,
    Step,
)
from control_plane.writer import Answer
from core.assignments import Assignment
from core.errors import ConflictError, NotFoundError, RefusedBySafetyError, TwinholdError, UnknownOutcomeError
from core.names import DcId, ShardId, dc_of
from core.orders import Order
from core.ports import Rng

DataCenterDone = Callable[[DataCenterView | TwinholdError], None]
StartedDone = Callable[[Started | TwinholdError], None]
OPERATIONS_KEPT = 200
SWITCHOVER_TRIES = 5


@dataclass(slots=True)
class Desk:
    """The part of a leader that operators talk to."""

    office: Office
    guard: Guard
    mover: Mover
    rng: Rng
    view: Callable[[DcId], DataCenterView]
    changed: Callable[[], None]
    """Told whenever an operation may look different."""
    _tries: dict[str, int] = field(default_factory=dict)
    _ending: set[str] = field(default_factory=set)
    _overrides: Overrides = field(init=False)

    def __post_init__(self) -> None:
        self._overrides = Overrides(self.office, self._end)

    def cordon(self, dc: DcId, *, etag: str, asked: Asked, done: DataCenterDone) -> None:
        """Place nothing new in a data center."""
        self._check(dc, etag)
        office = self.office
        if dc in office.shelf.cordoned():
            done(self.view(dc))
            return
        book = Cordon(dc, office.clock.wall_ms(), asked.actor, asked.reason)
        office.save(book, lambda answer: self._cordoned("dc.cordoned", dc, asked, answer, done))

    def uncordon(self, dc: DcId, *, etag: str, asked: Asked, done: DataCenterDone) -> None:
        """Allow placing there again; a drain that still runs ends, and the data center is given its share back."""
        self._check(dc, etag)
        office = self.office
        book = next((c for c in office.shelf.all(Cordon) if c.dc == dc), None)
        if book is None:
            done(self.view(dc))
            return
        for operation in running_drains(office):
            if operation.dc == dc:
                self._end(operation, detail="the data center was uncordoned")
        office.delete(book, lambda answer: self._cordoned("dc.uncordoned", dc, asked, answer, done))

    def drain(self, dc: DcId, *, validate_only: bool, accept_exposure: bool, asked: Asked, done: StartedDone) -> None:
        """Move everything away by plan.

        Raises:
            RefusedBySafetyError: the geography is not N-1 now, or would not be without the data center.
        """
        self._check(dc, "")
        if self._again(asked, done):
            return
        found = drain.preview(dc, self.office.situation())
        if validate_only:
            done(Started(found.plan, None))
            return
        if found.violations and not accept_exposure:
            raise RefusedBySafetyError(
                f"draining {dc} is not safe now: {found.violations[0]}", violations=found.violations, dc=dc
            )
        if any(operation.dc == dc for operation in running_drains(self.office)):
            raise ConflictError(f"{dc} is being drained already", dc=dc)
        book = self._book("drain", dc, None, len(found.plan.moves), asked)
        cordon = Cordon(dc, book.started_ms, asked.actor, asked.reason)
        if dc not in self.office.shelf.cordoned():
            self.office.save(cordon, lambda answer: None)
        for coming in self.office.shelf.all(Homecoming):
            if coming.dc == dc:
                self.office.delete(coming, lambda answer: None)
                self.office.movements.drop(f"homecomings/{dc}", self.office.clock.now())
        self._begin(book, found.plan, asked, done)

    def evacuate(self, dc: DcId, *, validate_only: bool, asked: Asked, done: StartedDone) -> None:
        """Declare a data center lost; the brake does not count it."""
        self._check(dc, "")
        if self._again(asked, done):
            return
        plan = self._evacuation_plan(dc)
        if validate_only:
            done(Started(plan, None))
            return
        office = self.office
        if dc in office.shelf.lost_dcs():
            raise ConflictError(f"{dc} is held lost already", dc=dc)
        evidence = (f"{asked.actor} declared it lost: {asked.reason}",)
        now = office.clock.now()
        record = self.guard.next_evacuation(dc, None, automatic=False, evidence=evidence, last_sign_at=now)

        def begun(started: Started | TwinholdError) -> None:
            if isinstance(started, Started):
                self.guard.evacuate(record)
            done(started)

        self._begin(self._book("evacuate", dc, None, len(plan.moves), asked), plan, asked, begun)

    def switchover(self, shard: ShardId, *, validate_only: bool, asked: Asked, done: StartedDone) -> None:
        """Change the roles of a shard's copies by plan."""
        if self._again(asked, done):
            return
        base = self._record(shard)
        if base.standby is None or not self.office.situation().both_live(base):
            raise RefusedBySafetyError(
                f"shard {shard} can't change roles: it has no second copy on a living node",
                violations=("two copies on living nodes",),
                shard=shard,
            )
        self._one(base, Step.SWITCHOVER, validate_only=validate_only, asked=asked, done=done)

    def promote(self, shard: ShardId, *, validate_only: bool, asked: Asked, done: StartedDone) -> None:
        """Promote a standby without a verdict on the primary."""
        if self._again(asked, done):
            return
        base = self._record(shard)
        if base.standby is None:
            raise RefusedBySafetyError(
                f"shard {shard} stands on one copy: there is nobody to promote",
                violations=("a standby in sync",),
                shard=shard,
            )
        self._one(base, Step.PROMOTE, validate_only=validate_only, asked=asked, done=done)

    def override(
        self, shard: ShardId, *, statement: Statement, validate_only: bool, asked: Asked, done: StartedDone
    ) -> None:
        """Let a stale copy take over from a primary that is gone for good, and give up what only that had (C6).

        Raises:
            RefusedBySafetyError: the primary may live, or nobody can take over.
            ConflictError: another copy would take over than was planned.
        """
        if self._again(asked, done):
            return
        base = self._record(shard)
        plan = judged(base, self.office)
        if statement.takes_over not in (None, plan.stale.node):
            raise ConflictError(
                f"{plan.stale.node} would take over now, not {statement.takes_over}: look at the plan again",
                shard=shard,
            )
        moves = MovePlan((Move(shard, Step.PROMOTE, base.primary.node, plan.stale.node),), 0.0, False)
        if validate_only:
            done(Started(moves, None, plan))
            return
        if any(o.kind == "override" and o.shard == shard and not o.ended_ms for o in self._operations()):
            raise ConflictError(f"shard {shard} is being overridden already", shard=shard)
        book = replace(
            self._book("override", None, shard, 1, asked),
            base_epoch=base.epoch,
            base_incarnation=base.incarnation,
            stated_by=statement.by,
            takes_over=plan.stale.id,
            evidence=plan.evidence,
        )
        self._overrides.begun(book)
        self._begin(
            book, moves, asked, lambda told: done(replace(told, override=plan) if isinstance(told, Started) else told)
        )

    def resume(self, asked: Asked, done: Callable[[Sequence[str] | TwinholdError], None]) -> None:
        """Close every halt of the brake."""
        office = self.office
        halts = office.shelf.all(Halt)
        told = [f"{halt.geography or 'the fleet'}: {'; '.join(halt.reasons)}" for halt in halts]
        book = Resume(office.clock.wall_ms(), asked.actor, asked.reason)

        def answered(answer: Answer) -> None:
            if not isinstance(answer, Applied):
                done(_unknown(answer))
                return
            for halt in halts:
                office.delete(halt, lambda _: office.again())
            reasons = (asked.reason, *told)
            office.audit("brake.resumed", "fleet", acted=True, reasons=reasons, actor=asked.actor)
            done(told)

        office.save(book, answered)

    def cancel(self, operation: str, asked: Asked, done: Callable[[OperationView | TwinholdError], None]) -> None:
        """End a drain where it stands; other operations are too short to stop."""
        book = self.office.shelf.operation(operation)
        if book is None:
            raise NotFoundError("operation", operation)
        if book.ended_ms or book.kind != "drain":
            done(operation_view(book, self.office))
            return
        ended = self._end(book, detail=f"cancelled by {asked.actor}")
        done(operation_view(ended, self.office))

    def look(self) -> None:
        """See how far the operations are."""
        for book in self._operations():
            if not book.ended_ms and book.id not in self._ending:
                self._progress(book)

    def over(self, ended: Ended) -> None:
        """Take note of an order that is over."""
        self.changed()

    def _progress(self, book: OperationBook) -> None:
        match book.kind:
            case "drain":
                self._drain_progress(book)
            case "evacuate":
                mission = next(
                    (
                        m
                        for m in self.guard.missions.values()
                        if m.evacuation is not None and m.evacuation.dc == book.dc
                    ),
                    None,
                )
                if mission is None or mission.rescue.finished:
                    self._end(book, detail="every shard that could be brought back is")
            case "switchover" | "promote":
                self._shard_progress(book)
            case "override":
                self._overrides.progress(book)

    def _drain_progress(self, book: OperationBook) -> None:
        assert book.dc is not None, "a drain without a data center"
        left = sum(self.office.catalog.counts(book.dc))
        if left == 0:
            self._end(book, detail=f"{book.dc} holds no copy")
        elif not self.office.movements.count(f"operations/{book.id}") and left == self._stuck(book.dc):
            self._end(book, detail=f"{left} standbys of {book.dc} have nowhere to go and stay")

    def _stuck(self, dc: DcId) -> int:
        return drain.copies_stuck(dc, self.office.situation())

    def _shard_progress(self, book: OperationBook) -> None:
        assert book.shard is not None, "an operation on a shard without one"
        cause, record = f"operations/{book.id}", self.office.catalog.get(book.shard)
        if record is None or record.shard in self.office.movements.open or cause in self.guard.missions:
            return
        if record.epoch > book.base_epoch:
            self._end(book, detail=f"{record.primary.node} is primary since epoch {record.epoch}")
            return
        self._tries[book.id] = self._tries.get(book.id, 0) + 1
        if self._tries[book.id] > 4 * SWITCHOVER_TRIES or record.standby is None:
            failure = OperationFailure("UNAVAILABLE", "its copies did not change roles in time: try again")
            self._end(book, failure=failure)
        elif book.kind == "promote":
            self.guard.promote_one(book.shard, cause, f"{book.actor} asked for it: {book.reason}")
        else:
            wish = Wish(book.shard, Order.SWITCHOVER, record.standby.node, cause, f"{book.actor} asked for it")
            self.mover.take(wish)

    def _one(self, base: Assignment, step: Step, *, validate_only: bool, asked: Asked, done: StartedDone) -> None:
        assert base.standby is not None, "one copy has no role to change"
        move = Move(base.shard, step, base.primary.node, base.standby.node)
        geography = self.office.topology.geography_of_shard(base.shard).id
        certificate = self.office.catalog.loads.certificate(geography, self.office.usable())
        plan = MovePlan((move,), certificate.worst_after_loss, certificate.survives_any_loss)
        if validate_only:
            done(Started(plan, None))
            return
        kind = "switchover" if step is Step.SWITCHOVER else "promote"
        book = replace(self._book(kind, None, base.shard, 1, asked), base_epoch=base.epoch)
        self._begin(book, plan, asked, done)

    def _begin(self, book: OperationBook, plan: MovePlan, asked: Asked, done: StartedDone) -> None:
        office = self.office

        def answered(answer: Answer) -> None:
            if not isinstance(answer, Applied):
                done(_unknown(answer))
                return
            reasons = (asked.reason or "no reason given",)
            cause = f"operations/{book.id}"
            office.audit("operation.started", book.subject, acted=True, reasons=reasons, cause=cause, actor=asked.actor)
            self.changed()
            office.again()
            done(Started(plan, operation_view(book, office)))

        office.save(book, answered)

    def _end(self, book: OperationBook, *, detail: str = "", failure: OperationFailure | None = None) -> OperationBook:
        office = self.office
        ended = replace(
            book,
            ended_ms=office.clock.wall_ms(),
            steps_done=book.steps if failure is None else 0,
            detail=detail,
            error_reason=failure.reason if failure is not None else "",
            error_message=failure.message if failure is not None else "",
        )
        self._ending.add(book.id)
        office.movements.drop(f"operations/{book.id}", office.clock.now())

        def answered(answer: Answer) -> None:
            self._ending.discard(book.id)
            if isinstance(answer, Applied):
                reasons = (detail or ended.error_message,)
                cause = f"operations/{book.id}"
                office.audit("operation.ended", book.subject, acted=failure is None, reasons=reasons, cause=cause)
                self.changed()

        office.save(ended, answered)
        self._trim()
        return ended

    def _trim(self) -> None:
        """Delete the oldest operations that are done."""
        done = [o for o in self.office.shelf.all(OperationBook) if o.ended_ms]
        for book in sorted(done, key=lambda o: o.ended_ms)[:-OPERATIONS_KEPT]:
            self.office.delete(book, lambda _: None)

    def _book(self, kind: str, dc: DcId | None, shard: ShardId | None, steps: int, asked: Asked) -> OperationBook:
        now_ms = self.office.clock.wall_ms()
        id_ = f"{kind}-{dc if dc is not None else shard}-{self.rng.getrandbits(32):08x}"
        return OperationBook(
            id=id_,
            kind=kind,
            dc=dc,
            shard=shard,
            steps=steps,
            started_ms=now_ms,
            actor=asked.actor,
            reason=asked.reason,
            request_id=asked.request_id,
        )

    def _again(self, asked: Asked, done: StartedDone) -> bool:
        """Answer a retry with the operation that the first attempt began."""
        for book in self.office.shelf.all(OperationBook):
            if asked.request_id and book.request_id == asked.request_id:
                done(Started(MovePlan((), 0.0, False), operation_view(book, self.office)))
                return True
        return False

    def _operations(self) -> list[OperationBook]:
        return self.office.shelf.all(OperationBook)

    def _check(self, dc: DcId, etag: str) -> None:
        self.office.topology.data_center(dc)
        if etag and etag != self.view(dc).etag:
            raise ConflictError(f"{dc} was changed since it was read: read it again", dc=dc)

    def _record(self, shard: ShardId) -> Assignment:
        record = self.office.catalog.get(shard)
        if record is None:
            raise NotFoundError("shard", shard, remedy="see `twinhold shard list`")
        return record

    def _cordoned(self, type_: str, dc: DcId, asked: Asked, answer: Answer, done: DataCenterDone) -> None:
        if not isinstance(answer, Applied):
            done(_unknown(answer))
            return
        reasons = (asked.reason or "no reason given",)
        self.office.audit(type_, f"dataCenters/{dc}", acted=True, reasons=reasons, actor=asked.actor)
        if type_ == "dc.uncordoned" and dc not in self.office.shelf.lost_dcs():
            self.guard.welcome(dc, f"{asked.actor} opened it again")
        self.office.again()
        done(self.view(dc))

    def _evacuation_plan(self, dc: DcId) -> MovePlan:
        office = self.office
        loads, moves = office.catalog.loads.copied(), []
        for record in sorted(office.catalog.led_in(dc), key=lambda a: a.shard):
            target = record.standby.node if record.standby is not None else None
            moves.append(Move(record.shard, Step.PROMOTE, record.primary.node, target))
            loads.remove(record)
            if target is not None:
                loads.load[target] += office.topology.weight(record.shard)
        usable = [other for other in office.usable() if other != dc]
        worst = max((loads.utilization(n) for n in loads.load if dc_of(n) in usable), default=0.0)
        return MovePlan(tuple(moves), worst, survives_any_loss=False)


def operation_view(book: OperationBook, office: Office) -> OperationView:
    """Say how far an operation is."""
    steps_done, detail = book.steps_done, book.detail
    if not book.ended_ms and book.kind == "drain" and book.dc is not None:
        primaries, standbys = office.catalog.counts(book.dc)
        steps_done = max(0, book.steps - 2 * primaries - standbys)
        under_way = office.movements.count(f"operations/{book.id}")
        detail = f"{primaries} primaries and {standbys} standbys left, {under_way} moves under way"
        if waiting := drain.roles_waiting(book.dc, office.situation()):
            detail += f", {waiting} primaries wait for the end of a hold-down"
    failure = OperationFailure(book.error_reason, book.error_message) if book.error_reason else None
    return OperationView(
        id=book.id,
        title=f"{book.kind} {book.subject}",
        steps_done=steps_done,
        steps=book.steps,
        done=bool(book.ended_ms),
        error=failure,
        started_at_ms=book.started_ms,
        ended_at_ms=book.ended_ms,
        detail=detail,
    )


def _unknown(answer: Answer) -> TwinholdError:
    if isinstance(answer, Applied):
        raise AssertionError("an applied write is known")
    return UnknownOutcomeError(
        "the store did not say whether this was recorded: read, then ask again under the same id"
    )
