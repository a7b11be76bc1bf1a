"""Rebuilds a restored store's records from what copies report, when an operator asks for it (C10).

Until then the leader writes nothing. What it adopts goes to the store in one piece, or not at all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from control_plane.adoption import AdoptionPlan, Claim, Rebuilt, Unclear, rebuilt
from control_plane.books import AdoptionBook, Halt
from control_plane.office import Office
from control_plane.ports import (
    FLEET,
    Adoption,
    Applied,
    AssignmentStore,
    Doc,
    Partition,
    PartitionState,
    ReadAnswer,
    StaleTerm,
    StoreIdentity,
    Unknown,
    WriteAnswer,
)
from control_plane.views import Asked
from core.assignments import Assignment, Copy, Fence
from core.errors import ConflictError, RefusedBySafetyError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.names import NodeId, ShardId

PlanDone = Callable[[AdoptionPlan | TwinholdError], None]
SHARDS_PER_TURN = 128
"""Rebuilt at a time: some 5 ms."""
BRAKE = "the store was restored: which evacuations it has forgotten is not known"


@dataclass(slots=True)
class Restoration:
    """The part of a leader that knows what to do about a restored store."""

    office: Office
    store: AssignmentStore
    adopted: Callable[[int, Sequence[Assignment]], None]
    """Told the store's new incarnation and the records that are in force."""
    deposed: Callable[[int], None]
    seen: Mapping[ShardId, Fence]
    """What this leader has found in the store since it leads."""
    since: float
    """Since when nothing is written; before it is noticed, since when this leader leads."""
    _busy: bool = False

    def plan(self, done: PlanDone) -> None:
        """Work out what an adoption would do now."""

        def identified(answer: StoreIdentity | Unknown) -> None:
            if isinstance(answer, Unknown):
                done(_unread(answer))
            else:
                self.store.read(None, partial(read, answer.incarnation))

        def read(incarnation: int, answer: ReadAnswer) -> None:
            if isinstance(answer, Unknown):
                done(_unread(answer))
            else:
                self._judge(answer, lambda found: done(self._plan(incarnation, answer, found)))

        self.store.identity(identified)

    def adopt(self, asked: Asked, done: PlanDone) -> None:
        """Do it, unless something speaks against it; answers with what was done: nothing when there was nothing to do.

        Raises:
            ConflictError: it is being done already.
        """
        if self._busy:
            raise ConflictError("the store is being adopted already: see `twinhold store status`")
        self._busy = True

        def planned(plan: AdoptionPlan | TwinholdError) -> None:
            if isinstance(plan, TwinholdError):
                self._end(done, plan)
            elif self.office.over:
                self._end(done, UnavailableError("this control plane does not lead any more", retry_after_s=0.2))
            elif self._done_before(asked) or not (plan.rebuilt or plan.unclear):
                self._end(done, replace(plan, rebuilt=()))
            elif plan.obstacles:
                refusal = RefusedBySafetyError(
                    f"the store can't be adopted now: {plan.obstacles[0]}", violations=plan.obstacles
                )
                self._end(done, refusal)
            else:
                self._write(plan, asked, done)

        self.plan(planned)

    def _plan(
        self, incarnation: int, contents: Mapping[Partition, PartitionState], found: Sequence[Rebuilt | Unclear]
    ) -> AdoptionPlan:
        office, now = self.office, self.office.clock.now()
        stored, heard = _records(contents), self._heard()
        fleet = contents.get(FLEET, PartitionState(0, (), ()))
        plan = AdoptionPlan(
            incarnation=incarnation,
            next_incarnation=1 + max([incarnation, *self._incarnations(heard)]),
            rebuilt=tuple(one for one in found if isinstance(one, Rebuilt)),
            unclear=tuple(one for one in found if isinstance(one, Unclear)),
            docs=self._newer(fleet.docs) if office.frozen else (),
            silent=tuple(node.id for node in office.topology.nodes if node.id not in set(heard)),
            halts_brake=bool(office.frozen) and not self._led_before(stored, fleet),
        )
        return replace(plan, obstacles=tuple(self._obstacles(plan, now)))

    def _led_before(self, stored: Mapping[ShardId, Assignment], fleet: PartitionState) -> bool:
        """Say whether this leader has seen more in the store than that holds now: then it knows what is missing.

        Nobody else has written since it leads, so it has seen every evacuation.
        """
        if fleet.term < self.office.term or self._newer(fleet.docs):
            return True
        return any(shard not in stored or stored[shard].fence < fence for shard, fence in self.seen.items())

    def _judge(
        self, contents: Mapping[Partition, PartitionState], done: Callable[[Sequence[Rebuilt | Unclear]], None]
    ) -> None:
        """Rebuild shard by shard, some in each turn: a full fleet has more than a leader may stand still for."""
        stored, holders, clock = _records(contents), self._holders(), self.office.clock
        shards, found = self._in_question({*stored, *holders}), list[Rebuilt | Unclear]()

        def some() -> None:
            heard = frozenset(self._heard())
            for shard in shards[len(found) : len(found) + SHARDS_PER_TURN]:
                found.append(self._rebuilt(shard, stored.get(shard), holders.get(shard, ()), heard))
            if len(found) < len(shards):
                clock.call_at(clock.now(), some)
            else:
                done(found)

        some()

    def _in_question(self, shards: Iterable[ShardId]) -> list[ShardId]:
        """List the shards whose records are to be rebuilt: all, or those that were not the last time."""
        if self.office.frozen:
            return sorted({*shards, *(record.shard for record in self.office.catalog.all())})
        return sorted(self.office.shelf.frozen_shards())

    def _rebuilt(
        self, shard: ShardId, stored: Assignment | None, holders: Sequence[NodeId], heard: frozenset[NodeId]
    ) -> Rebuilt | Unclear:
        office = self.office
        views = [(node, office.roster.copy(node, shard)) for node in holders if node in heard]
        claims = [Claim(Copy(n, v.copy_id), v.fence, v.decided, v.learner) for n, v in views if v is not None]
        return rebuilt(shard, claims, stored=stored, known=office.catalog.get(shard), heard=heard)

    def _heard(self) -> list[NodeId]:
        now, roster = self.office.clock.now(), self.office.roster
        return [node.id for node in self.office.topology.nodes if roster.fresh(node.id, now)]

    def _holders(self) -> Mapping[ShardId, list[NodeId]]:
        """Tabulate which nodes report a copy of which shard."""
        holders: dict[ShardId, list[NodeId]] = {}
        for presence in self.office.roster.nodes.values():
            for shard in presence.copies:
                holders.setdefault(shard, []).append(presence.node)
        return holders

    def _incarnations(self, heard: Sequence[NodeId]) -> Iterable[int]:
        """List the store's incarnations under which maps were published, as far as anybody heard shows."""
        yield self.office.catalog.revision.store_incarnation
        for node in heard:
            yield self.office.roster.nodes[node].map.store_incarnation

    def _newer(self, docs: Sequence[Doc]) -> tuple[Doc, ...]:
        """List the docs that this leader has seen in a newer version than the store holds."""
        versions = {doc.key: doc.version for doc in docs}
        return tuple(doc for doc in self.office.shelf.docs() if doc.version > versions.get(doc.key, 0))

    def _obstacles(self, plan: AdoptionPlan, now: float) -> Iterable[str]:
        timers = self.office.timers
        left_s = self.since + 2 * timers.silence_s + timers.lease_s - now
        if left_s > 0:
            yield f"what was on its way when the store was restored may still arrive: wait {left_s:.1f} s"
        if plan.unclear and not plan.rebuilt:
            yield f"not one record can be rebuilt: shard {plan.unclear[0].shard}: {plan.unclear[0].reason}"

    def _write(self, plan: AdoptionPlan, asked: Asked, done: PlanDone) -> None:
        office = self.office
        book = AdoptionBook(
            at_ms=office.clock.wall_ms(),
            actor=asked.actor,
            reason=asked.reason,
            request_id=asked.request_id,
            store_incarnation=plan.next_incarnation,
            rebuilt=len(plan.rebuilt),
            frozen=tuple(one.shard for one in plan.unclear),
        )
        written = [office.shelf.next(book)]
        if plan.halts_brake:
            written.append(office.shelf.next(Halt(None, office.clock.wall_ms(), (BRAKE,))))
        keys = {doc.key for doc in written}
        docs = (*(doc for doc in plan.docs if doc.key not in keys), *written)
        records = tuple(one.new for one in plan.rebuilt)
        adoption = Adoption(plan.incarnation, plan.next_incarnation, records, docs)
        self.store.adopt(office.term, adoption, lambda answer: self._answered(answer, adoption, plan, asked, done))

    def _answered(
        self, answer: WriteAnswer, adoption: Adoption, plan: AdoptionPlan, asked: Asked, done: PlanDone
    ) -> None:
        if isinstance(answer, StaleTerm):
            self.deposed(answer.term)
            self._end(done, UnavailableError(f"term {answer.term} has begun: ask its leader", retry_after_s=0.2))
        elif isinstance(answer, Unknown) or self.office.over:
            # Whoever leads next reads everything anew, and so finds out; this leader's knowledge may be of the past.
            self.deposed(self.office.term + 1)
            cause = answer.cause if isinstance(answer, Unknown) else "this control plane does not lead any more"
            self._end(done, UnknownOutcomeError(f"{cause}: see `twinhold store status`, then ask again"))
        elif answer == (Applied(),):
            self._in_force(adoption, plan, asked)
            self._end(done, plan)
        else:
            self._end(done, ConflictError("the store is not what it was a moment ago: ask again"))

    def _in_force(self, adoption: Adoption, plan: AdoptionPlan, asked: Asked) -> None:
        office = self.office
        office.frozen = ""
        for doc in adoption.docs:
            office.shelf.seen(doc)
        self.adopted(adoption.next_incarnation, adoption.assignments)
        reasons = [asked.reason or "no reason given", f"{len(plan.rebuilt)} records were rebuilt from their copies"]
        reasons += [f"shard {one.shard} stays frozen: {one.reason}" for one in plan.unclear]
        if plan.halts_brake:
            reasons.append(BRAKE)
        office.audit("store.adopted", "store", acted=True, reasons=reasons, actor=asked.actor)

    def _done_before(self, asked: Asked) -> bool:
        books = self.office.shelf.all(AdoptionBook)
        return any(asked.request_id and book.request_id == asked.request_id for book in books)

    def _end(self, done: PlanDone, answer: AdoptionPlan | TwinholdError) -> None:
        self._busy = False
        done(answer)


def _records(contents: Mapping[Partition, PartitionState]) -> Mapping[ShardId, Assignment]:
    return {record.shard: record for state in contents.values() for record in state.assignments}


def _unread(answer: Unknown) -> UnavailableError:
    return UnavailableError(f"the store can't be read now: {answer.cause}", retry_after_s=0.5)
