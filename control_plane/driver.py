"""Hosts one control plane: gives the machines their events, performs their actions through the ports.

Everything here runs on one thread, in callbacks; nothing awaits. Errors that a caller can act on are raised at once by
what answers at once, and given to ``done`` by what answers later.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, assert_never

from control_plane.catalog import Catalog, partitions_of
from control_plane.election import Action as ElectionAction
from control_plane.election import (
    AskLock,
    Beat,
    Deposed,
    Election,
    Heard,
    Jumped,
    Lead,
    LockSeen,
    PeerLost,
    Raised,
    RaiseTerm,
    ReadTerm,
    StepDown,
    TermRead,
)
from control_plane.election import Event as ElectionEvent
from control_plane.leader import Leader, World
from control_plane.office import Office
from control_plane.placement import SimplePlacement
from control_plane.ports import (
    FLEET,
    Applied,
    AssignmentStore,
    LeaderLock,
    MapSink,
    Nodes,
    Peers,
    ReadAnswer,
    Unknown,
    WriteAnswer,
)
from control_plane.reception import Reception
from control_plane.records_reader import records_in
from control_plane.roster import NO_NEWS, News, Roster
from control_plane.store_rules import nearest_majority_s
from control_plane.views import ConferView, LeaderView, RegisterView, ReportView
from control_plane.wire import event_to_bytes
from core.assignments import Assignment
from core.errors import NotLeaderError
from core.fleet_map import NO_REVISION, Delta, FleetMap, Revision
from core.machine import NEVER, Output
from core.names import ControlPlaneId, NodeId, ShardId, TenantName, dc_of
from core.ports import Clock, Rng, Timer
from core.proposals import Proposal, ProposalAnswer
from core.timers import Timers
from core.topology import Topology, rtt_table_s

Tell: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Where an event name and facts go: the process's log."""


