"""The machine of one shard copy: PROTOCOL.md sections 1 to 7, without the world.

``on`` and ``wake`` take what happened and return what to do; ``admit`` takes an entry that the ledger decided. What
may be shown is read off the machine: ``commit_lsn``, ``admits``, ``readable``, ``grants``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from core.assignments import Copy, Fence
from core.copies import NOTHING_QUARANTINED, CopyView, Quarantined, Role
from core.machine import NEVER, Output
from core.names import NodeId
from core.rhythm import Rhythm
from core.timers import Timers
from nodes import pair_change, pair_commit, pair_follow, pair_join
from nodes.frames import (
    Ack,
    Append,
    Decided,
    Hello,
    Invite,
    SnapshotAck,
    SnapshotPart,
    Stale,
    Unfit,
    Welcome,
)
from nodes.pair_events import (
    Action,
    Cut,
    CutMismatch,
    Durable,
    Event,
    Flush,
    Heard,
    Jumped,
    LinkDown,
    LinkUp,
    MapRecord,
    MetaSaved,
    Ordered,
    PlaceFound,
    ProposalAnswered,
    RecordRead,
    SnapshotSent,
    SnapshotTaken,
    TailRead,
)
from nodes.pair_rules import Rules, lease_granted_s
from nodes.pair_state import CopyState, Leases, Mode
from nodes.ports import Recovered
from nodes.records import following

WAKE_GAP_S = 0.001
"""Between two wakes at least: a time that is rounded on its way must not become a storm."""


class Pair:
    """One copy. Every method is called on one thread, with ``now`` read after the event arrived."""

    def __init__(
        self,
        recovered: Recovered,
        *,
        node: NodeId,
        timers: Timers,
        rhythm: Rhythm,
        leases: Leases,
        rules: Rules,
        serial: int,
        now: float,
        complaint: str = "",
        quarantined: Quarantined = NOTHING_QUARANTINED,
    ) -> None:
        self.state = CopyState(
            shard=recovered.shard,
            me=Copy(node, recovered.meta.copy_id),
            timers=timers,
            rhythm=rhythm,
            leases=leases,
            rules=rules,
            meta=recovered.meta,
            tip=recovered.tip,
            floor=recovered.floor,
            spans=list(recovered.spans),
            booted_at=now,
            serial=serial,
            granted_until=now + lease_granted_s(timers),
            durable_lsn=recovered.tip.lsn,
            commit_lsn=recovered.floor.lsn,
            complaint=recovered.damage or complaint,
            quarantined=quarantined,
        )
        self._look_at = NEVER
        """When time alone may bring more than news: as of the last event that was not an ordinary write's."""

    def start(self, now: float) -> Output[Action]:
        """Take up the role that the disk remembers; a primary raises its boot number before anything is sent.

        Intents hold on: joint or drained mode is resumed in the same epoch (I4). A learner is nobody again.
        """
        p = self.state
        record = p.meta.assignment
        if p.quarantined:
            p.tell_quarantined()
        if record is not None and record.primary == p.me:
            p.role, p.restarted, p.drain_from = (Role.DRAINED if p.drains else Role.PRIMARY), True, now
            p.save(replace(p.meta, seen=p.meta.seen._replace(boot=p.meta.seen.boot + 1)))
            for copy in p.others():
                pair_change.ask(p, copy.node, now)
        elif record is not None and p.me in record.in_sync:
            p.role = Role.STANDBY
        return self._output(now)

    def on(self, event: Event, now: float) -> Output[Action]:
        """Take one event; after one of an ordinary write that changed nothing else, nothing else needs a look."""
        p = self.state
        if p.fresh and type(event) is not Durable:
            pair_commit.flush(p, now)
        changes, of_a_write = p.changes, True
        match event:
            case Flush():
                pass  # Whatever comes next flushes first.
            case Durable():
                _durable(p, event, now)
            case Heard() if isinstance(event.message, Append):
                pair_follow.entries(p, event.peer, event.message, now)
            case Heard() if isinstance(event.message, Ack):
                pair_commit.acknowledged(p, event.peer, event.message, now)
            case _:
                of_a_write = False
                _EVENTS[type(event)](p, event, now)
        if of_a_write and changes == p.changes and p.joining is None and not p.meta.intents:
            # It is looked at by the next beat; every other time to wake up was told before.
            actions, p.actions = tuple(p.actions), []
            return Output(actions, p.news_at)
        p.changes += 1
        pair_commit.advance(p, now)
        if p.owner:
            pair_change.pursue(p, now)
        return self._output(now)

    def thaw(self) -> bool:
        """Stop answering after a step of the clock above a lease; ``Jumped`` then asks for what ends that.

        Whatever was on its way before the step no longer counts as a fresh word. Returns whether there is to ask.
        """
        p = self.state
        if p.owner:
            p.thawed = True
            if p.reading:
                p.reading, p.read_at = 0, 0.0
            for peer in p.peers.values():
                peer.mode, peer.ask = Mode.ASKED, p.number()
        return p.owner

    def stepped(self, now: float) -> None:
        """Restart every silence after a step of the clock: what a peer did not acknowledge meanwhile, nobody heard."""
        for peer in self.state.peers.values():
            peer.moved_at = max(peer.moved_at, now)

    def beat(self, now: float) -> Output[Action]:
        """Let time pass; tell the news only, when all is committed and no other time has come."""
        p = self.state
        settled = p.commit_lsn == p.tip.lsn and p.joining is None and not p.meta.intents
        if not settled or now >= self._look_at:
            return self.wake(now)
        pair_commit.spread_news(p, now)
        actions, p.actions = tuple(p.actions), []
        return Output(actions, min(p.news_at, self._look_at))

    def wake(self, now: float) -> Output[Action]:
        """Let time pass."""
        p = self.state
        p.changes += 1
        pair_commit.advance(p, now)
        if p.owner:
            p.hasten()
            pair_join.keep_asking(p, now)
            pair_commit.spread_news(p, now)
        pair_change.pursue(p, now)
        if now >= p.read_at:
            pair_change.want_record(p)
        return self._output(now)

    def admit(self, body: bytes) -> int:
        """Take a decided entry and return its lsn; it is written and sent at the next event."""
        p = self.state
        assert p.admits, f"shard {p.shard}: an entry was decided by a copy that does not serve"
        record = following(p.tip, p.meta.seen, body)
        p.extend(record)
        p.fresh.append(record)
        return record.lsn

    def order(self, event: Ordered, now: float) -> tuple[str, Output[Action]]:
        """Take an order of the leader; returns why not, or nothing, and what to do."""
        p = self.state
        p.changes += 1
        pair_commit.flush(p, now)
        refusal = pair_change.ordered(p, event, now)
        pair_commit.advance(p, now)
        pair_change.pursue(p, now)
        return refusal, self._output(now)

    @property
    def admits(self) -> bool:
        """Say whether commands are taken now."""
        return self.state.admits

    @property
    def answers(self) -> bool:
        """Say whether committed results may leave: an owner that serves, drained or not, and knows it is in force."""
        p = self.state
        return p.role in (Role.PRIMARY, Role.DRAINED) and not p.restarted and p.sound

    def readable(self, now: float) -> bool:
        """Say whether a read may be answered now: alone with nothing in flight, or all leases that count hold (I6)."""
        p = self.state
        if not p.admits or p.dirty:
            return False
        grantors = p.grantors()
        if grantors:
            fence = p.fence
            for copy in grantors:
                if now >= p.leases.lease_until(p.shard, copy.node, fence):
                    return False
        return True

    def grants(self, peer: NodeId, fence: Fence) -> bool:
        """Say whether this copy grants its primary a lease: as its standby or learner, in the same epoch (I6)."""
        p = self.state
        if not p.follower or p.dirty or not p.sound or p.fence != fence:
            return False
        return p.assignment.primary.node == peer

    def view(self, *, serving: bool, writes_per_s: int) -> CopyView:
        """Describe the copy for a report."""
        p = self.state
        learner = _learner(p)
        peer = None if learner is None else p.peers.get(learner)
        return CopyView(
            shard=p.shard,
            copy_id=p.me.copy_id,
            fence=p.fence,
            role=p.role,
            last_lsn=p.tip.lsn,
            commit_lsn=p.commit_lsn,
            learner=learner,
            learner_lag=0 if peer is None else p.tip.lsn - max(peer.acked, 0),
            complaint=p.complaint,
            writes_per_s=writes_per_s,
            orphaned=p.orphaned,
            serving=serving,
            last=p.tip.generation,
            quarantined=p.quarantined.most,
            decided=p.meta.assignment,
        )

    def _output(self, now: float) -> Output[Action]:
        p = self.state
        actions, p.actions = tuple(p.actions), []
        self._look_at = self._due_at(now)
        return Output(actions, max(min(p.news_at, self._look_at), now + WAKE_GAP_S))

    def _due_at(self, now: float) -> float:
        """Say when there may be something to do although nothing happens, news apart."""
        p = self.state
        at = p.read_at
        if not p.owner:
            return at
        if p.restarted or p.role is Role.PROMOTED:
            at = min(at, p.granted_until if now < p.granted_until else now + p.retry_s())
        return min(at, pair_join.ask_at(p), pair_change.look_at(p, now))


