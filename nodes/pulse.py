"""A node's pulse: heartbeats to its partners, what it sees of them, and whether its own clock jumped."""

from collections.abc import Callable, Sequence

from core.assignments import Fence
from core.machine import NEVER
from core.names import NodeId, ShardId, dc_of
from core.ports import Clock, Timer
from core.rhythm import Rhythm
from core.timers import Timers
from core.topology import Topology, rtt_s
from nodes.frames import Heartbeat, HeartbeatReply
from nodes.link import NEVER_HEARD, Link, LinkTable
from nodes.pair_rules import lease_granted_s
from nodes.turn import Turn
from nodes.views import Observation
from nodes.world import Tell

LOOK_RATIO = 0.5
"""Of a heartbeat interval: so long before a beat the clock is compared once more..."""
LOOKED_RATIO = 0.65
"""...unless something has made us compare it since so long before the beat."""
TELL_RATIO = 1.5
"""Of a heartbeat interval: a silence that goes on is told again after this, so at every second beat."""
LISTEN_GAP_S = 0.002
"""After the moment at which a silence is long enough: rounding must not find it too short by a hair."""


class Pulse:
    """Beats once per heartbeat interval; calls ``swept`` with each beat and ``jumped`` after a step above a lease.

    A wake-up costs more than what is done in it, so there are as few timers as the waits allow: the beats stand in the
    process's ``rhythm``; silence has a timer of its own only when it can end before the next beat; and the clock is
    compared by whatever happens anyway. ``stepped`` is called after every step of the clock that counts.
    """

    def __init__(
        self,
        *,
        node: NodeId,
        topology: Topology,
        timers: Timers,
        rhythm: Rhythm,
        clock: Clock,
        links: LinkTable,
        turn: Turn,
        tell: Tell,
        partners: Callable[[], frozenset[NodeId]],
        grants: Callable[[ShardId, NodeId, Fence], bool],
        swept: Callable[[float], None],
        silent: Callable[[frozenset[NodeId]], None],
        stepped: Callable[[], None],
        jumped: Callable[[float], None],
    ) -> None:
        self._node = node
        self._topology = topology
        self._timers = timers
        self._rhythm = rhythm
        self._clock = clock
        self._links = links
        self._turn = turn
        self._tell = tell
        self._partners = partners
        self._grants = grants
        self._swept = swept
        self._silent = silent
        self._stepped = stepped
        self._jumped = jumped
        self._beating: Timer | None = None
        self._looking: Timer | None = None
        self._listening: Timer | None = None
        self._jump_s = timers.jump_s
        self._looked_s = LOOKED_RATIO * timers.heartbeat_s
        self._seen_at = clock.now()
        self._beat_at = self._silence_told_at = NEVER_HEARD
        self._silence_told: frozenset[NodeId] = frozenset()
        self._met: list[Link] = []
        """To the partners that got the last heartbeat..."""
        self._met_are: frozenset[NodeId] = frozenset()
        """...who these are."""
        self._forget_s = 2 * lease_granted_s(timers)

    def start(self) -> None:
        """Begin."""
        self._seen_at = self._clock.now()
        self._beat_on()

    def stop(self) -> None:
        """End."""
        for timer in (self._beating, self._looking, self._listening):
            if timer is not None:
                timer.cancel()

    def look(self) -> float:
        """Compare the clock with the last turn's, before old observations are acted upon; return the time."""
        now = self._clock.now()
        step_s, self._seen_at = now - self._seen_at, now
        if step_s > self._jump_s:
            self._jump(step_s)
        if self._looking is not None and now >= self._beat_at - self._looked_s:
            self._looking.cancel()
            self._looking = None
        return now

    def up(self, peer: NodeId) -> None:
        """Note that a stream stands."""
        link = self._links.watch(peer, self._clock.now())
        link.up, link.refused, link.known = True, False, False
        link.trips_s.clear()
        link.owed, link.answered, link.measured = None, 0, False

    def down(self, peer: NodeId, refused: bool) -> None:
        """Note that a stream broke."""
        link = self._links.watch(peer, self._clock.now())
        link.up, link.refused = False, refused

    def heard(self, peer: NodeId) -> Link:
        """Look at the clock, and note a sign of life; returns whose."""
        now = self.look()
        link = self._links.watch(peer, now)
        link.heard = now
        return link

    def asked(self, link: Link, m: Heartbeat) -> None:
        """Answer a heartbeat that was just heard: at once, or with our own next one."""
        if link.may_wait(m):
            link.owed = m
            return
        link.answered += 1
        self._answer(link, m, self._seen_at)

    def granted(self, link: Link, m: HeartbeatReply) -> bool:
        """Take an answer that was just heard; says whether a lease was won or prolonged."""
        return link.granted(m, self._seen_at)

    def observations(self) -> Sequence[Observation]:
        """Say what this node sees of its partners."""
        return [Observation(link.peer, link.heard, link.refused) for link in self._met]

    def _jump(self, step_s: float) -> None:
        """Restart every silence above L/4; above L, no lease holds and nothing is answered until confirmed."""
        self._links.jumped(step_s, self._seen_at)
        self._stepped()
        if step_s > self._timers.lease_s:
            self._tell("clock.jumped", {"step_s": round(step_s, 3)})
            self._jumped(step_s)

    def _beat_on(self) -> None:
        """Send every partner a heartbeat; again at the rhythm's next moment."""
        self.look()
        now, partners = self._seen_at, self._partners()
        self._beat_at = self._rhythm.after(now)
        if partners is not self._met_are:
            self._met_are, self._met = partners, [self._links.watch(peer, now) for peer in sorted(partners)]
        for link in self._met:
            self._turn.send(link.peer, link.beat(now), bulk=False)
            if not link.measured:
                self._measure(link)
        for link in self._links.all():
            if link.owed is not None:
                self._answer(link, link.owed, now)
            if link.peer not in partners and now > link.replied + self._forget_s:
                self._links.drop(link.peer)
        self._swept(now)
        self._listen(now)
        self._look_between(now)
        self._beating = self._clock.call_at(self._beat_at, self._beat_on)

    def _look_between(self, now: float) -> None:
        """Compare the clock once before the next beat, unless something happens that does it."""
        at = self._beat_at - LOOK_RATIO * self._timers.heartbeat_s
        if at > now:
            self._looking = self._clock.call_at(at, self._look_on)

    def _look_on(self) -> None:
        self.look()

    def _answer(self, link: Link, m: Heartbeat, now: float) -> None:
        link.owed = None
        self._turn.send(link.peer, link.asked(m, now, self._grants), bulk=False)

    def _listen_on(self) -> None:
        self.look()
        self._listen(self._seen_at)

    def _listen(self, now: float) -> None:
        """Tell who is silent for too long, and again while they are; come back when the next one may be."""
        who: set[NodeId] = set()
        partners, due = self._partners(), NEVER
        for link in self._links.all():
            if link.peer in partners:
                at = link.heard + self._timers.standby_silence_s
                if now > at:
                    who.add(link.peer)
                elif at < due:
                    due = at
        if who:
            self._tell_silent(frozenset(who), now)
        if due + LISTEN_GAP_S < self._beat_at:
            self._listening = self._clock.call_at(due + LISTEN_GAP_S, self._listen_on)

    def _tell_silent(self, silent: frozenset[NodeId], now: float) -> None:
        again = now >= self._silence_told_at + TELL_RATIO * self._timers.heartbeat_s
        if again or silent != self._silence_told:
            self._silence_told, self._silence_told_at = silent, now
            self._silent(silent)

    def _measure(self, link: Link) -> None:
        """Tell once per link what its round trip is, next to what the topology asks for."""
        trip_s = link.trip_s()
        if trip_s is not None:
            link.measured = True
            here, there = (self._topology.data_center(dc_of(node)) for node in (self._node, link.peer))
            asked_ms = round(rtt_s(here, there) * 1000, 3)
            self._tell("link.measured", {"peer": link.peer, "asked_ms": asked_ms, "seen_ms": round(trip_s * 1000, 3)})
