"""Changes of the assignment, as one copy lives through them: adopt, ask for, wait, withdraw.

I2, I6: a promoted copy waits out its grants. I3: nothing is acknowledged alone before the CAS is known applied,
because only an adopted record changes who must acknowledge. I4: an intent is durable before anything follows from it.
I13: a planned change keeps two copies at every step.
"""

from dataclasses import replace

from core.assignments import Add, Assignment, Cancel, Change, Copy, Evict, Fence, Swap, Switchover
from core.copies import Role
from core.machine import NEVER
from core.names import NodeId
from core.orders import Order
from core.proposals import Proposal, ProposalApplied, ProposalRefused
from nodes.frames import Decided, Invite
from nodes.pair_commit import stream
from nodes.pair_events import (
    CarryLeases,
    HandOver,
    Jumped,
    Ordered,
    ProposalAnswered,
    Propose,
    ReadRecord,
    RecordRead,
    Send,
)
from nodes.pair_rules import JOINING, lease_granted_s
from nodes.pair_state import Attempt, CopyState, Joining, Mode, Peer
from nodes.ports import Intent
from nodes.records import Generation

LAG_SMALL_ENTRIES = 256
"""A learner or standby that lags less is near enough to make its change binding."""
DRAIN_MAX_S = 2.0
"""How long a drained primary waits for the CAS before it asks to be what it was."""


def adopt(p: CopyState, decided: Assignment, now: float, *, boot: int = 0) -> None:
    """Take over a decided record above our own, persist it, and be what it says."""
    old, was, left = p.meta.assignment, p.role, p.fence
    _remember_grants(p, old)
    role = _role_in(p, decided)
    handed = was is Role.DRAINED and role is Role.STANDBY and decided.standby == p.me
    p.save(replace(p.meta, seen=Generation(decided.incarnation, decided.epoch, boot), assignment=decided, intents=()))
    _forget_what_was_under_way(p)
    owned = p.owner
    p.role = role
    if not p.owner:
        p.restarted = False
        p.peers.clear()
        if handed:  # The store's word, and requests of which nothing is decided: neither waits for our own disk.
            p.actions += (Send(decided.primary.node, Decided(p.shard, decided)), HandOver(decided.primary.node))
        return
    if role is Role.PRIMARY and not owned:
        p.restarted = False
        p.note("switchover.admitting", boottime_s=now)
    p.hasten()  # Perhaps nobody else is waited for any more.
    _meet(p, left, now, known=owned)


def adopt_boot(p: CopyState, boot: int) -> None:
    """Note that our primary restarted within its epoch: a new first contact is due."""
    p.save(replace(p.meta, seen=p.meta.seen._replace(boot=boot)))
    p.contact, p.hello, p.incoming = False, 0, None


def heard_higher(p: CopyState, fence: Fence, now: float) -> None:
    """Stop at once: somebody has seen a higher fence; go on when its record is read (I5)."""
    if fence > p.fence and (p.ahead is None or fence > p.ahead):
        p.ahead = fence
        p.changes += 1
        want_record(p)


def want_record(p: CopyState) -> None:
    """Read the store's record as it is from now on, again until it answers; an earlier read counts no more."""
    p.reading, p.read_at = p.number(), NEVER
    p.do(ReadRecord(p.reading))


def record_read(p: CopyState, event: RecordRead, now: float) -> None:
    """Take what the store holds."""
    assignment = event.assignment
    if event.number != p.reading:
        return
    p.reading = 0
    if assignment is None:
        p.read_at = now + p.retry_s()
        return
    learn(p, assignment, now)
    if assignment.fence == p.fence and p.owner and assignment.solo and not p.meta.intents:
        p.thawed = False
    if p.ahead is not None and p.fence < p.ahead:
        p.read_at = now + p.retry_s()


def learn(p: CopyState, assignment: Assignment, now: float) -> None:
    """Take a decided record, wherever it came from."""
    if assignment.shard == p.shard and assignment.fence > p.fence:
        adopt(p, assignment, now)


def ordered(p: CopyState, event: Ordered, now: float) -> str:
    """Start a change that the leader wants; returns why not, or nothing."""
    refusal = _order_refusal(p, event)
    if refusal or _under_way(p, event):
        return refusal
    match event.order:
        case Order.CANCEL:
            p.cancel, p.joining = bool(p.meta.intents), None
        case Order.SWITCHOVER:
            p.save_intents(Intent("drain", p.fence.incarnation, p.fence.epoch, None, p.tip.lsn))
        case Order.ADD | Order.SWAP:
            assert event.target is not None, "an order to join names nobody"
            p.joining = Joining(event.order, event.target)
            ask(p, event.target, now)
    return ""


def stop_admitting(p: CopyState, now: float) -> None:
    """Drain as soon as the intent to is on disk: until then the present epoch serves on, and writers wait less."""
    if p.role is Role.PRIMARY and not p.dirty and p.drains:
        p.role, p.drain_from = Role.DRAINED, now
        p.changes += 1
        p.note("switchover.stopped_admitting", boottime_s=now)


