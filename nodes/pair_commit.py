"""The primary's side of a write: send, count acknowledgements, know what is committed, know when to serve.

I1: what is acknowledged is durable on every member of in_sync. I3, I4: a change in flight frees nobody. I11: nothing
uncommitted is shown: ``commit_lsn`` is the only thing that the driver answers from.
"""

from core.copies import Role
from core.machine import NEVER
from core.names import NodeId
from nodes.frames import Ack, Append
from nodes.pair_events import ReadTail, TailRead
from nodes.pair_state import CopyState, Mode, Peer
from nodes.records import Record, tip_of

BATCH_BYTES = 256 * 1024
"""Entries per Append: one message of a peer never fills the channel for long."""


def flush(p: CopyState, now: float) -> None:
    """Write and send what this turn admitted: in parallel, which is why a generation has boot numbers."""
    if not p.fresh:
        return
    records, p.fresh = tuple(p.fresh), []
    if p.news_at == NEVER:
        _look_at_next_beat(p, now)
    p.persist(records, quiet=bool(p.others()))
    for peer in p.peers.values():
        if peer.mode is Mode.LIVE:
            stream(p, peer, records, now)


def durable(p: CopyState, lsn: int) -> None:
    """Note how far our own disk is."""
    if lsn > p.durable_lsn:
        p.durable_lsn = min(lsn, p.tip.lsn)
        p.trim()


def stream(p: CopyState, peer: Peer, records: tuple[Record, ...], now: float, *, bulk: bool = False) -> None:
    """Send entries that follow what the peer was sent, in messages of bounded size; none: a sign of contact."""
    if peer.acked >= peer.sent.lsn:
        peer.moved_at = now
    for batch in batches(records):
        decided = p.meta.assignment if peer.acked < 0 else None
        p.send(peer.node, Append(p.shard, p.gen, peer.sent, batch, p.commit_lsn, decided), bulk=bulk)
        if batch:
            assert batch[0].lsn == peer.sent.lsn + 1, f"shard {p.shard}: a hole in what {peer.node} is sent"
            peer.sent = tip_of(batch[-1])
    peer.told_commit_lsn = p.commit_lsn


def batches(records: tuple[Record, ...]) -> list[tuple[Record, ...]]:
    """Cut entries into groups of bounded size, one entry at least in each."""
    if len(records) <= 1:
        return [records]
    found: list[tuple[Record, ...]] = []
    start = size = 0
    for n, record in enumerate(records):
        length = len(record.body)
        if size and size + length > BATCH_BYTES:
            found.append(records[start:n])
            start, size = n, 0
        size += length
    found.append(records[start:])
    return found


def feed(p: CopyState, peer: Peer, now: float) -> None:
    """Send a peer what it lacks: from memory, then it is live; else the next stretch from the disk, in bulk."""
    tail = p.since(peer.sent.lsn)
    if tail is None:
        peer.mode = Mode.CATCHUP
        p.do(ReadTail(peer.node, peer.number, peer.sent.lsn))
    else:
        peer.mode = Mode.LIVE
        stream(p, peer, tail, now)


def tail_read(p: CopyState, event: TailRead, now: float) -> None:
    """Send what was read from the disk; the next stretch is read when this one is acknowledged.

    Nothing is read of what a snapshot has replaced meanwhile: the peer is asked anew, and is sent that one.
    """
    peer = p.peers.get(event.peer)
    if peer is None or peer.number != event.number or peer.mode is not Mode.CATCHUP:
        return
    if not event.records:
        peer.mode, peer.asked_at = Mode.ASKED, now
    elif event.records[0].lsn == peer.sent.lsn + 1:
        stream(p, peer, event.records, now, bulk=True)


def acknowledged(p: CopyState, node: NodeId, ack: Ack, now: float) -> None:
    """Count an ack: of this very generation, from whoever we asked to follow; what is committed may grow by it."""
    peer = p.peers.get(node)
    if peer is None or not p.owner or not p.rules.counts(ack.gen, p.gen) or ack.lsn <= peer.acked:
        return
    peer.acked, peer.moved_at = min(ack.lsn, p.tip.lsn), now
    if peer.acked > p.durable_lsn:
        p.hasten()
    if peer.mode is Mode.CATCHUP and peer.acked >= peer.sent.lsn:
        feed(p, peer, now)
    advance(p, now)


def advance(p: CopyState, now: float) -> None:
    """Move the commit point, and begin to serve when nothing forbids it any more."""
    if not p.commits:
        return
    peers = p.peers
    acked = [peers[copy.node].acked if copy.node in peers else -1 for copy in p.others()]
    lsn = p.rules.committed_lsn(p.durable_lsn, acked)
    if p.restarted or p.role is Role.PROMOTED:
        _begin(p, lsn, now)
    elif lsn > p.commit_lsn:
        p.commit_lsn = lsn
        if p.news_at == NEVER:
            _look_at_next_beat(p, now)


def spread_news(p: CopyState, now: float) -> None:
    """Tell idle peers what is committed, so that a standby applies it and stays warm.

    It goes in the frame of the next heartbeat; nobody waits for it: a promoted standby commits its whole journal.
    """
    if now < p.news_at:
        return
    p.news_at = NEVER
    for peer in p.peers.values():
        if peer.mode is Mode.LIVE and peer.told_commit_lsn < p.commit_lsn and peer.sent == p.tip:
            stream(p, peer, (), now)


def _look_at_next_beat(p: CopyState, now: float) -> None:
    """Wake with the next heartbeat: for news of commits, and so that a write that nobody acknowledges is looked at."""
    p.news_at = p.rhythm.after(now)


def _begin(p: CopyState, lsn: int, now: float) -> None:
    """End the wait of a promoted or restarted copy: leases out, whole journal on everybody it needs (I6, I11)."""
    ready = p.rules.serves_from(granted_until=p.granted_until, now=now) and p.rules.tail_safe(p.tip.lsn, lsn)
    if not ready:
        return
    p.restarted = False
    p.changes += 1
    p.commit_lsn = max(p.commit_lsn, p.tip.lsn)
    if p.news_at == NEVER:
        _look_at_next_beat(p, now)
    if p.role is Role.PROMOTED:
        p.role = Role.PRIMARY
        p.note("promotion.serves")
