"""Who leads: the control plane that raised the store's term last (C7).

Safety lies in the store: it raises each term for one caller only, and refuses writes under an older one. This machine
only sees to it that somebody stands soon when the leader is gone, and nobody when it is not. At most one control plane
leads per term; a leader that learns of a higher term steps down at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from control_plane.ports import Applied, StaleTerm, Unknown, WriteAnswer
from control_plane.views import ConferView, LeaderView
from core.fleet_map import Revision
from core.machine import NEVER, Output
from core.names import ControlPlaneId, NodeId
from core.timers import Timers

MISSED_BEATS = 2
"""A peer's silence counts only when it has missed this many of the leader's heartbeats itself."""
QUIET_BEATS = 4
"""Of the leader's: as long as it is heard, followers only show each other that they live, and no beat is answered."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A heartbeat of another control plane, or its answer to ours."""

    beat: ConferView


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The stream to another control plane broke; ``refused``: reset, and connects were refused."""

    peer: ControlPlaneId
    refused: bool


@dataclass(frozen=True, slots=True)
class Raised:
    """The store's answer to RaiseTerm."""

    term: int
    answer: WriteAnswer


@dataclass(frozen=True, slots=True)
class Deposed:
    """The store said StaleTerm to a write of ours."""

    term: int


@dataclass(frozen=True, slots=True)
class Jumped:
    """The clock made a step between two loop turns."""

    step_s: float


@dataclass(frozen=True, slots=True)
class TermRead:
    """The store's answer to ReadTerm; None: none came."""

    term: int | None


@dataclass(frozen=True, slots=True)
class LockSeen:
    """Who holds the leader lock; None: the lock service does not answer."""

    holder: ControlPlaneId | None


Event: TypeAlias = Heard | PeerLost | Raised | Deposed | Jumped | TermRead | LockSeen


@dataclass(frozen=True, slots=True)
class Beat:
    """Send a heartbeat to every other control plane."""


@dataclass(frozen=True, slots=True)
class AskLock:
    """Try to take the leader lock, which only avoids duels."""


@dataclass(frozen=True, slots=True)
class RaiseTerm:
    """Raise the store's term."""

    term: int


@dataclass(frozen=True, slots=True)
class ReadTerm:
    """Read the store's term linearizably."""


@dataclass(frozen=True, slots=True)
class Lead:
    """This control plane leads from now on."""

    term: int


@dataclass(frozen=True, slots=True)
class StepDown:
    """It does not any more."""

    cause: str


Action: TypeAlias = Beat | AskLock | RaiseTerm | ReadTerm | Lead | StepDown


NEVER_BEATEN = float("-inf")


@dataclass(slots=True)
class _Peer:
    heard_at: float
    claimed_silent_s: float = 0.0
    """How long it had not heard the leader, when it last spoke."""
    refused: bool = False