def ask(p: CopyState, node: NodeId, now: float) -> None:
    """Ask a node what it holds; a fresh number, so that only a fresh answer counts."""
    peer = p.peers.get(node)
    if peer is None:
        peer = p.peers[node] = Peer(node, 0, moved_at=now)
    if peer.acked >= peer.sent.lsn:
        peer.moved_at = now
    peer.ask, peer.mode, peer.asked_at = p.number(), Mode.ASKED, now
    p.send(node, Invite(p.shard, p.gen, p.assignment, peer.ask))


def pursue(p: CopyState, now: float) -> None:
    """Bring what is under way one step further: bind a caught-up learner, propose what is ready, evict the lost."""
    if not p.owner or p.complaint or p.ahead is not None:
        return
    _bind(p)
    _withdraw(p, now)
    if p.dirty:
        return
    for name, change in _due(p, now).items():
        attempt = p.attempts.get(name)
        if attempt is None or (not attempt.waiting and now >= attempt.retry_at):
            p.attempts[name] = Attempt(change)
            p.do(Propose(Proposal(p.shard, p.fence, p.me, change, _reason(p, change, now))))


def look_at(p: CopyState, now: float) -> float:
    """Say when ``pursue`` may find something new although nothing happens; the node's pulse wakes it for silence."""
    at = min((a.retry_at for a in p.attempts.values() if a.retry_at > now), default=NEVER)
    if p.role is Role.DRAINED:
        at = min(at, p.drain_from + DRAIN_MAX_S if now < p.drain_from + DRAIN_MAX_S else NEVER)
    return at


def answered(p: CopyState, event: ProposalAnswered, now: float) -> None:
    """Take the store's word; a change is in force only when it is known applied (I3)."""
    if event.proposal.base != p.fence:
        return
    attempt = p.attempts.get(type(event.proposal.change).__name__)
    if attempt is not None:
        attempt.waiting, attempt.retry_at = False, now + p.retry_s()
    match event.answer:
        case ProposalApplied(record):
            learn(p, record, now)
        case ProposalRefused(current, _) if current is not None and current.fence > p.fence:
            learn(p, current, now)
        case ProposalRefused():
            p.cancel = bool(p.meta.intents) and not isinstance(event.proposal.change, Evict | Cancel)
        case _:
            if not p.reading:
                want_record(p)


def jumped(p: CopyState, event: Jumped, now: float) -> None:
    """Wake up: above a lease, answer nothing until a peer, or the store, has confirmed this epoch."""
    if event.step_s <= p.timers.lease_s or not p.owner or not p.thawed:
        return
    for copy in p.others():
        ask(p, copy.node, now)
    want_record(p)


def confirmed_by(p: CopyState, node: NodeId) -> None:
    """Note that a peer answered, in our epoch, a question put after we woke."""
    if p.thawed and any(copy.node == node for copy in p.others()):
        p.thawed = False


def lost(p: CopyState, copy: Copy, now: float) -> str:
    """Say why a member or learner counts as lost; empty: it does not."""
    peer = p.peers.get(copy.node)
    if peer is not None and peer.unfit:
        return peer.unfit
    if p.leases.refused(copy.node):
        return "its stream was reset and connects are refused"
    silent_s = now - p.leases.heard_at(copy.node, now)
    if silent_s > p.timers.standby_silence_s:
        return f"silent for {silent_s:.2f} s"
    stalled = peer is not None and peer.acked < p.tip.lsn and now - peer.moved_at > 4 * p.timers.standby_silence_s
    return "acknowledges nothing" if stalled else ""


def _role_in(p: CopyState, decided: Assignment) -> Role:
    old = p.meta.assignment
    if p.me not in decided.in_sync:
        return Role.OUT
    if decided.primary != p.me:
        return Role.STANDBY
    if p.owner:
        return Role.PRIMARY if p.role is Role.DRAINED else p.role
    next_one = p.gen.incarnation == decided.incarnation and p.gen.epoch + 1 == decided.epoch
    handed = old is not None and old.standby == p.me and decided.standby == old.primary
    return Role.PRIMARY if next_one and handed and p.role is Role.STANDBY else Role.PROMOTED


def _remember_grants(p: CopyState, old: Assignment | None) -> None:
    """Note until when the primary that we leave may rely on us."""
    if p.follower and old is not None:
        p.granted_until = max(p.granted_until, p.leases.replied_at(old.primary.node) + lease_granted_s(p.timers))


def _forget_what_was_under_way(p: CopyState) -> None:
    p.attempts.clear()
    p.joining, p.cancel, p.ahead = None, False, None if p.ahead is None or p.ahead <= p.fence else p.ahead
    p.contact, p.hello, p.incoming, p.thawed = False, 0, None, False
    p.news_at = NEVER


