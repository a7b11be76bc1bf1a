"""What the nodes have told this control plane: who lives, what each sees of the others, which copies it holds.

Followers keep it too, so that a new leader judges at once. Reports bring differences; nothing here is recomputed for
the whole fleet when one of them arrives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from control_plane.views import ConferView, Observation, RegisterView, ReportView, Sight
from core.assignments import Fence
from core.copies import CopyView
from core.fleet_map import NO_REVISION, Revision
from core.names import ControlPlaneId, NodeId, ShardId
from core.timers import Timers
from core.topology import Topology

MISSED_REPORTS = 5
"""An observer is fresh when its last report is at most this many probe intervals old; without news one comes every
second or third interval."""
FRESH_S = 0.3
"""And always when it is at most this old: a busy machine is late by as much."""

Target = NodeId | ControlPlaneId


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation, and when it came in."""

    observation: Observation
    at: float


@dataclass(slots=True)
class Presence:
    """One node."""

    node: NodeId
    heard_at: float
    """When it last registered or reported, or from when on its silence counts."""
    reports: int = 0
    """Since this control plane started, or last stood still; 0: nothing was heard of it."""
    broken_at: float | None = None
    """When its report stream broke; None: it stands."""
    disk_id: str = ""
    process_id: int = 0
    highest: Fence = Fence(0, 0)  # noqa: RUF009 - a tuple: nobody can change it
    """The highest (incarnation, epoch) among its copies: higher than the store's when that was restored (C10)."""
    map: Revision = NO_REVISION
    loop_lag_ms: int = 0
    copies: dict[ShardId, CopyView] = field(default_factory=dict)
    sees: dict[Target, Seen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """What a report changed: whose sights, which copies; ``returned``: the node was not heard before, or restarted."""

    targets: tuple[Target, ...] = ()
    copies: tuple[CopyView, ...] = ()
    returned: bool = False


NO_NEWS = News()
RETURNED = News(returned=True)


class Roster:
    """All nodes that the topology names.

    Args:
        topology: the fleet.
        timers: what counts as fresh and as silent.
        now: when this control plane started.
    """

    def __init__(self, topology: Topology, timers: Timers, now: float) -> None:
        self._timers = timers
        self._late_s = MISSED_REPORTS * timers.probe_s
        self._fresh_s = max(FRESH_S, self._late_s)
        self.nodes: Mapping[NodeId, Presence] = {node.id: Presence(node.id, now) for node in topology.nodes}
        self.watched: dict[Target, dict[NodeId, Seen]] = {}
        """By target: who sees it how."""
        self.reset_at = now
        """From when on observations are worth anything."""
        self.doubted: set[Target] = set()
        """Targets that somebody does not see alive."""
        self.missed_elsewhere: dict[ControlPlaneId, tuple[float, tuple[NodeId, ...]]] = {}
        """By control plane, when it last spoke here, and which nodes it does not hear."""

    def registered(self, view: RegisterView, now: float) -> News:
        """Take a registration."""
        presence = self.nodes.get(view.node)
        if presence is None:
            return NO_NEWS
        returned = self._greet(presence, view.process_id, now)
        presence.disk_id, presence.highest = view.disk_id, view.highest
        return RETURNED if returned else NO_NEWS

    def reported(self, view: ReportView, now: float) -> News:
        """Take a report."""
        presence = self.nodes.get(view.node)
        if presence is None:
            return NO_NEWS
        returned = self._greet(presence, view.process_id, now)
        presence.disk_id, presence.loop_lag_ms = view.disk_id, view.loop_lag_ms
        presence.highest, presence.map = view.highest, view.map
        return News(self._observe(presence, view, now), self._copies(presence, view), returned)

    def still(self, node: NodeId, loop_lag_ms: int, heard_at: float) -> News:
        """Take a report that differs in nothing from the one before it on its stream: nearly all of an idle fleet's.

        Args:
            node: whose.
            loop_lag_ms: as it says.
            heard_at: when it has made, or would have made, its trip.
        """
        presence = self.nodes.get(node)
        if presence is None:
            return NO_NEWS
        returned = presence.reports == 0 or presence.broken_at is not None
        presence.heard_at, presence.broken_at, presence.loop_lag_ms = heard_at, None, loop_lag_ms
        presence.reports += 1
        return RETURNED if returned else NO_NEWS

    def broken(self, node: NodeId, now: float) -> None:
        """Note that a node's report stream broke."""
        presence = self.nodes.get(node)
        if presence is not None and presence.broken_at is None:
            presence.broken_at = now

    def spoke(self, beat: ConferView, now: float) -> None:
        """Take what another control plane hears, and what it does not."""
        self.missed_elsewhere[beat.control_plane] = (now, beat.misses)

    def missed(self, now: float) -> tuple[NodeId, ...]:
        """List the nodes that are not heard here."""
        silence_s = self._timers.silence_s
        return tuple(
            node
            for node, presence in self.nodes.items()
            if (presence.broken_at is not None or now - presence.heard_at >= silence_s)
            and self.own_sight(node, now) in (Sight.REFUSED, Sight.SILENT)
        )

    def reset(self, now: float) -> None:
        """Discard what was observed, and start every silence anew: this process stood still.

        Reports bring differences, and what is not seen alive is told every time: until the next report, everything
        counts as seen alive, so that an observer who misses nobody is not taken for one that reaches nobody.
        """
        self.reset_at = now
        self.doubted.clear()
        for presence in self.nodes.values():
            presence.heard_at, presence.reports = now, 0
            presence.broken_at = None if presence.broken_at is None else now
            for target in presence.sees:
                seen = presence.sees[target] = Seen(Observation(target, Sight.ALIVE, 0, paired=False), now)
                self.watched[target][presence.node] = seen

    def fresh(self, node: NodeId, now: float) -> bool:
        """Say whether a node's last report is recent enough to judge by."""
        presence = self.nodes[node]
        recent = now - presence.heard_at <= self._fresh_s
        return recent and presence.reports > 0 and presence.broken_at is None

    def lives(self, node: NodeId, now: float) -> bool:
        """Say whether a node has been heard within a silence."""
        presence = self.nodes[node]
        return (
            presence.reports > 0 and now - presence.heard_at < self._timers.silence_s and not self._gone(presence, now)
        )

    def well(self, node: NodeId, now: float) -> bool:
        """Say whether a node may be given something to do: it reports, and most who watch it see it alive."""
        if not self.fresh(node, now):
            return False
        if node not in self.doubted:
            return True
        sights = [seen.observation.sight for seen in self.watched.get(node, {}).values()]
        return 2 * sum(sight is not Sight.ALIVE for sight in sights) <= len(sights)

    def own_sight(self, node: NodeId, now: float) -> Sight:
        """Say how this control plane itself sees a node, by its report stream.

        A stream that was reset and has not come back within the wait is a refusal: the node dials anew every 40 ms.
        """
        presence = self.nodes[node]
        silent_s = now - presence.heard_at
        if self._gone(presence, now):
            return Sight.REFUSED
        if silent_s >= self._timers.silence_s:
            return Sight.SILENT
        return Sight.SUSPECT if silent_s > self._late_s or presence.broken_at is not None else Sight.ALIVE

    def accused(self, now: float) -> list[NodeId]:
        """List the nodes that somebody, or this control plane itself, does not see alive."""
        quiet_s = min(self._late_s, self._timers.silence_s)
        return [
            node
            for node, presence in self.nodes.items()
            if node in self.doubted
            or presence.broken_at is not None
            or (now - presence.heard_at >= quiet_s and self.own_sight(node, now) is not Sight.ALIVE)
        ]

    def copy(self, node: NodeId, shard: ShardId) -> CopyView | None:
        """Look up what a node last reported about its copy of a shard."""
        return self.nodes[node].copies.get(shard)

    def ready_to_judge(self, lost: Iterable[NodeId], now: float) -> bool:
        """Say whether enough is known for a verdict: fresh reports from 2/3 of the rest, or one silence has passed."""
        if now - self.reset_at >= self._timers.silence_s:
            return True
        gone = set(lost)
        asked = [node for node in self.nodes if node not in gone]
        return 3 * sum(self.fresh(node, now) for node in asked) >= 2 * len(asked)

    def _gone(self, presence: Presence, now: float) -> bool:
        return presence.broken_at is not None and now - presence.broken_at >= self._timers.reset_wait_s

    def _greet(self, presence: Presence, process_id: int, now: float) -> bool:
        returned = presence.reports == 0 or presence.process_id != process_id or presence.broken_at is not None
        if presence.process_id != process_id:
            presence.copies.clear()
        presence.heard_at, presence.broken_at, presence.process_id = max(now, presence.heard_at), None, process_id
        presence.reports += 1
        return returned

    def _observe(self, observer: Presence, view: ReportView, now: float) -> tuple[Target, ...]:
        over: Iterable[Target] = view.unwatched
        if view.complete:
            named = {observation.target for observation in view.observations}
            over = [target for target in observer.sees if target not in named]
        for target in over:
            self._forget(observer, target)
        changed = [self._see(observer, observation, now) for observation in view.observations]
        return tuple(target for target in changed if target is not None)

    def _forget(self, observer: Presence, target: Target) -> None:
        if observer.sees.pop(target, None) is not None:
            self.watched[target].pop(observer.node, None)
            self._doubt(target)

    def _see(self, observer: Presence, observation: Observation, now: float) -> Target | None:
        target = observation.target
        before = observer.sees.get(target)
        seen = Seen(observation, now)
        observer.sees[target] = seen
        self.watched.setdefault(target, {})[observer.node] = seen
        if before is not None and before.observation.sight is observation.sight:
            return None
        self._doubt(target)
        return target

    def _doubt(self, target: Target) -> None:
        if any(seen.observation.sight is not Sight.ALIVE for seen in self.watched[target].values()):
            self.doubted.add(target)
        else:
            self.doubted.discard(target)

    def _copies(self, presence: Presence, view: ReportView) -> tuple[CopyView, ...]:
        held = presence.copies
        if view.complete:
            named = {copy.shard for copy in view.copies}
            for shard in [shard for shard in held if shard not in named]:
                del held[shard]
        for shard in view.gone:
            held.pop(shard, None)
        changed = tuple(copy for copy in view.copies if held.get(copy.shard) != copy)
        held.update((copy.shard, copy) for copy in changed)
        return changed