def _learner(p: CopyState) -> NodeId | None:
    if p.joining is not None:
        return p.joining.node
    return next((i.learner.node for i in p.meta.intents if i.learner is not None), None)


def _heard(p: CopyState, event: Heard, now: float) -> None:
    handler = _MESSAGES.get(type(event.message))
    if handler is not None:
        handler(p, event.peer, event.message, now)


def _durable(p: CopyState, event: Durable, now: float) -> None:
    if event.cuts != p.cuts:
        return
    pair_commit.durable(p, event.lsn)
    if p.owner:
        pair_commit.advance(p, now)
    else:
        pair_follow.confirm(p)


def _meta_saved(p: CopyState, event: MetaSaved, now: float) -> None:
    p.saved_version = max(p.saved_version, event.version)
    if not p.dirty:
        p.actions.extend(p.held)
        p.held.clear()
        pair_change.stop_admitting(p, now)


def _stale(p: CopyState, peer: NodeId, m: Stale, now: float) -> None:
    if m.decided is not None:
        pair_change.learn(p, m.decided, now)
    pair_change.heard_higher(p, Fence(m.seen.incarnation, m.seen.epoch), now)


def _link_up(p: CopyState, event: LinkUp, now: float) -> None:
    if p.owner and event.peer in p.peers:
        p.peers[event.peer].unfit = ""
        pair_change.ask(p, event.peer, now)


