"""The standby's and the learner's side: append, acknowledge, and make the first contact in a new generation.

I1: an ack is sent after the fsync only. I5: nothing of an older generation than the one seen is taken. I7, I8: at
first contact everything beyond the last common entry goes; what the primary lacks was never committed.
"""

from core.assignments import Assignment, Fence
from core.copies import Role
from core.names import NodeId
from nodes.frames import Ack, Append, Hello, Invite, SnapshotAck, SnapshotPart, Stale, Unfit, Welcome
from nodes.pair_change import adopt, adopt_boot, heard_higher
from nodes.pair_events import Cut, InstallSnapshot, Truncate
from nodes.pair_state import CopyState, Incoming
from nodes.records import EMPTY, Record, Tip, tip_of


def entries(p: CopyState, peer: NodeId, m: Append, now: float) -> None:
    """Take an Append."""
    if m.gen != p.gen and not _brought_to(p, peer, m, now):
        return
    record = p.meta.assignment
    if record is None or record.primary.node != peer or not p.follower or p.incoming is not None:
        return
    if p.complaint:
        p.send(peer, Unfit(p.shard, m.gen, p.me.copy_id, p.complaint))
        return
    news = p.contact and not m.records and m.decided is None
    fresh = _continuation(p, m)
    if fresh is None:
        say_hello(p, peer, 0, now)
        return
    if fresh:
        _append(p, fresh)
    if m.commit_lsn > p.commit_lsn:
        p.commit_lsn = min(m.commit_lsn, p.tip.lsn)
    if not fresh and not news:
        confirm(p)


def confirm(p: CopyState) -> None:
    """Acknowledge what is on disk, if it is known to be the primary's own journal."""
    if p.follower and p.contact and not p.cutting and not p.complaint:
        p.send(p.assignment.primary.node, Ack(p.shard, p.gen, p.durable_lsn))


def invited(p: CopyState, peer: NodeId, m: Invite, now: float) -> None:
    """Answer a primary that wants this copy to follow."""
    if p.rules.outdated(m.gen, p.gen):
        p.send(peer, Stale(p.shard, p.gen, p.meta.assignment))
        return
    enter(p, m.decided, m.gen.boot, now)
    if p.complaint:
        p.send(peer, Unfit(p.shard, m.gen, p.me.copy_id, p.complaint))
    elif not p.owner:
        p.incoming = None
        say_hello(p, peer, m.ask, now)


def say_hello(p: CopyState, peer: NodeId, ask: int, now: float) -> None:
    """Say what this copy holds; one such question at a time, unless the primary asks anew."""
    if p.hello and not ask and now < p.hello_at + p.retry_s():
        return
    p.hello, p.hello_at = p.number(), now
    p.send(
        peer,
        Hello(p.shard, p.gen, p.me.copy_id, p.tip, p.floor, tuple(p.spans), p.hello, ask),
    )


def welcomed(p: CopyState, peer: NodeId, m: Welcome, now: float) -> None:
    """Take the answer to a Hello: cut what the primary lacks, then follow; void if anything happened in between."""
    if m.gen != p.gen or m.number != p.hello or p.owner or p.assignment.primary.node != peer:
        return
    p.hello = 0
    member = p.me in p.assignment.in_sync
    below = not m.snapshot and m.common.lsn < p.floor.lsn
    another = not m.snapshot and m.common.lsn == p.tip.lsn and m.common.hash != p.tip.hash
    if another or (member and (m.snapshot or below)):
        p.complaint = f"damaged at lsn {p.tip.lsn}: the journal does not continue its primary's"
        p.send(peer, Unfit(p.shard, p.gen, p.me.copy_id, p.complaint))
        return
    p.role = Role.STANDBY if member else Role.LEARNER
    if m.snapshot:
        p.contact = False
        p.incoming = Incoming(m.number, m.common, [])
        return
    if below:
        _begin_anew(p, peer, now)
        return
    p.contact = True
    keep = p.rules.kept(p.tip, m.common)
    dropped = p.tip.lsn - keep.lsn
    if dropped > 0:
        cut(p, keep)
    else:
        confirm(p)
    if not member:
        p.note("copy.rejoined", node=p.me.node, common_lsn=m.common.lsn, orphaned=dropped, snapshot=False)


