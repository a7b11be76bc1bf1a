"""The primary's side of a join: hear what a copy holds, find where the journals part, bring it up to date.

I7: a learner that is counted holds everything acknowledged, because it follows from a common entry without a hole.
I8: what a copy is told to drop lies beyond everything this primary holds. I9: a copy under another id, or one that
holds less than it acknowledged, is a lost disk: it is done without, never trusted.
"""

from core.assignments import Copy, Fence
from core.machine import NEVER
from core.names import NodeId
from nodes.frames import Decided, Hello, SnapshotAck, Unfit, Welcome
from nodes.pair_change import ask, confirmed_by, heard_higher
from nodes.pair_commit import feed
from nodes.pair_events import FindPlace, PlaceFound, SendSnapshot, SnapshotSent
from nodes.pair_rules import common_lsn
from nodes.pair_state import CopyState, Mode, Peer
from nodes.records import Tip

RECORD_VERSION = 1
"""Of the journal's records, as this code writes them."""


def greeted(p: CopyState, node: NodeId, m: Hello, now: float) -> None:
    """Judge what a copy says it holds."""
    if m.seen > p.gen:
        heard_higher(p, Fence(m.seen.incarnation, m.seen.epoch), now)
        return
    peer = p.peers.get(node)
    if not p.owner or peer is None:
        if p.meta.assignment is not None and p.owner:
            p.send(node, Decided(p.shard, p.assignment))
        return
    if m.ask != peer.ask and (m.ask or peer.mode is Mode.ASKED):
        return
    peer.unfit = _unfit(p, peer, Copy(node, m.copy_id), m)
    if peer.unfit:
        return
    peer.copy, peer.number, peer.moved_at = Copy(node, m.copy_id), m.number, now
    confirmed_by(p, node)
    _place(p, peer, m, now)


def place_found(p: CopyState, event: PlaceFound, now: float) -> None:
    """Go on from what the journal holds at the common place."""
    peer = p.peers.get(event.peer)
    if peer is not None and peer.number == event.number and p.owner:
        _welcome(p, peer, event.tip, now)


def snapshot_sent(p: CopyState, event: SnapshotSent, now: float) -> None:
    """Send the entries after the snapshot."""
    peer = p.peers.get(event.peer)
    if peer is not None and peer.number == event.number and peer.mode is Mode.SNAPSHOT:
        peer.sent, peer.moved_at = event.tip, now
        feed(p, peer, now)


def declined(p: CopyState, node: NodeId, m: Unfit) -> None:
    """Note that a copy can't follow; whether to evict it or to cancel its join is ``pursue``'s to see."""
    peer = p.peers.get(node)
    if peer is not None and m.gen == p.gen:
        peer.unfit = m.cause


def part_arrived(p: CopyState, node: NodeId, m: SnapshotAck, now: float) -> None:
    """Note that a snapshot makes progress."""
    peer = p.peers.get(node)
    if peer is not None and m.gen == p.gen and m.number == peer.number:
        peer.moved_at = now


def keep_asking(p: CopyState, now: float) -> None:
    """Ask peers again that did not answer, or whose stream made no progress."""
    for peer in list(p.peers.values()):
        if now >= _ask_at(p, peer):
            ask(p, peer.node, now)


def ask_at(p: CopyState) -> float:
    """Say when the next peer will have to be asked again."""
    return min((_ask_at(p, peer) for peer in p.peers.values()), default=NEVER)


def _ask_at(p: CopyState, peer: Peer) -> float:
    since = max(peer.asked_at, peer.moved_at)
    if peer.unfit:
        return peer.asked_at + 2 * p.timers.standby_silence_s
    if peer.mode is Mode.ASKED or (peer.acked < 0 and peer.mode is not Mode.SNAPSHOT):
        return since + p.retry_s()
    lags = peer.mode is Mode.SNAPSHOT or peer.acked < peer.sent.lsn
    return since + 2 * p.timers.standby_silence_s if lags else NEVER


def _unfit(p: CopyState, peer: Peer, copy: Copy, m: Hello) -> str:
    expected = [other for other in p.others() if other.node == copy.node]
    if expected and copy not in expected:
        return f"its copy is {copy.copy_id} now: the disk was lost"
    if m.seen == p.gen and m.tip.lsn < peer.acked:
        return f"holds {m.tip.lsn} entries after it acknowledged {peer.acked}: the disk was rolled back"
    if not m.reads[0] <= RECORD_VERSION <= m.reads[1]:
        return f"reads record versions {m.reads[0]} to {m.reads[1]}, {RECORD_VERSION} is written"
    return ""


def _place(p: CopyState, peer: Peer, m: Hello, now: float) -> None:
    lsn = common_lsn(spans=p.spans, tip=p.tip, floor=p.floor, their_spans=m.spans, their_tip=m.tip, their_floor=m.floor)
    if lsn is None:
        _welcome(p, peer, None, now)
    elif (tip := p.place(lsn)) is not None:
        _welcome(p, peer, tip, now)
    else:
        p.do(FindPlace(peer.node, m.number, lsn))


def _welcome(p: CopyState, peer: Peer, common: Tip | None, now: float) -> None:
    """Tell where to go on from; None: from a snapshot. By a damaged journal, which ends early, nobody drops a thing."""
    if p.complaint:
        return
    start = p.floor if common is None else common
    p.send(peer.node, Welcome(p.shard, p.gen, p.assignment, peer.number, start, common is None))
    if common is None:
        peer.mode = Mode.SNAPSHOT
        p.do(SendSnapshot(peer.node, peer.number))
        return
    peer.sent = common
    peer.acked = min(peer.acked, common.lsn) if peer.acked >= 0 else -1
    feed(p, peer, now)