@dataclass(slots=True)
class Election:
    """One control plane's part in the election."""

    me: ControlPlaneId
    order: Sequence[ControlPlaneId]
    """All control planes, in the order of candidacy."""
    timers: Timers
    rtt_s: Mapping[ControlPlaneId, float]
    """Round trips to each of the others."""
    started_at: float
    term: int = 0
    """The highest term known; never falls."""
    leads: bool = False
    leader: ControlPlaneId | None = None
    heard_at: float = field(init=False)
    """When the leader was last heard, or something else that makes waiting right."""
    _peers: dict[ControlPlaneId, _Peer] = field(default_factory=dict)
    _raising: int | None = None
    _reading: bool = False
    _not_before: float = 0.0
    _beaten_at: float = NEVER_BEATEN
    _ask_at: float = 0.0
    _locked_by: ControlPlaneId | None = None
    _lock_asked: bool = False
    _view: LeaderView = field(init=False)
    _place: Mapping[ControlPlaneId, int] = field(init=False)

    def __post_init__(self) -> None:
        self.heard_at = self.started_at
        self._not_before = self.started_at
        self._view = LeaderView(None, self.term)
        self._place = {peer: place for place, peer in enumerate(self.order)}

    def on(self, event: Event, now: float) -> Output[Action]:
        """Take one event."""
        return self._output(self._take(event, now), now)

    def wake(self, now: float) -> Output[Action]:
        """Let time pass."""
        return self._output([], now)

    def beat(self, now: float, revision: Revision, misses: tuple[NodeId, ...] = ()) -> ConferView:
        """Write a heartbeat, or the answer to one; ``misses``: the nodes that are not heard here."""
        silent_ms = 0 if self.leads else round((now - self.heard_at) * 1000)
        return ConferView(self.me, self.term, self.leads, silent_ms, revision, misses)

    def owes(self, beat: ConferView, now: float) -> bool:
        """Say whether a heartbeat is to be answered: its sender misses the leader, or one of us knows news.

        Nobody waits for another answer, and each costs as much as a heartbeat.
        """
        missed_ms = 1000 * MISSED_BEATS * self.timers.leader_heartbeat_s
        return beat.leader_silent_ms >= missed_ms or beat.term != self.term or self._misses_leader(now)

    def view(self) -> LeaderView:
        """Say who leads: the very same object until that changes."""
        if self._view.leader != self.leader or self._view.term != self.term:
            self._view = LeaderView(self.leader, self.term)
        return self._view

    def living(self, now: float) -> int:
        """Count the control planes heard lately, this one included."""
        return 1 + sum(now - peer.heard_at < 2.5 * self.timers.takeover_s for peer in self._peers.values())

    def _take(self, event: Event, now: float) -> list[Action]:
        match event:
            case Heard():
                return self._heard(event.beat, now)
            case PeerLost(peer, refused):
                if peer in self._peers:
                    self._peers[peer].refused = refused
                return []
            case Raised(term, answer):
                return self._raised(term, answer, now)
            case Deposed(term):
                return self._newer(term, now)
            case Jumped(step_s):
                return self._jumped(step_s, now)
            case TermRead(term):
                return self._read(term, now)
            case LockSeen(holder):
                self._locked_by = holder
                return []
            case _:
                assert_never(event)

    def _heard(self, beat: ConferView, now: float) -> list[Action]:
        peer = self._peers.get(beat.control_plane)
        if peer is None:
            peer = self._peers[beat.control_plane] = _Peer(now)
        peer.heard_at, peer.claimed_silent_s, peer.refused = now, beat.leader_silent_ms / 1000, False
        actions = self._newer(beat.term, now)
        if beat.leads and beat.term == self.term and not self.leads:
            self.leader, self.heard_at = beat.control_plane, now
            self._lock_asked, self._locked_by = False, None
        return actions

    def _newer(self, term: int, now: float) -> list[Action]:
        """Note a higher term: whoever raised it is given a full take-over to be heard."""
        if term <= self.term:
            return []
        self.term, self.leader, self.heard_at = term, None, now
        return self._step_down(f"term {term} has begun")

    def _step_down(self, cause: str) -> list[Action]:
        if not self.leads:
            return []
        self.leads = False
        return [StepDown(cause)]

    def _raised(self, term: int, answer: WriteAnswer, now: float) -> list[Action]:
        self._raising = None
        if isinstance(answer, StaleTerm):
            return self._lost(max(term, answer.term), now)
        if isinstance(answer, Unknown) or answer != (Applied(),):
            return self._lost(term, now)
        if term < self.term:
            return []
        self.term, self.leader, self.leads, self.heard_at = term, self.me, True, now
        self._beaten_at = NEVER_BEATEN
        return [Lead(term)]

    def _lost(self, term: int, now: float) -> list[Action]:
        """Wait a full take-over: somebody else was first, or it is not known whether we were."""
        self._not_before = now + self.timers.takeover_s + self._rank() * self.timers.stagger_s
        return self._newer(term, now)

    def _jumped(self, step_s: float, now: float) -> list[Action]:
        if step_s <= self.timers.jump_s:
            return []
        self.heard_at = now
        self._peers = {peer: _Peer(now) for peer in self._peers}
        if step_s <= self.timers.lease_s or not self.leads:
            return []
        self._reading = True
        return [*self._step_down(f"this process stood still for {step_s:.1f} s"), ReadTerm()]

    def _read(self, term: int | None, now: float) -> list[Action]:
        """Lead on under the same term if nobody has raised it meanwhile."""
        if not self._reading or self.leader != self.me:
            self._reading = False
            return []
        if term is None:
            return [ReadTerm()]
        self._reading = False
        if term > self.term:
            return self._newer(term, now)
        self.leads, self.heard_at = True, now
        return [Lead(self.term)]

    def _output(self, actions: list[Action], now: float) -> Output[Action]:
        """Add what is due, and say when more may be; each moment is worked out once, as every heartbeat comes here."""
        beat_at = self._beat_at(now)
        if now >= beat_at:
            self._beaten_at = now
            actions.append(Beat())
            beat_at = self._beat_at(now)
        if self.leads or self._raising is not None:
            return Output(tuple(actions), beat_at)
        lock_at, stand_at = self._candidacy()
        if not self._lock_asked and now >= lock_at:
            self._lock_asked = True
            actions.append(AskLock())
        stands = not self._reading and now >= stand_at and self._stand(actions, now)
        if stands or self._reading:
            return Output(tuple(actions), beat_at)
        if stand_at <= now:
            stand_at = max(self._ask_at, now + 0.001)
        return Output(tuple(actions), min(beat_at, NEVER if self._lock_asked else lock_at, stand_at))

    def _stand(self, actions: list[Action], now: float) -> bool:
        """Raise the term, or ask the others for what they see; says whether the term is being raised."""
        if self._all_miss_it(now):
            self._raising = self.term + 1
            actions.append(RaiseTerm(self._raising))
            return True
        if now >= self._ask_at:
            self._ask_at = now + self.timers.stagger_s / 2
            actions.append(Beat())
        return False

    def _beat_at(self, now: float) -> float:
        """Say when the next heartbeat is due: followers need each other's views only when the leader misses beats."""
        soon_at = self._beaten_at + self.timers.leader_heartbeat_s
        missed_at = self._missed_at()
        if self.leads or now >= missed_at:
            return soon_at
        return min(self._beaten_at + QUIET_BEATS * self.timers.leader_heartbeat_s, max(soon_at, missed_at))

    def _misses_leader(self, now: float) -> bool:
        return not self.leads and now >= self._missed_at()

    def _missed_at(self) -> float:
        return self.heard_at + MISSED_BEATS * self.timers.leader_heartbeat_s

    def _candidacy(self) -> tuple[float, float]:
        """Say when to ask for the lock, and when to stand, if the leader is not heard by then."""
        wait_s, turn_s = self._wait_s(), self._rank() * self.timers.stagger_s
        lock_at, stand_at = self.heard_at + wait_s / 2 + turn_s, self.heard_at + wait_s + turn_s
        if stand_at < self._not_before:
            stand_at = self._not_before
        rival = self._locked_by not in (None, self.me, self.leader)
        return lock_at, stand_at + len(self.order) * self.timers.stagger_s if rival else stand_at

    def _wait_s(self) -> float:
        """A reset and refused connects are strong evidence and shorten the wait; silence needs the full one."""
        peer = self._peers.get(self.leader) if self.leader is not None else None
        if self.leader is None or peer is None or not peer.refused:
            return self.timers.takeover_s
        return min(self.timers.takeover_s, self.timers.reset_wait_s + 3 * self.rtt_s[self.leader])

    def _rank(self) -> int:
        """Say how many others stand before this one: the leader that is gone does not."""
        before = self._place[self.me]
        return before - (self.leader is not None and self._place.get(self.leader, before) < before)

    def _all_miss_it(self, now: float) -> bool:
        """Say whether a majority of the control planes, this one included, have not heard the leader either."""
        agreeing = 1 + sum(self._misses(peer, now) for peer in self.order if peer != self.me)
        return agreeing > len(self.order) // 2

    def _misses(self, peer: ControlPlaneId, now: float) -> bool:
        said = self._peers.get(peer)
        beat_s = self.timers.leader_heartbeat_s
        if said is None or said.claimed_silent_s < MISSED_BEATS * beat_s:
            return False
        age_s = now - said.heard_at
        fresh = age_s <= MISSED_BEATS * beat_s + self.rtt_s[peer]
        return fresh and said.claimed_silent_s + age_s >= self._wait_s()