def _link_down(p: CopyState, event: LinkDown, now: float) -> None:
    peer = p.peers.get(event.peer)
    if peer is not None:
        peer.mode = Mode.ASKED


def _mismatch(p: CopyState, event: CutMismatch, now: float) -> None:
    p.complaint = f"damaged at lsn {event.lsn}: the journal does not continue its primary's"


def _snapshot_taken(p: CopyState, event: SnapshotTaken, now: float) -> None:
    if event.tip.lsn <= p.floor.lsn or event.tip.lsn > p.tip.lsn:
        return
    p.floor = event.tip
    p.spans = [
        span
        for span, end in zip(p.spans, [*(s.first_lsn - 1 for s in p.spans[1:]), p.tip.lsn], strict=True)
        if end > event.tip.lsn
    ]


Kind = TypeVar("Kind")


def _of(kind: type[Kind], step: Callable[[CopyState, Kind, float], None]) -> Callable[[CopyState, object, float], None]:
    def checked(p: CopyState, event: object, now: float) -> None:
        assert isinstance(event, kind), f"a step for {kind.__name__} was given {type(event).__name__}"
        step(p, event, now)

    return checked


def _from(
    kind: type[Kind], step: Callable[[CopyState, NodeId, Kind, float], None]
) -> Callable[[CopyState, NodeId, object, float], None]:
    def checked(p: CopyState, peer: NodeId, message: object, now: float) -> None:
        assert isinstance(message, kind), f"a step for {kind.__name__} was given {type(message).__name__}"
        step(p, peer, message, now)

    return checked


_EVENTS: Mapping[type, Callable[[CopyState, object, float], None]] = {
    MetaSaved: _of(MetaSaved, _meta_saved),
    Cut: _of(Cut, lambda p, event, _: pair_follow.was_cut(p, event)),
    CutMismatch: _of(CutMismatch, _mismatch),
    Heard: _of(Heard, _heard),
    LinkUp: _of(LinkUp, _link_up),
    LinkDown: _of(LinkDown, _link_down),
    MapRecord: _of(MapRecord, lambda p, event, now: pair_change.learn(p, event.assignment, now)),
    RecordRead: _of(RecordRead, pair_change.record_read),
    ProposalAnswered: _of(ProposalAnswered, pair_change.answered),
    Jumped: _of(Jumped, pair_change.jumped),
    PlaceFound: _of(PlaceFound, pair_join.place_found),
    TailRead: _of(TailRead, pair_commit.tail_read),
    SnapshotSent: _of(SnapshotSent, pair_join.snapshot_sent),
    SnapshotTaken: _of(SnapshotTaken, _snapshot_taken),
}
_MESSAGES: Mapping[type, Callable[[CopyState, NodeId, object, float], None]] = {
    Stale: _from(Stale, _stale),
    Decided: _from(Decided, lambda p, _, m, now: pair_change.learn(p, m.decided, now)),
    Invite: _from(Invite, pair_follow.invited),
    Hello: _from(Hello, pair_join.greeted),
    Welcome: _from(Welcome, pair_follow.welcomed),
    SnapshotPart: _from(SnapshotPart, lambda p, peer, m, _: pair_follow.part_came(p, peer, m)),
    SnapshotAck: _from(SnapshotAck, pair_join.part_arrived),
    Unfit: _from(Unfit, lambda p, peer, m, _: pair_join.declined(p, peer, m)),
}
