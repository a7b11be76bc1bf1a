"""One simulated node: the production driver, journal logic and observers, on a simulated host."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chaos.sim.network import Network
from chaos.sim.time import Host
from control_plane import views as cp
from control_plane.driver import ControlPlaneDriver
from control_plane.ports import Unknown
from core.assignments import Assignment, Fence
from core.errors import NotLeaderError, PositionGoneError, TwinholdError
from core.fleet_map import Delta, FleetMap, Revision
from core.names import ControlPlaneId, NodeId, ShardId, TenantName
from core.rhythm import Rhythm
from core.timers import Timers
from core.topology import Topology
from nodes import control_port as port
from nodes import views as nv
from nodes.app_table import AppTable
from nodes.driver import NodeDriver
from nodes.frames import Frame
from nodes.memory_journal import MemoryDisk, MemoryJournal
from nodes.observers import targets_of
from nodes.pair_rules import Rules
from nodes.retries import USUAL_WINDOW
from nodes.sighting import Sight, Sighting, judged

Told: TypeAlias = tuple[cp.LeaderView, FleetMap | None]
Found: TypeAlias = Mapping[ShardId, Assignment] | Unknown
CALL_S = 1.0
"""How long a node waits for the control plane before an outcome is unknown."""
FSYNC_MEAN_S = 0.002
SNAPSHOT_ENTRIES = 40
"""Small, so that snapshots and truncated journals are met often."""


@dataclass(slots=True)
class Parts:
    """What a simulated process is made of, that tests may swap."""

    rules: Rules
    apps: AppTable


class SimNode:
    """A node's machine: its disk and its host outlive its process."""

    def __init__(
        self,
        node: NodeId,
        host: Host,
        *,
        topology: Topology,
        timers: Timers,
        network: Network[Frame],
        parts: Parts,
        planes: Callable[[], Mapping[ControlPlaneId, ControlPlaneDriver]],
    ) -> None:
        self.node, self.host = node, host
        self._topology, self._timers, self._network, self._parts, self._planes = (
            topology,
            timers,
            network,
            parts,
            planes,
        )
        self.disk = MemoryDisk(f"disk-{node}")
        self.driver: NodeDriver | None = None
        self.journal: MemoryJournal | None = None
        self._map = FleetMap(topology)
        self._seen: dict[NodeId | ControlPlaneId, Sighting] = {}
        self._leader: tuple[int, ControlPlaneId | None] = (0, None)
        self._process = 0
        self._sequence = 0

    def start(self) -> None:
        """Begin a life of the process."""
        world = self.host.world
        self._process = world.chance.getrandbits(40)
        self._sequence, self._leader = 0, (0, None)
        journal = self.journal = MemoryJournal(self.disk, self._fsync)
        driver = self.driver = NodeDriver(
            topology=self._topology,
            node=self.node,
            timers=self._timers,
            rhythm=Rhythm(self._timers.heartbeat_s),
            clock=self.host,
            spawn=self.host,
            rng=world.chance,
            journal=journal,
            links=_Links(self._network, self.node),
            apps=self._parts.apps,
            window=USUAL_WINDOW,
            control=self,
            tell=lambda event, facts: world.note(f"{self.node} {event} {sorted(facts.items())}"),
            rules=self._parts.rules,
            snapshot_entries=SNAPSHOT_ENTRIES,
        )
        driver.follow_steps(self._forget)
        driver.start()
        self._map = FleetMap(self._topology)
        now = self.host.now()
        self._seen = {target: Sighting(now) for target in targets_of(self.node, self._topology)}
        self._seen |= {plane.id: Sighting(now) for plane in self._topology.control_planes}
        self._network.plug(self.node, self, tuple(n.id for n in self._topology.nodes if n.id != self.node))
        self._register()
        self._beat()

    def crash(self) -> None:
        """End it: what was not synced is lost, down to any point between two deeds."""
        if self.journal is not None:
            chance = self.host.world.chance
            self.journal.crash(keep=chance.randint(0, self.journal.waiting), tear=chance.random() < 0.2)
        self.driver = self.journal = None
        self.host.crash()
        self._network.gone(self.node)

    # The network's end of the stream.

    def message(self, peer: str, message: Frame) -> None:
        """Take a frame."""
        self._turn().message(NodeId(peer), message)

    def link_up(self, peer: str) -> None:
        """Learn that the stream is open."""
        self._turn().link_up(NodeId(peer))

    def link_down(self, peer: str, refused: bool) -> None:
        """Learn that it broke."""
        seen = self._seen.get(NodeId(peer))
        if seen is not None and refused:
            seen.gone()
        self._turn().link_down(NodeId(peer), refused)

    # The port Control.

    def propose(
        self, proposals: Sequence[port.Proposal], done: Callable[[Sequence[port.ProposalAnswer]], None]
    ) -> None:
        """Ask the leader for changes."""
        asked = [cp.Proposal(p.shard, p.base, p.proposer, p.change, p.reason) for p in proposals]

        def ask(plane: ControlPlaneDriver, back: Callable[[Sequence[cp.ProposalAnswer] | None], None]) -> None:
            try:
                plane.propose(self.node, asked, back)
            except NotLeaderError:
                back(None)
            except TwinholdError as error:
                back([cp.ProposalUnknown(error.message)] * len(asked))

        def finish(answers: Sequence[cp.ProposalAnswer] | None) -> None:
            if answers is None:
                self._leader = (self._leader[0], None)
                done([port.ProposalUnknown("no leader answered")] * len(asked))
            else:
                done([_answer(answer) for answer in answers])

        self._call_leader(ask, finish)

    def record(
        self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | port.ProposalUnknown], None]
    ) -> None:
        """Ask for records."""

        def ask(plane: ControlPlaneDriver, back: Callable[[Found | None], None]) -> None:
            plane.record(shards, back)

        def finish(found: Found | None) -> None:
            if found is None or isinstance(found, Unknown):
                done(port.ProposalUnknown("the record could not be read"))
            else:
                done(found)

        self._call_leader(ask, finish)

    # The map, as the leader's feed brings it.

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> bool:
        """Take a snapshot; an older one changes nothing."""
        held = list(assignments)
        if revision > self._map.revision and held:
            self._map.replace_all(revision, held, overrides)
            self._turn().map_changed(held, overrides)
        return True

    def map_stepped(self, delta: Delta) -> bool:
        """Take a step; False: a snapshot is needed."""
        if delta.revision <= self._map.revision:
            return True
        try:
            self._map.apply(delta)
        except PositionGoneError:
            return False
        self._turn().map_changed(delta.changed)
        return True

    def locate(self, tenant: TenantName) -> Assignment | None:
        """Say who holds a tenant, as far as this node's map goes."""
        try:
            return self._map.locate(tenant) if self.driver is not None else None
        except TwinholdError:
            return None

    # Inside.

    def _turn(self) -> NodeDriver:
        """Compare the clock between turns, as every driver's host does, before anything else."""
        driver = self.driver
        assert driver is not None, f"{self.node} is called while it does not live"
        driver.look()
        return driver

    def _forget(self) -> None:
        """Discard what was seen of others: this process was away."""
        for seen in self._seen.values():
            seen.forget(self.host.now())

    def _fsync(self, callback: Callable[[], None]) -> None:
        delay_s = self.host.world.chance.expovariate(1 / FSYNC_MEAN_S)
        self.host.world.after(delay_s, self.host.guard(callback))

    def _call_leader(
        self, ask: Callable[[ControlPlaneDriver, Callable[..., None]], None], done: Callable[..., None]
    ) -> None:
        planes = self._planes()
        leader = self._leader[1] or self.host.world.chance.choice([p.id for p in self._topology.control_planes])

        def there(back: Callable[[object], None]) -> None:
            plane = planes.get(leader)
            if plane is None:
                back(None)
            else:
                ask(plane, back)

        self._network.call(self.node, leader, there, done, deadline_s=CALL_S)

    def _register(self) -> None:
        view = cp.RegisterView(self.node, "", self.disk.disk_id, self._highest(), 1, self._process)
        for plane in self._topology.control_planes:
            self._to_plane(plane.id, lambda driver: driver.registered(view))

    def _beat(self) -> None:
        self.host.call_at(self.host.now() + self._timers.probe_s, self._beat)
        driver = self._turn()
        self._sequence += 1
        view = cp.ReportView(
            self.node, self.disk.disk_id, self._process, self._sequence, True, self._observed(driver),
            tuple(_copy_view(view) for view in driver.report(complete=True)), tuple(driver.gone()), 0.1, 0,
            self._highest(), self._map.revision,
        )  # fmt: skip
        for plane in self._topology.control_planes:
            self._to_plane(plane.id, lambda driver: driver.reported(view))
        for target in targets_of(self.node, self._topology):
            self._probe(target)

    def _to_plane(self, plane: ControlPlaneId, tell: Callable[[ControlPlaneDriver], cp.LeaderView]) -> None:
        """Tell a control plane something; it answers who leads, and its map where ours is behind."""
        planes, held = self._planes(), self._map.revision

        def there(back: Callable[[Told | None], None]) -> None:
            driver = planes.get(plane)
            back(None if driver is None else (tell(driver), newer_map(driver.fleet_map, held)))

        def heard(answer: Told | None) -> None:
            if answer is None:
                return
            told, news = answer
            self._seen[plane].heard(self.host.now())
            if told.leader is not None and told.term >= self._leader[0]:
                self._leader = (told.term, told.leader)
            if news is not None:
                self.map_replaced(news.revision, news.shards.values(), news.overrides)

        self._network.call(self.node, plane, there, heard, deadline_s=CALL_S)

    def _probe(self, target: NodeId) -> None:
        def heard(answer: bool | None) -> None:
            if answer:
                self._seen[target].heard(self.host.now())

        self._network.call(self.node, target, lambda back: back(True), heard, deadline_s=CALL_S)

    def _observed(self, driver: NodeDriver) -> tuple[cp.Observation, ...]:
        now = self.host.now()
        found = {
            target: cp.Observation(target, _sight(seen.sight(now, self._timers)), _ms(now - seen.heard_at), False)
            for target, seen in self._seen.items()
        }
        for one in driver.observations():
            silent_s = now - one.heard_at
            sight = judged(silent_s, refused=one.refused, beat_s=self._timers.heartbeat_s, timers=self._timers)
            found[one.node] = cp.Observation(one.node, _sight(sight), _ms(silent_s), True)
        return tuple(found.values())

    def _highest(self) -> Fence:
        fences = [view.fence for view in self.driver.report(complete=True)] if self.driver is not None else []
        return max(fences, default=Fence(0, 0))