def _meet(p: CopyState, left: Fence, now: float, *, known: bool) -> None:
    """Make contact with the members of a new epoch: who followed live goes on, its acks count anew."""
    kept = {node: peer for node, peer in p.peers.items() if known and peer.mode is Mode.LIVE}
    members = [copy.node for copy in p.others()]
    if known and p.meta.seen.epoch == left.epoch + 1:
        p.actions.append(CarryLeases(left, p.fence, tuple(members)))
    for node in p.peers:
        if node not in members:
            p.send(node, Decided(p.shard, p.assignment))
    p.peers.clear()
    for copy in p.others():
        peer = kept.get(copy.node)
        if peer is None and not known:
            peer = Peer(copy.node, p.number(), Mode.LIVE, copy, sent=p.tip)
        if peer is None:
            ask(p, copy.node, now)
            continue
        peer.copy, peer.acked, peer.unfit, peer.moved_at = copy, -1, "", now
        p.peers[copy.node] = peer
        stream(p, peer, (), now)


def _order_refusal(p: CopyState, event: Ordered) -> str:
    if event.base != p.fence:
        return f"stands at {p.fence.incarnation}.{p.fence.epoch}"
    if not p.owner or p.role is Role.PROMOTED or p.restarted or not p.sound:
        return "does not serve"
    if event.order is Order.CANCEL or _under_way(p, event):
        return ""
    if p.meta.intents or p.joining is not None:
        return "another change is under way"
    if (event.order is Order.ADD) != p.assignment.solo:
        return "has a standby already" if event.order is Order.ADD else "has no standby"
    if event.order is Order.SWITCHOVER:
        return "" if _standby_near(p) else "the standby lags"
    taken = {copy.node for copy in p.assignment.in_sync}
    return "" if event.target is not None and event.target not in taken else "the target holds a copy in sync already"


def _under_way(p: CopyState, event: Ordered) -> bool:
    """Say whether the very order is being carried out."""
    if event.order is Order.SWITCHOVER:
        return p.drains
    if p.joining is not None:
        return (p.joining.order, p.joining.node) == (event.order, event.target)
    kind = event.order.value.lower()
    return any(i.kind == kind and i.learner is not None and i.learner.node == event.target for i in p.meta.intents)


def _standby_near(p: CopyState) -> bool:
    peer = p.peers.get(p.assignment.in_sync[-1].node)
    return peer is not None and peer.mode is Mode.LIVE and p.tip.lsn - peer.acked <= LAG_SMALL_ENTRIES


def _bind(p: CopyState) -> None:
    """Make a joining learner binding once it lags little: from here commits and leases need it too (I4)."""
    if p.joining is None or not p.admits or p.meta.intents:
        return
    peer = p.peers.get(p.joining.node)
    near = peer is not None and peer.mode is Mode.LIVE and 0 <= p.tip.lsn - peer.acked <= LAG_SMALL_ENTRIES
    if peer is not None and near and peer.acked >= 0 and peer.copy is not None:
        kind = p.joining.order.value.lower()
        p.joining = None
        p.save_intents(Intent(kind, p.fence.incarnation, p.fence.epoch, peer.copy, p.tip.lsn))


def _withdraw(p: CopyState, now: float) -> None:
    """Ask for the way back where the way forward is blocked; only a CAS ends an intent."""
    if p.joining is not None and (joiner := p.peers.get(p.joining.node)) is not None and joiner.unfit:
        p.peers.pop(p.joining.node)
        p.joining = None
    for intent in p.meta.intents:
        gone = intent.learner is not None and lost(p, intent.learner, now)
        late = p.role is Role.DRAINED and now >= p.drain_from + DRAIN_MAX_S
        p.cancel = p.cancel or bool(gone) or late


def _due(p: CopyState, now: float) -> dict[str, Change]:
    """Name the changes that may be proposed on the present base: the racing ones beside what an intent holds."""
    due: list[Change] = []
    standby = p.assignment.standby
    if standby is not None and lost(p, standby, now):
        due.append(Evict())
    if p.cancel and p.meta.intents:
        due.append(Cancel())
    due.extend(change for intent in p.meta.intents if (change := _ready(p, intent)) is not None)
    return {type(change).__name__: change for change in due}


def _ready(p: CopyState, intent: Intent) -> Change | None:
    """Say what an intent allows to propose now (I7, I13)."""
    standby = p.assignment.standby
    if intent.kind == "drain" and standby is not None:
        peer = p.peers.get(standby.node)
        acked = -1 if peer is None else peer.acked
        drained = p.role is Role.DRAINED and p.rules.drained(p.tip.lsn, p.durable_lsn, acked)
        return Switchover() if drained else None
    if intent.kind not in JOINING or intent.learner is None:
        return None
    peer = p.peers.get(intent.learner.node)
    if peer is None or not p.rules.join_ready(peer.acked, intent):
        return None
    return Add(intent.learner) if standby is None else Swap(standby, intent.learner)


def _reason(p: CopyState, change: Change, now: float) -> str:
    standby = p.assignment.standby
    match change:
        case Evict() if standby is not None:
            return f"standby {standby.node}: {lost(p, standby, now)}"
        case Cancel():
            return "the change in flight can't be completed"
        case Add(learner) | Swap(_, learner):
            return f"{learner.node} has caught up"
        case _:
            return "planned"
