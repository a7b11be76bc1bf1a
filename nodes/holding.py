"""One copy as its node holds it: the machine, the ledger, and the clients that wait for them.

I11: answers, reads, refusals and subscriptions leave only for what is committed. A copy that stops being in force
answers its writers "unknown", because their entries may or may not survive.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from core.assignments import Assignment, Fence
from core.errors import (
    AlreadyExistsError,
    DamagedError,
    NotFoundError,
    NotOwnerError,
    OverloadedError,
    RefusedByAppError,
    RequestIdReusedError,
    TwinholdError,
    UnavailableError,
    UnknownOutcomeError,
)
from core.machine import NEVER, Output
from core.names import NodeId
from core.ports import Timer
from nodes.deeds import Deeds
from nodes.frames import Forward, Forwarded, ShardMessage, SnapshotAck
from nodes.ledger import Fresh, Submitted, entry
from nodes.pair import Pair, ordinary
from nodes.pair_events import Action, Event, Flush, Heard, Ordered, SnapshotTaken
from nodes.ports import DiskError, Recovered
from nodes.records import Record, Tip
from nodes.replay import Replay
from nodes.shipping import Keeping
from nodes.subscription import Subscription
from nodes.views import Answered, CopyView, Outcome, QueryAnswer, QueryOutcome, Role
from nodes.waiting import Answer, Queued, Reader, Waiting
from nodes.world import World

QUEUE_MAX = 256
"""Requests that wait while a copy drains, or is about to serve."""
QUEUE_MAX_S = 2.0
READ_MAX_S = 2.0
"""How long a read waits for its commit and its leases."""
WRITERS_MAX = 8192
RETRY_AFTER_S = 0.1
DISK_RETRY_S = 1.0
"""After a refusal of the disk, before the copy is built anew."""
STATEFUL = (AlreadyExistsError, NotFoundError, RefusedByAppError, RequestIdReusedError)
"""Refusals that tell something about the state, so they wait like a read."""
PARTS_AT_ONCE = 2
"""Parts of an answer drawn at arrival; the rest comes between other work."""
DISK = "disk"
Parts: TypeAlias = Iterator[tuple[str, bytes]]


class Holding:
    """One copy; lives as long as its node holds the shard, through rebuilds."""

    def __init__(self, world: World, recovered: Recovered, *, changed: Callable[["Holding"], None]) -> None:
        """Args: ``changed`` is called when role, epoch or peers may have changed."""
        self.shard = recovered.shard
        self.waiting = Waiting()
        self.writes_total = 0
        self._rate_per_s = 0
        self._view: CopyView | None = None
        self._writes_seen = (0, world.clock.now())
        self._world = world
        self._changed = changed
        self._subscriptions: list[Subscription] = []
        self._forwards: dict[int, Answer] = {}
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._events: list[Event] = []
        self._running = False
        self._build(recovered)

    def _build(self, recovered: Recovered) -> None:
        """Make machine, state and hands from what the disk holds."""
        world = self._world
        self.pair = Pair(
            recovered,
            node=world.node,
            timers=world.timers,
            leases=world.links,
            rules=world.rules,
            serial=world.rng.getrandbits(48) << 12,
            now=world.clock.now(),
        )
        self._state = self.pair.state
        self._key: object = None
        self._changes = -1
        self.replay = Replay(world, self._state, moved=self._settle, broke=self.damaged)
        self._deeds = Deeds(world, self._state, self, self.replay)
        self._keeping = Keeping(world, self._state, self.replay, self._kept)
        self.waiting.writers.released_lsn = recovered.floor.lsn

    def start(self) -> None:
        """Begin the copy's life."""
        self.replay.reload()
        self._run(self.pair.start(self._world.clock.now()))

    def feed(self, event: Event) -> None:
        """Give the machine an event; what its actions cause at once comes after it, in order."""
        if not self._running:
            self._world.look()
        self._events.append(event)
        if not self._running:
            self._run(None)

    def heard(self, peer: NodeId, message: ShardMessage) -> None:
        """Take a peer's message."""
        match message:
            case Forward():
                self._take_forward(peer, message)
            case Forwarded():
                self._take_forwarded(message)
            case SnapshotAck():
                self._deeds.shipping.acked(peer, message)
                self.feed(Heard(peer, message))
            case _:
                self.feed(Heard(peer, message))

    def order(self, event: Ordered) -> str:
        """Take an order of the leader; returns why not, or nothing."""
        refusal, output = self.pair.order(event, self._world.clock.now())
        self._run(output)
        return refusal

    def flush(self) -> None:
        """Write and send what this turn admitted."""
        self.feed(Flush())

    def submit(self, submitted: Submitted, done: Answer) -> None:
        """Run a command; ``done`` gets what came of it."""
        if self._serving:
            self._decide(submitted, done)
        elif self._state.owner and not self._state.complaint:
            if len(self.waiting.queue) >= QUEUE_MAX:
                done(
                    OverloadedError(f"shard {self.shard} changes hands, its queue is full", retry_after_s=RETRY_AFTER_S)
                )
            else:
                self.waiting.queue.append(Queued(self._world.clock.now() + QUEUE_MAX_S, submitted, done))
        else:
            done(self._refusal())

    def query(self, tenant: str, type_url: str, body: bytes, actor: str, done: Callable[[QueryOutcome], None]) -> None:
        """Read: computed from the state at arrival, given out when that is committed and every lease holds."""
        if not self._serving:
            done(self._refusal())
            return
        lsn = self.replay.ledger.applied_lsn
        deadline = self._world.clock.now() + READ_MAX_S
        try:
            parts = self.replay.ledger.ask(tenant, type_url, body, actor)
            first = list(_some(parts))
        except TwinholdError as error:
            self._read(Reader[QueryOutcome](lsn, deadline, error, done))
            return
        self._collect(Reader[QueryOutcome](lsn, deadline, QueryAnswer(self.shard, lsn, first), done), first, parts)

    def subscribe(self, tenant: str, after_lsn: int | None, wake: Callable[[], None]) -> Subscription:
        """Follow a tenant's committed entries; raises NotOwnerError."""
        if not self.pair.answers:
            raise self._refusal()
        start = self.commit_lsn if after_lsn is None else after_lsn
        found = Subscription(self, tenant=tenant, after_lsn=start, wake=wake, closed=self._unsubscribe)
        self._subscriptions.append(found)
        return found

    def expire(self, now: float) -> None:
        """Answer whoever waited for too long."""
        self.waiting.expire(now, lambda what: self._later(f"could not finish the {what} in time"))

    def disk_failed(self, error: DiskError) -> None:
        """Stop at once; build the copy anew from the disk a little later."""
        if self._state.complaint:
            return
        self._state.complaint = f"{DISK} is not writable: {error.cause}"
        self._deeds.stop()
        self._settle()
        self._world.clock.call_at(self._world.clock.now() + DISK_RETRY_S, self._rebuild)

    def damaged(self, damage: TwinholdError) -> None:
        """Stop serving: the disk lied, or its journal can't be read by this code."""
        self._state.complaint = damage.message
        self._settle()

    def hand_over(self, peer: NodeId) -> None:
        """Forward the waiting requests to the new primary; its answers come back here."""
        for queued in self.waiting.take_queue():
            ticket = self._world.rng.getrandbits(62)
            self._forwards[ticket] = queued.done
            s = queued.submitted
            message = Forward(self.shard, ticket, s.tenant, s.app, s.type_url, s.body, s.actor, s.request_id)
            self._world.turn.send(peer, message, bulk=False)
        self._world.clock.call_at(self._world.clock.now() + QUEUE_MAX_S, self._give_up_forwards)

    def view(self) -> CopyView:
        """Describe the copy for a report."""
        rate = self._rate()
        if self._view is None or self._view.writes_per_s != rate:
            self._view = self.pair.view(serving=self._serving, writes_per_s=rate)
        return self._view

    def stop(self) -> None:
        """End the copy's life here."""
        if self._timer is not None:
            self._timer.cancel()
        self._deeds.stop()
        stopped = UnavailableError("this node stops", reason="STOPPED")
        unknown = UnknownOutcomeError("this node stops: retry with the same request id")
        self.waiting.fail(writers=unknown, others=stopped, queue=True)

    def partners(self) -> Iterable[NodeId]:
        """Name the nodes that this copy talks with."""
        p = self._state
        if p.owner:
            return p.peers
        return [p.assignment.primary.node] if p.meta.assignment is not None and p.role is not Role.OUT else ()

    def grantors(self) -> frozenset[NodeId]:
        """Name the nodes whose lease this copy wants."""
        return frozenset(copy.node for copy in self._state.grantors())

    def unready(self, base: Fence) -> str:
        """Say why this copy could not take over from the primary of ``base``; empty: it could."""
        p = self._state
        if p.role is not Role.STANDBY or p.fence != base:
            return f"is {p.role.value} at {p.fence.incarnation}.{p.fence.epoch}"
        return p.complaint or ("" if self.replay.warm else "is still replaying its journal")

    def probe_disk(self, done: Callable[[DiskError | None], None]) -> None:
        """Prove that the disk takes writes: the meta, as it is."""
        self._world.journal.save_meta(self.shard, self._state.meta, done)

    @property
    def record(self) -> Assignment | None:
        """The decided record that this copy acts on."""
        return self._state.meta.assignment

    @property
    def fence(self) -> Fence:
        """Its (incarnation, epoch)."""
        return self._state.fence

    @property
    def last_lsn(self) -> int:
        """The end of its journal."""
        return self._state.tip.lsn

    @property
    def to_set_aside(self) -> bool:
        """Say whether this copy is damaged and no record counts on it."""
        p = self._state
        return p.role is Role.OUT and bool(p.complaint) and not p.complaint.startswith(DISK) and not p.dirty

    @property
    def commit_lsn(self) -> int:
        """The last entry that may be shown."""
        return self._state.commit_lsn

    @property
    def floor_lsn(self) -> int:
        """Entries up to this one are no longer kept one by one."""
        return self._state.floor.lsn

    def entries(self, *, after_lsn: int, limit_bytes: int) -> Sequence[Record]:
        """Read entries in order, from memory if it holds them."""
        if after_lsn >= self._state.tip.lsn:
            return ()
        records = self._state.since(after_lsn)
        if records is not None:
            return records
        return self._world.journal.read(self.shard, after_lsn=after_lsn, limit_bytes=limit_bytes)

    def tenant_of(self, record: Record) -> str:
        """Say whose entry it is."""
        return entry(record.body).tenant

    @property
    def _serving(self) -> bool:
        return self.pair.admits and self.replay.warm

    def _run(self, output: Output[Action] | None) -> None:
        """Perform actions, and those of every event that they cause, in order."""
        self._running = True
        try:
            if output is not None:
                self._perform(output)
            quick = output is None
            while self._events:
                event = self._events.pop(0)
                quick = quick and ordinary(event)
                self._perform(self.pair.on(event, self._world.clock.now()))
        finally:
            self._running = False
        if quick and self._changes == self._state.changes:
            self._settle_write()
        else:
            self._settle()

    def _perform(self, output: Output[Action]) -> None:
        for action in output.actions:
            self._deeds.do(action)
        self._wake_by(output.wake_at)

    def _wake_by(self, at: float) -> None:
        """Set the timer; one that goes off too early does no harm, so it is only ever moved forward."""
        if at == NEVER or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._world.clock.call_at(at, self._wake), at

    def _wake(self) -> None:
        self._timer = None
        self._world.look()
        self._run(self.pair.wake(self._world.clock.now()))

    def _rebuild(self) -> None:
        """Start the copy's life over from the disk, its primary's boot number raised."""
        recovered = self._world.journal.recover_one(self.shard)
        if recovered is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._events.clear()
        self._build(recovered)
        self.start()

    def _kept(self, tip: Tip) -> None:
        self.feed(SnapshotTaken(tip))

    def _settle(self) -> None:
        """Do what the new state allows: apply, answer, admit, tell."""
        p = self._state
        self._changes = p.changes
        key = (p.role, p.restarted, p.meta_version, p.complaint, p.thawed, p.ahead, len(p.peers))
        if key != self._key:
            self._key = key
            self._role_changed()
        self._settle_write()
        if self.waiting.queue and self._serving:
            for queued in self.waiting.take_queue():
                self._decide(queued.submitted, queued.done)

    def _settle_write(self) -> None:
        """Apply and answer what an ordinary write has moved."""
        p, self._view = self._state, None
        self.replay.catch_up()
        if p.commit_lsn > self.waiting.writers.released_lsn and (self.pair.answers or not p.owner):
            self.waiting.writers.release(p.commit_lsn)
            self._tell_subscribers()
            self._keeping.consider()
        if self.waiting.readers:
            self.answer_readers()

    def answer_readers(self) -> None:
        """Let go of reads whose place is committed, while every lease that counts holds."""
        readers = self.waiting.readers
        while readers and readers[0].lsn <= self._state.commit_lsn and self._readable():
            reader = readers.popleft()
            reader.answer()

    def _readable(self) -> bool:
        return self.replay.loaded and self.pair.readable(self._world.clock.now())

    def _role_changed(self) -> None:
        """Answer those who waited for a role that is over; tell the node."""
        p = self._state
        if not p.owner or p.complaint:
            unknown = UnknownOutcomeError(f"shard {self.shard} changed hands meanwhile: retry with the same request id")
            self.waiting.fail(writers=unknown, others=self._refusal(), queue=not p.handing_over)
            for subscription in self._subscriptions:
                subscription.end(self._refusal())
            self._subscriptions.clear()
        self._changed(self)

    def _decide(self, submitted: Submitted, done: Answer) -> None:
        """Judge a command against the state, uncommitted entries included; what comes of it waits for its commit."""
        world, p = self._world, self._state
        if self.waiting.writers.count >= WRITERS_MAX:
            done(OverloadedError(f"shard {self.shard} has {WRITERS_MAX} writes in flight", retry_after_s=RETRY_AFTER_S))
            return
        seed, solo = world.rng.getrandbits(64), p.assignment.solo
        try:
            decision = self.replay.ledger.decide(submitted, at_ms=world.clock.wall_ms(), seed=seed, strict_solo=solo)
        except STATEFUL as error:
            deadline = world.clock.now() + READ_MAX_S
            self._read(Reader[Outcome](self.replay.ledger.applied_lsn, deadline, error, done))
            return
        except TwinholdError as error:
            done(error)
            return
        if isinstance(decision, Fresh):
            lsn = self.pair.admit(decision.entry)
            self.replay.apply(lsn, decision.entry)
            self.writes_total += 1
            self._world.turn.flush_later(self)
            answer = Answered(self.shard, lsn, decision.type_url, decision.answer, replayed=False)
            self.waiting.writers.add(lsn, answer, done)
        else:
            self._replayed(Answered(self.shard, decision.lsn, decision.type_url, decision.answer, replayed=True), done)

    def _replayed(self, answer: Answered, done: Answer) -> None:
        """Answer a retry, once the entry that it repeats is committed."""
        if answer.lsn <= self._state.commit_lsn:
            done(answer)
        else:
            self.waiting.writers.add(answer.lsn, answer, done)

    def _collect(self, reader: Reader[QueryOutcome], found: list[tuple[str, bytes]], parts: Parts) -> None:
        """Draw the rest of a long answer between other work; it shows the state as it was at arrival."""
        if len(found) < PARTS_AT_ONCE:
            self._read(reader)
            return

        def step() -> bool:
            part = next(parts, None)
            if part is not None:
                found.append(part)
                return True
            if self.pair.answers:
                self._read(reader)
            else:
                reader.done(self._refusal())
            return False

        self._world.spawn.soon(step)

    def _read(self, reader: Reader[Outcome] | Reader[QueryOutcome]) -> None:
        self.waiting.readers.append(reader)
        self.answer_readers()
        self._changed(self)

    def _rate(self) -> int:
        """Count the writes per second, over a second at least."""
        (count, since), now = self._writes_seen, self._world.clock.now()
        if now >= since + 1:
            self._rate_per_s = round((self.writes_total - count) / (now - since))
            self._writes_seen = (self.writes_total, now)
        return self._rate_per_s

    def _take_forward(self, peer: NodeId, m: Forward) -> None:
        def done(outcome: Outcome) -> None:
            if isinstance(outcome, TwinholdError):
                answer = Forwarded(self.shard, m.ticket, outcome)
            else:
                answer = Forwarded(
                    self.shard, m.ticket, None, outcome.type_url, outcome.body, outcome.lsn, outcome.replayed
                )
            self._world.turn.send(peer, answer, bulk=False)

        self.submit(Submitted(m.tenant, m.app, m.body, m.type_url, m.actor, m.request_id), done)

    def _take_forwarded(self, m: Forwarded) -> None:
        done = self._forwards.pop(m.ticket, None)
        if done is not None:
            done(m.error or Answered(self.shard, m.lsn, m.type_url, m.body, m.replayed))

    def _give_up_forwards(self) -> None:
        forwards, self._forwards = self._forwards, {}
        for done in forwards.values():
            done(UnknownOutcomeError(f"shard {self.shard} changed hands meanwhile: retry with the same request id"))

    def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _tell_subscribers(self) -> None:
        for subscription in self._subscriptions:
            subscription.moved()

    def _later(self, why: str) -> UnavailableError:
        return UnavailableError(f"shard {self.shard} {why}: retry", retry_after_s=RETRY_AFTER_S, shard=self.shard)

    def _refusal(self) -> TwinholdError:
        """Say why nothing is served here, and where to go."""
        p = self._state
        if p.complaint and p.owner:
            if p.complaint.startswith(DISK):
                return self._later(p.complaint)
            return DamagedError(shard=self.shard, lsn=p.tip.lsn, cause=p.complaint)
        if p.owner or p.meta.assignment is None:
            return self._later("is not served here at the moment")
        return not_owner(p.assignment)


def not_owner(assignment: Assignment) -> NotOwnerError:
    """Point to the copy that serves."""
    return NotOwnerError(
        f"shard {assignment.shard} is served by {assignment.primary.node}",
        shard=assignment.shard,
        owner=assignment.primary.node,
        incarnation=assignment.incarnation,
        epoch=assignment.epoch,
    )


def _some(parts: Parts) -> Parts:
    return islice(parts, PARTS_AT_ONCE)
