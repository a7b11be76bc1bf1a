"""One node's ties to its peers: signs of life, and leases by shard and grantor (PROTOCOL.md section 4).

I6, the half about reads: a lease counts from when it was asked for, by the asker's clock, for L (1 - rho); its grantor
counts it from when it answered, by its own clock, for L (1 + rho). Write safety never rests on any of this.

What is refused is judged when a peer's list comes, and again whenever a copy stands otherwise than before
(``judge_anew``), not at every heartbeat: an answer that is given always equals the one that would be judged now.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from core.assignments import Fence
from core.names import NodeId, ShardId
from core.timers import Timers
from nodes.frames import Heartbeat, HeartbeatReply
from nodes.pair_rules import lease_held_s

GRACE_RATIO = 2.0
"""A peer never heard of is given this many silences: links take their time when a whole fleet starts."""
TRIPS_MEASURED = 10
"""Heartbeats whose round trip is measured after a link comes up."""
NEVER_HEARD = float("-inf")


@dataclass(slots=True)
class Link:
    """The tie to one peer node."""

    peer: NodeId
    timers: Timers
    heard: float
    version: int
    """Of the list of shards that ask the peer for a lease; starts at random, never used twice."""
    up: bool = False
    refused: bool = False
    wanted: dict[ShardId, Fence] = field(default_factory=dict)
    known: bool = False
    """The peer has answered a heartbeat of this version, so it holds the list."""
    their_version: int = 0
    their_wanted: tuple[tuple[ShardId, Fence], ...] = ()
    refused_now: tuple[ShardId, ...] | None = None
    """What of the peer's list is not granted; None: it must be judged before the next answer."""
    replied: float = NEVER_HEARD
    owed: Heartbeat | None = None
    """A heartbeat of the peer that is answered with our next one: nothing in it is new to us."""
    answered: int = 0
    """Heartbeats answered at once since the link came up, so that its round trip can be measured."""
    held: dict[ShardId, tuple[Fence, float]] = field(default_factory=dict)
    trips_s: list[float] = field(default_factory=list)
    measured: bool = False
    """Its round trip has been told since it came up."""

    def want(self, shard: ShardId, fence: Fence | None) -> None:
        """Ask for a shard's lease from the next heartbeat on; None: no longer."""
        if self.wanted.get(shard) == fence:
            return
        if fence is None:
            del self.wanted[shard]
        else:
            self.wanted[shard] = fence
        self.version, self.known = self.version + 1, False

    def beat(self, now: float) -> Heartbeat:
        """Make the next heartbeat."""
        return Heartbeat(now, self.version, None if self.known else tuple(self.wanted.items()))

    def may_wait(self, m: Heartbeat) -> bool:
        """Say whether the answer may go with our next heartbeat: half the messages, and a lease a little older.

        What is asked for the first time is answered at once, and so are the first heartbeats of a link.
        """
        return m.wanted is None and m.version == self.their_version and self.answered > 2 * TRIPS_MEASURED

    def asked(self, m: Heartbeat, now: float, grants: Callable[[ShardId, NodeId, Fence], bool]) -> HeartbeatReply:
        """Answer a peer's heartbeat: everything on its list is granted, except what is named.

        It may be given a beat after the heartbeat came, so it is no sign of life: whoever takes the frame notes that.
        """
        if m.wanted is not None:
            self.their_version, self.their_wanted, self.refused_now = m.version, m.wanted, None
        if m.version != self.their_version:
            return HeartbeatReply(m.sent_at, 0, ())
        self.replied = now
        if self.refused_now is None:
            self.refused_now = tuple(s for s, fence in self.their_wanted if not grants(s, self.peer, fence))
        return HeartbeatReply(m.sent_at, m.version, self.refused_now)

    def granted(self, m: HeartbeatReply, now: float) -> bool:
        """Take the answer to a heartbeat; says whether any lease was won or prolonged."""
        self.heard = now
        if m.version == 0:
            self.known = False
        if m.version != self.version:
            return False
        self.known = True
        if len(self.trips_s) < TRIPS_MEASURED:
            self.trips_s.append(now - m.sent_at)
        until, held = m.sent_at + lease_held_s(self.timers), self.held
        for shard, fence in self.wanted.items():
            if shard in m.refused:
                continue
            if shard not in held or held[shard][1] < until or held[shard][0] != fence:
                held[shard] = (fence, until)
        return bool(self.wanted)

    def carry(self, shard: ShardId, old: Fence, new: Fence) -> None:
        """Keep a lease in the next epoch: its grantor is a member there too."""
        held = self.held.get(shard)
        if held is not None and held[0] == old:
            self.held[shard] = (new, held[1])

    def trip_s(self) -> float | None:
        """Return the median round trip, once enough heartbeats were answered since the link came up."""
        return median(self.trips_s) if len(self.trips_s) == TRIPS_MEASURED else None


class LinkTable:
    """All ties of a node; what pairs read of them (``Leases``), and what a jump of the clock does to them."""

    def __init__(self, *, timers: Timers, serial: Callable[[], int]) -> None:
        """Args: ``serial`` gives a random number to start a link's list versions from."""
        self._timers = timers
        self._serial = serial
        self._links: dict[NodeId, Link] = {}

    def watch(self, peer: NodeId, now: float) -> Link:
        """Look a link up; one that is new is given time to come up."""
        link = self._links.get(peer)
        if link is None:
            heard = now + GRACE_RATIO * self._timers.standby_silence_s
            link = self._links[peer] = Link(peer, self._timers, heard, self._serial())
        return link

    def find(self, peer: NodeId) -> Link | None:
        """Look a link up."""
        return self._links.get(peer)

    def all(self) -> Iterable[Link]:
        """List the links, oldest first."""
        return tuple(self._links.values())

    def drop(self, peer: NodeId) -> None:
        """Forget a link that nothing needs; its grants must have run out."""
        self._links.pop(peer, None)

    def judge_anew(self) -> None:
        """Note that a copy stands otherwise than before: whose lease is refused is judged before the next answer."""
        for link in self._links.values():
            link.refused_now = None

    def jumped(self, step_s: float, now: float) -> None:
        """Restart every silence after a step of L/4; above L, no lease is held any more either."""
        for link in self._links.values():
            link.heard = max(link.heard, now)
            if step_s > self._timers.lease_s:
                link.held.clear()

    def lease_until(self, shard: ShardId, peer: NodeId, fence: Fence) -> float:
        """Until when the peer's lease of the shard, granted in that epoch, holds; in the past if it never did."""
        link = self._links.get(peer)
        held = None if link is None else link.held.get(shard)
        return held[1] if held is not None and held[0] == fence else NEVER_HEARD

    def replied_at(self, peer: NodeId) -> float:
        """When this node last answered, and so may have granted, a heartbeat of the peer; -inf: never."""
        link = self._links.get(peer)
        return NEVER_HEARD if link is None else link.replied

    def heard_at(self, peer: NodeId, now: float) -> float:
        """When the peer last gave a sign of life; the start of watching, and a grace, if it never did."""
        return self.watch(peer, now).heard

    def refused(self, peer: NodeId) -> bool:
        """Say whether the peer's stream was reset and connects are refused."""
        link = self._links.get(peer)
        return link is not None and link.refused