def cut(p: CopyState, keep: Tip) -> None:
    """Drop everything after a place, moved to ``orphan/`` on the disk; acks wait until that is done.

    What an older incarnation decided, and the primary of the new one lacks, may have been acknowledged.
    """
    whole = keep.lsn < p.floor.lsn
    dropped, lossy = p.tip.lsn - max(keep.lsn, p.floor.lsn), _overridden(p, p.tip)
    p.orphaned += dropped
    p.tip, p.floor, p.cuts, p.cutting = keep, keep if whole else p.floor, p.cuts + 1, True
    p.durable_lsn, p.commit_lsn = min(p.durable_lsn, keep.lsn), min(p.commit_lsn, keep.lsn)
    p.spans = [span for span in p.spans if span.first_lsn <= keep.lsn]
    while p.recent and p.recent[-1].lsn > keep.lsn:
        p.recent.pop()
    p.actions.append(Truncate(keep, dropped, p.cuts, lossy))


def was_cut(p: CopyState, event: Cut) -> None:
    """Acknowledge again: deeds on one shard happen in order, so what was kept is on disk."""
    if event.quarantined != p.quarantined:
        p.quarantined, p.changes = event.quarantined, p.changes + 1
        p.tell_quarantined()
    if event.cuts == p.cuts:
        p.cutting, p.durable_lsn = False, max(p.durable_lsn, p.floor.lsn)
        confirm(p)


def part_came(p: CopyState, peer: NodeId, m: SnapshotPart) -> None:
    """Collect a snapshot; install it when complete."""
    coming = p.incoming
    if coming is None or m.gen != p.gen or m.number != coming.number or m.index != len(coming.parts):
        return
    coming.parts.append(m.body)
    p.send(peer, SnapshotAck(p.shard, p.gen, m.number, m.index), bulk=True)
    if m.last:
        _install(p, m.tip, tuple(coming.parts))


def enter(p: CopyState, decided: Assignment, boot: int, now: float) -> None:
    """Adopt a decided record, or a new boot of the primary in the present one."""
    fence = decided.fence
    if fence > p.fence or p.meta.assignment is None:
        adopt(p, decided, now, boot=boot)
    elif fence == p.fence and boot > p.gen.boot and not p.owner:
        adopt_boot(p, boot)


def _brought_to(p: CopyState, peer: NodeId, m: Append, now: float) -> bool:
    """Bring this copy to the generation of an Append that is of another one, or say no."""
    if p.rules.outdated(m.gen, p.gen):
        p.send(peer, Stale(p.shard, p.gen, p.meta.assignment))
        return False
    fence = Fence(m.gen.incarnation, m.gen.epoch)
    if fence > p.fence:
        if m.decided is None or m.decided.fence != fence:
            heard_higher(p, fence, now)
            return False
        enter(p, m.decided, m.gen.boot, now)
    else:
        enter(p, p.assignment, m.gen.boot, now)
    return m.gen == p.gen


def _continuation(p: CopyState, m: Append) -> tuple[Record, ...] | None:
    """Say which of the entries are new here; None: they do not continue this journal as it stands."""
    if not p.contact:
        if p.role is not Role.STANDBY or not p.rules.same_place(p.tip, m.prev):
            return None
        p.contact = True
    held = p.tip.lsn - m.prev.lsn
    if held < 0:
        return None
    if held >= len(m.records) and held:
        return ()
    at = m.prev if held == 0 else tip_of(m.records[held - 1])
    return m.records[held:] if at.hash == p.tip.hash else None


def _append(p: CopyState, records: tuple[Record, ...]) -> None:
    p.hello = 0
    p.extend(*records)
    p.persist(records, quiet=False)


def _begin_anew(p: CopyState, peer: NodeId, now: float) -> None:
    """Keep nothing: what the primary lacks lies in our snapshot, which only a lossy override can bring about."""
    cut(p, EMPTY)
    say_hello(p, peer, 0, now)


def _install(p: CopyState, tip: Tip, parts: tuple[bytes, ...]) -> None:
    """Start over from a snapshot; the old journal's remains are an orphan."""
    p.note("copy.rejoined", node=p.me.node, common_lsn=0, orphaned=p.tip.lsn - p.floor.lsn, snapshot=True)
    lossy = p.floor.lsn > 0 and _overridden(p, p.floor)
    if p.tip.lsn > p.floor.lsn:
        cut(p, p.floor)
    p.incoming, p.contact = None, True
    p.tip = p.floor = tip
    p.spans, p.durable_lsn, p.commit_lsn = [], 0, tip.lsn
    p.recent.clear()
    p.cuts, p.cutting = p.cuts + 1, True
    p.actions.append(InstallSnapshot(tip, parts, p.cuts, lossy))


def _overridden(p: CopyState, end: Tip) -> bool:
    """Say whether a part of the journal that ends there was decided before a lossy override."""
    return end.generation.incarnation < p.gen.incarnation