@dataclass(frozen=True, slots=True)
class _Links:
    network: Network[Frame]
    node: NodeId

    def send(self, peer: NodeId, message: Frame, *, bulk: bool = False) -> None:
        self.network.send(self.node, peer, message, bulk=bulk)


def newer_map(held: FleetMap, than: Revision) -> FleetMap | None:
    """Copy a map out, if it is newer; None: it is not."""
    if held.revision <= than or not held.shards:
        return None
    return FleetMap(held.topology, held.revision, dict(held.shards), dict(held.overrides))


def _ms(silent_s: float) -> int:
    return int(max(0.0, silent_s) * 1000)


def _sight(sight: Sight) -> cp.Sight:
    return cp.Sight[sight.value]


def _copy_view(v: nv.CopyView) -> cp.CopyView:
    return cp.CopyView(
        v.shard, v.copy_id, v.fence, cp.Role[v.role.value], v.last_lsn, v.commit_lsn, v.learner, v.learner_lag,
        v.complaint, v.writes_per_s, v.orphaned, v.serving, decided=v.decided,
    )  # fmt: skip


def _answer(answer: cp.ProposalAnswer) -> port.ProposalAnswer:
    match answer:
        case cp.ProposalApplied(assignment):
            return port.ProposalApplied(assignment)
        case cp.ProposalRefused(current, reason):
            return port.ProposalRefused(current, reason)
        case cp.ProposalUnknown(cause):
            return port.ProposalUnknown(cause)