class ControlPlaneDriver:
    """One control plane, leading or not.

    What only the leader may answer raises NotLeaderError elsewhere, with ``leader`` and ``leader_endpoint`` as facts
    when they are known. Every ``done`` is called exactly once, possibly inside the call that was given it.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        control_plane: ControlPlaneId,
        timers: Timers,
        clock: Clock,
        rng: Rng,
        store: AssignmentStore,
        lock: LeaderLock,
        nodes: Nodes,
        peers: Peers,
        tell: Tell,
    ) -> None:
        self.fleet_map = FleetMap(topology)
        """The map as this control plane knows it; serve it on, never change it."""
        self._catalog = Catalog(self.fleet_map, published=self._published)
        self._me = control_plane
        self._timers = timers
        self._clock = clock
        self._rng = rng
        self._store = store
        self._lock = lock
        self._nodes = nodes
        self._peers = peers
        self._tell = tell
        self._rtt_s = rtt_table_s(topology)
        self._sinks: list[MapSink] = []
        self._leader_wakes: list[Callable[[LeaderView], None]] = []
        self._timer: Timer | None = None
        self._timer_at = NEVER
        self._leader: Leader | None = None
        self._candidate: Leader | None = None
        self._homes = partitions_of(topology)
        order = [cp.id for cp in topology.control_planes]
        trips = {cp: self._rtt_s[dc_of(control_plane), dc_of(cp)] for cp in order}
        self._roster = Roster(topology, timers, clock.now())
        self._election = Election(control_plane, order, timers, trips, clock.now())
        self._led = self._election.view()
        self.reception = Reception(self, control_plane, self._catalog, self._roster, timers, clock)
        """Answers people."""

    def start(self) -> None:
        """Begin; call once."""
        self._wake()

    def stop(self) -> None:
        """Stop timers; nothing relies on it being called."""
        if self._timer is not None:
            self._timer.cancel()
        for leader in (self._leader, self._candidate):
            if leader is not None:
                leader.close("this control plane stops")

    def jumped(self, step_s: float) -> None:
        """Note that the clock made a step between two loop turns: the process was stopped, or the loop blocked."""
        if step_s > self._timers.jump_s:
            self._roster.reset(self._clock.now())
        self._elect(Jumped(step_s))

    # Other control planes.

    def confer(self, beat: ConferView, *, first: bool) -> ConferView | None:
        """Take another control plane's heartbeat; says what to answer at once, or None when all is quiet.

        The ``first`` one of a stream is always answered, so that its sender knows that somebody lives at its end.
        """
        now = self._clock.now()
        self._spoke(beat, now)
        return self._own_beat() if first or self._election.owes(beat, now) else None

    def conferred(self, answer: ConferView) -> None:
        """Take the answer to a heartbeat that went out through ``Peers``."""
        self._spoke(answer, self._clock.now())

    def peer_down(self, peer: ControlPlaneId, refused: bool) -> None:
        """Note that the stream to another control plane broke; ``refused``: reset, and connects were refused."""
        self._elect(PeerLost(peer, refused))

    # Nodes.

    def registered(self, view: RegisterView) -> LeaderView:
        """Take a node's registration."""
        self._heard(view.node, self._roster.registered(view, self._clock.now()))
        return self._led

    def reported(self, view: ReportView) -> LeaderView:
        """Take a node's report; one that has heard of a later leader, or followed its map, is word of it (C7)."""
        term = max(view.map.term, view.term_max)
        if term > self._election.term:
            self._elect(Deposed(term))
        self._heard(view.node, self._roster.reported(view, self._clock.now()))
        return self._led

    def still(self, node: NodeId, loop_lag_ms: int, *, trip_s: float) -> LeaderView:
        """Take a report that differs in nothing from the one before it on its stream, ``trip_s`` before it is due."""
        self._heard(node, self._roster.still(node, loop_lag_ms, self._clock.now() + trip_s))
        return self._led

    def report_broken(self, node: NodeId) -> None:
        """Note that a node's report stream broke."""
        self._roster.broken(node, self._clock.now())
        if self._leader is not None:
            self._leader.again()

    def propose(
        self, node: NodeId, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]
    ) -> None:
        """Write changes that a primary asks for; answers in the same order.

        Raises:
            NotLeaderError: another control plane leads; certainly not done.
            UnavailableError: nothing is written now; certainly not done.
            OverloadedError: too much waits for the store; certainly not done.
        """
        self.leading().propose(node, proposals, done)

    def record(self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | Unknown], None]) -> None:
        """Read records linearizably from the store; any control plane can."""
        wanted = {shard for shard in shards if shard in self._homes}
        partitions = sorted({self._homes[shard] for shard in wanted}, key=lambda p: (str(p.geography), p.segment))

        def answered(answer: ReadAnswer) -> None:
            if isinstance(answer, Unknown):
                done(answer)
            else:
                done({a.shard: a for a in records_in(answer, partitions) if a.shard in wanted})

        self._store.read(partitions, answered, shards=wanted)

    # The map.

    def follow_map(self, sink: MapSink) -> None:
        """Tell a sink each change of ``fleet_map`` from now on."""
        self._sinks.append(sink)

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        """Take a snapshot of the leader's map; raises MalformedError for a bad one, and stays on the last good one."""
        if self._leader is not None:
            return
        self._catalog.replace(revision, assignments, overrides, at_ms=self._clock.wall_ms())
        for sink in self._sinks:
            sink.replaced()

    def map_stepped(self, delta: Delta) -> None:
        """Take a step of the leader's map; raises PositionGoneError when a snapshot is needed, or MalformedError."""
        if self._leader is not None:
            return
        self._catalog.step(delta, self._clock.wall_ms())
        self._published(delta)

    def map_age_ms(self) -> int:
        """Say how long ago the leader was heard; 0 at the leader."""
        return self._election.beat(self._clock.now(), self.fleet_map.revision).leader_silent_ms

    # Who leads.

    def leader(self) -> LeaderView:
        """Say who leads."""
        return self._led

    def follow_leader(self, led: Callable[[LeaderView], None]) -> None:
        """Call ``led`` whenever somebody else leads, or nobody known, or in another term."""
        self._leader_wakes.append(led)

    def leading(self) -> Leader:
        """Give the leader that this control plane is; raises NotLeaderError."""
        if self._leader is None:
            known = self._election.leader
            endpoint = self.fleet_map.topology.control_plane(known).endpoint if known is not None else None
            raise NotLeaderError(f"{self._me} does not lead", leader=known, leader_endpoint=endpoint)
        return self._leader

    def office(self) -> Office | None:
        """Give the leader's office; None: this control plane does not lead, or has not read its records yet."""
        return self._leader.office if self._leader is not None else None

    def living(self) -> int:
        """Count the control planes heard lately, this one included."""
        return self._election.living(self._clock.now())

    # The election.

    def _spoke(self, beat: ConferView, now: float) -> None:
        self._roster.spoke(beat, now)
        self._do(self._election.on(Heard(beat), now))

    def _elect(self, event: ElectionEvent) -> None:
        self._do(self._election.on(event, self._clock.now()))

    def _do(self, output: Output[ElectionAction]) -> None:
        for action in output.actions:
            self._act(action)
        self._wake_by(output.wake_at)
        led = self._election.view()
        if led is not self._led:
            self._led = led
            for wake in self._leader_wakes:
                wake(led)

    def _wake_by(self, at: float) -> None:
        """Set the timer; one that goes off too early does no harm, so it is only ever moved forward."""
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self._clock.call_at(at, self._wake), at

    def _wake(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self._do(self._election.wake(self._clock.now()))

    def _act(self, action: ElectionAction) -> None:
        match action:
            case Beat():
                self._beat()
            case AskLock():
                self._lock.try_acquire(self._me, self._timers.takeover_s, lambda who: self._elect(LockSeen(who)))
            case RaiseTerm(term):
                self._stand(term)
            case ReadTerm():
                self._store.read([FLEET], self._term_read)
            case Lead(term):
                self._lead(term)
            case StepDown(cause):
                self._step_down(cause)
            case _:
                assert_never(action)

    def _own_beat(self) -> ConferView:
        now, election = self._clock.now(), self._election
        return election.beat(now, self.fleet_map.revision, () if election.leads else self._roster.missed(now))

    def _beat(self) -> None:
        beat = self._own_beat()
        for peer in self.fleet_map.topology.control_planes:
            if peer.id != self._me:
                self._peers.confer(peer.id, beat)

    def _stand(self, term: int) -> None:
        """Raise the term, and read beside it what a leader must know."""
        asked_at = self._clock.now()
        candidate = self._new_leader(term)
        self._candidate = candidate

        def answered(answer: WriteAnswer) -> None:
            if answer == (Applied(),):
                self._measured(self._clock.now() - asked_at)
            self._elect(Raised(term, answer))
            if self._candidate is candidate:
                self._candidate = None
                candidate.close("another was first")

        self._store.raise_term(term, answered)
        candidate.stand()

    def _measured(self, seen_s: float) -> None:
        sites = self.fleet_map.topology.fleet_vote_sites
        home = dc_of(self._me)
        trip_s = nearest_majority_s(home, sites, living=frozenset(sites), rtt_s=dict(self._rtt_s)) or 0.0
        self._tell("store.measured", {"site_trip_ms": round(trip_s * 1000, 1), "seen_ms": round(seen_s * 1000, 1)})

    def _lead(self, term: int) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is None or candidate.term != term:
            candidate = self._new_leader(term)
            candidate.stand()
        self._leader = candidate
        candidate.win()

    def _step_down(self, cause: str) -> None:
        if self._leader is not None:
            self._leader.close(cause)
            self._leader = None

    def _term_read(self, answer: ReadAnswer) -> None:
        if isinstance(answer, Unknown):
            later = self._clock.now() + self._timers.takeover_s / 2
            self._clock.call_at(later, lambda: self._elect(TermRead(None)))
        else:
            self._elect(TermRead(answer[FLEET].term))

    def _new_leader(self, term: int) -> Leader:
        return Leader(
            World(
                me=self._me,
                timers=self._timers,
                clock=self._clock,
                rng=self._rng,
                store=self._store,
                nodes=self._nodes,
                roster=self._roster,
                catalog=self._catalog,
                placement=SimplePlacement(),
                deposed=lambda newer: self._elect(Deposed(newer)),
                events_added=self.reception.events_added,
                operations_changed=self.reception.operations_changed,
                encode=event_to_bytes,
                tell=self._tell,
                view=self.reception.data_center,
            ),
            term,
        )

    # What others are told.

    def _heard(self, node: NodeId, news: News) -> None:
        if self._leader is not None and news is not NO_NEWS:
            self._leader.heard(node, news)

    def _published(self, delta: Delta) -> None:
        """The first step of a map that was empty is a whole map."""
        for sink in self._sinks:
            if delta.base == NO_REVISION:
                sink.replaced()
            else:
                sink.stepped(delta)
