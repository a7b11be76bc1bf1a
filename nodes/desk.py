"""The desk at which clients of one copy stand: they ask, wait, and are answered with what is committed only (I11)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from core.assignments import Assignment
from core.copies import Role
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
from core.names import NodeId, ShardId
from nodes.frames import Forward, Forwarded
from nodes.ledger import Fresh, Submitted, entry
from nodes.pair import Pair
from nodes.records import Record
from nodes.replay import Replay
from nodes.subscription import Subscription
from nodes.turn import Flushed
from nodes.views import Answered, Outcome, QueryAnswer, QueryOutcome
from nodes.waiting import Answer, Queued, Reader, Waiting
from nodes.world import World

QUEUE_MAX = 256
"""Requests that wait while a copy drains, or is about to serve."""
QUEUE_MAX_S = 2.0
READ_MAX_S = 2.0
"""How long a read waits for its commit and its leases."""
WRITERS_MAX = 8192
RETRY_AFTER_S = 0.1
STATEFUL = (AlreadyExistsError, NotFoundError, RefusedByAppError, RequestIdReusedError)
"""Refusals that tell something about the state, so they wait like a read."""
PARTS_AT_ONCE = 2
"""Parts of an answer drawn at arrival; the rest comes between other work."""
DISK = "disk"
Parts: TypeAlias = Iterator[tuple[str, bytes]]


class Desk:
    """One copy's clients; outlives rebuilds of the copy, which end what waited."""

    def __init__(
        self, world: World, shard: ShardId, *, pair: Pair, replay: Replay, flusher: Flushed, timed: Callable[[], None]
    ) -> None:
        """Args: ``flusher`` is flushed at the end of a turn that admitted something; ``timed``: a deadline waits."""
        self.shard = shard
        self.waiting = Waiting()
        self.writes_total = 0
        self._world = world
        self._flusher = flusher
        self._timed = timed
        self._subscriptions: list[Subscription] = []
        self._forwards: dict[int, Answer] = {}
        self._rate_per_s = 0
        self._writes_seen = (0, world.clock.now())
        self.serve(pair, replay)

    def serve(self, pair: Pair, replay: Replay) -> None:
        """Go on with a copy that was built anew."""
        self.pair, self.replay, self._state = pair, replay, pair.state
        self.waiting.writers.released_lsn = pair.state.floor.lsn

    def released(self) -> bool:
        """Answer everybody whose entry is committed; says whether anything new is."""
        p = self._state
        moved = p.commit_lsn > self.waiting.writers.released_lsn and (self.pair.answers or not p.owner)
        if moved:
            self.waiting.writers.release(p.commit_lsn)
            for subscription in self._subscriptions:
                subscription.moved()
        if self.waiting.readers:
            self.answer_readers()
        return moved

    def admit_queue(self) -> None:
        """Take in what waited until this copy serves."""
        if self.waiting.queue and self.serving:
            for queued in self.waiting.take_queue():
                self._decide(queued.submitted, queued.done)

    def close(self) -> None:
        """Answer those who waited for a role that is over."""
        unknown = UnknownOutcomeError(f"shard {self.shard} changed hands meanwhile: retry with the same request id")
        self.waiting.fail(writers=unknown, others=self.refusal())
        for subscription in self._subscriptions:
            subscription.end(self.refusal())
        self._subscriptions.clear()

    def stop(self) -> None:
        """Answer everybody: the node stops."""
        stopped = UnavailableError("this node stops", reason="STOPPED")
        unknown = UnknownOutcomeError("this node stops: retry with the same request id")
        self.waiting.fail(writers=unknown, others=stopped)

    def submit(self, submitted: Submitted, done: Answer) -> None:
        """Run a command; ``done`` gets what came of it."""
        if self.serving:
            self._decide(submitted, done)
        elif not self._may_serve_soon(submitted.epoch):
            done(self.refusal())
        elif len(self.waiting.queue) >= QUEUE_MAX:
            done(OverloadedError(f"shard {self.shard} changes hands, its queue is full", retry_after_s=RETRY_AFTER_S))
        else:
            self.waiting.queue.append(Queued(self._world.clock.now(), submitted, done))
            if len(self.waiting.queue) == 1:
                self._timed()

    def query(self, tenant: str, type_url: str, body: bytes, actor: str, done: Callable[[QueryOutcome], None]) -> None:
        """Read: computed from the state at arrival, given out when that is committed and every lease holds."""
        if not self.serving:
            done(self.refusal())
            return
        now = self._world.clock.now()
        outcome = self.read(tenant, type_url, body, actor, now)
        if outcome is not None:
            done(outcome)
            return
        lsn, deadline = self.replay.ledger.applied_lsn, now + READ_MAX_S
        try:
            parts = self.replay.ledger.ask(tenant, type_url, body, actor)
            first = list(_some(parts))
        except TwinholdError as error:
            self._read(Reader[QueryOutcome](lsn, deadline, error, done))
            return
        self._collect(Reader[QueryOutcome](lsn, deadline, QueryAnswer(self.shard, lsn, first), done), first, parts)

    def read(self, tenant: str, type_url: str, body: bytes, actor: str, now: float) -> QueryOutcome | None:
        """Answer a read that nothing is in the way of; None: its place, a lease or the answer itself takes time."""
        replay, p = self.replay, self._state
        lsn = replay.ledger.applied_lsn
        if not (replay.loaded and p.tip.lsn == lsn <= p.commit_lsn and self.pair.readable(now)):
            return None
        try:
            parts = replay.ledger.ask(tenant, type_url, body, actor)
            part, another = next(parts, None), next(parts, None)
        except TwinholdError as error:
            return error
        return None if part is None or another is not None else QueryAnswer(self.shard, lsn, (part,))

    def subscribe(self, tenant: str, after_lsn: int | None, wake: Callable[[], None]) -> Subscription:
        """Follow a tenant's committed entries; raises NotOwnerError."""
        if not self.pair.answers:
            raise self.refusal()
        start = self.commit_lsn if after_lsn is None else after_lsn
        found = Subscription(self, tenant=tenant, after_lsn=start, wake=wake, closed=self._unsubscribe)
        self._subscriptions.append(found)
        return found

    def expire(self, now: float) -> None:
        """Answer whoever waited for too long."""
        self.waiting.expire(now, self._patience_s(), self._too_late)

    def answer_readers(self) -> None:
        """Let go of reads whose place is committed, while every lease that counts holds."""
        readers = self.waiting.readers
        while readers and readers[0].lsn <= self._state.commit_lsn and self._readable():
            reader = readers.popleft()
            reader.answer()

    def hand_over(self, peer: NodeId) -> None:
        """Forward the waiting requests to the new primary; its answers come back here."""
        for queued in self.waiting.take_queue():
            ticket = self._world.rng.getrandbits(62)
            self._forwards[ticket] = queued.done
            s = queued.submitted
            message = Forward(self.shard, ticket, s.tenant, s.app, s.type_url, s.body, s.actor, s.request_id)
            self._world.turn.send(peer, message, bulk=False)
        self._world.clock.call_at(self._world.clock.now() + QUEUE_MAX_S, self._give_up_forwards)

    def take_forward(self, peer: NodeId, m: Forward) -> None:
        """Run a request that waited at the old primary; the answer goes back there."""

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, TwinholdError):
                answer = Forwarded(self.shard, m.ticket, outcome)
            else:
                answer = Forwarded(
                    self.shard, m.ticket, None, outcome.type_url, outcome.body, outcome.lsn, outcome.replayed
                )
            self._world.turn.send(peer, answer, bulk=False)

        self.submit(Submitted(m.tenant, m.app, m.body, m.type_url, m.actor, m.request_id), done)

    def take_forwarded(self, m: Forwarded) -> None:
        """Pass the new primary's answer on."""
        done = self._forwards.pop(m.ticket, None)
        if done is not None:
            done(m.error or Answered(self.shard, m.lsn, m.type_url, m.body, m.replayed))

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
    def serving(self) -> bool:
        """Say whether commands are taken now, and the state is up to date."""
        p, replay = self._state, self.replay
        return p.admits and replay.loaded and replay.ledger.applied_lsn >= p.tip.lsn

    def rate_per_s(self) -> int:
        """Count the writes per second, over a second at least."""
        (count, since), now = self._writes_seen, self._world.clock.now()
        if now >= since + 1:
            self._rate_per_s = round((self.writes_total - count) / (now - since))
            self._writes_seen = (self.writes_total, now)
        return self._rate_per_s

    def _decide(self, submitted: Submitted, done: Answer) -> None:
        """Judge a command against the state, uncommitted entries included; what comes of it waits for its commit."""
        world, ledger, writers = self._world, self.replay.ledger, self.waiting.writers
        if writers.count >= WRITERS_MAX:
            done(OverloadedError(f"shard {self.shard} has {WRITERS_MAX} writes in flight", retry_after_s=RETRY_AFTER_S))
            return
        seed, solo = world.rng.getrandbits(64), self._state.assignment.solo
        try:
            decision = ledger.decide(
                submitted, at_ms=world.clock.wall_ms(), seed=seed, strict_solo=solo, quota_bytes=world.quota_bytes
            )
        except STATEFUL as error:
            self._read(Reader[Outcome](ledger.applied_lsn, world.clock.now() + READ_MAX_S, error, done))
            return
        except TwinholdError as error:
            done(error)
            return
        if isinstance(decision, Fresh):
            body, _, type_url, answer = decision
            lsn = self.pair.admit(body)
            ledger.take(lsn, decision)
            self.writes_total += 1
            world.turn.flush_later(self._flusher)
            writers.add(lsn, Answered(self.shard, lsn, type_url, answer, replayed=False), done)
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
                reader.done(self.refusal())
            return False

        self._world.spawn.soon(step)

    def _read(self, reader: Reader[Outcome] | Reader[QueryOutcome]) -> None:
        self.waiting.readers.append(reader)
        self.answer_readers()
        if self.waiting.readers:
            self._timed()

    def _may_serve_soon(self, epoch: int) -> bool:
        """Say whether a command with an epoch that its sender has heard of may wait until this copy serves.

        A standby waits for its turn in two cases. The sender has heard of a later epoch: the map told it first. Or the
        primary's process is gone: the standby may be the next to serve, and whoever asks it has tried the primary. Sent
        away, they would ask both in turn until the copy has heard too, and be late by a retry.
        """
        p = self._state
        if p.owner or p.complaint or p.role is not Role.STANDBY:
            return p.owner and not p.complaint
        return epoch > p.fence.epoch or p.leases.refused(p.assignment.primary.node)

    def _patience_s(self) -> float:
        """Say how long a command waits here."""
        return QUEUE_MAX_S if self._state.owner else self._state.timers.lease_s / 2

    def _too_late(self, what: str) -> TwinholdError:
        return self._later(f"could not finish the {what} in time") if self._state.owner else self.refusal()

    def _readable(self) -> bool:
        return self.replay.loaded and self.pair.readable(self._world.clock.now())

    def _give_up_forwards(self) -> None:
        forwards, self._forwards = self._forwards, {}
        for done in forwards.values():
            done(UnknownOutcomeError(f"shard {self.shard} changed hands meanwhile: retry with the same request id"))

    def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _later(self, why: str) -> UnavailableError:
        return UnavailableError(f"shard {self.shard} {why}: retry", retry_after_s=RETRY_AFTER_S, shard=self.shard)

    def refusal(self) -> TwinholdError:
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
