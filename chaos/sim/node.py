"""One simulated node: the production driver, journal logic, observers and report book, on a simulated host."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from chaos.sim.maps import MapFollower, Send
from chaos.sim.messages import Age, Led, Register, Report, Sign, SimMessage, Step, Whole
from chaos.sim.network import Network
from chaos.sim.time import Host
from chaos.sim.witness import Witness
from control_plane.driver import ControlPlaneDriver
from control_plane.ports import Unknown
from control_plane.views import LeaderView, RegisterView
from core.assignments import Assignment
from core.errors import NotLeaderError, TwinholdError
from core.fleet_map import Delta, FleetMap, Revision
from core.names import ControlPlaneId, NodeId, ShardId, TenantName
from core.proposals import Proposal, ProposalAnswer, ProposalUnknown
from core.rhythm import Rhythm
from core.timers import Timers
from core.topology import Topology
from nodes.app_table import AppTable
from nodes.driver import NodeDriver
from nodes.frames import Frame
from nodes.io.report_book import Page, ReportBook
from nodes.io.reporter import FOLLOWER_BEATS
from nodes.memory_journal import MemoryDisk, MemoryJournal
from nodes.observers import observers_of, targets_of
from nodes.pair_rules import Rules
from nodes.retries import USUAL_WINDOW
from nodes.sighting import QUIET_BEATS, Sighting

Back: TypeAlias = Callable[..., None]
"""Where an answer goes; named here, because what a nested function is annotated with is worked out at every call."""
Found: TypeAlias = Mapping[ShardId, Assignment] | Unknown
Watcher: TypeAlias = Callable[[Assignment], None]
SIGN = Sign()
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
        network: Network[SimMessage],
        parts: Parts,
        planes: Callable[[], Mapping[ControlPlaneId, ControlPlaneDriver]],
        witness: Witness,
    ) -> None:
        self.node, self.host, self._witness = node, host, witness
        self._topology, self._timers, self._network, self._parts, self._planes = (
            topology,
            timers,
            network,
            parts,
            planes,
        )
        self.disk = MemoryDisk(f"disk-{node}")
        self.disks = 1
        self.disk_lost = False
        """The disk does not come back with the next life."""
        self.disk_refusal = ""
        """Not empty: why the disk takes no writes now."""
        self.fsync_extra_s = 0.0
        host.die = self.crash
        self._send: Send = partial(network.send, node)
        self.driver: NodeDriver | None = None
        self.journal: MemoryJournal | None = None
        self._observers = observers_of(topology.node(node), topology)
        self._targets = targets_of(node, topology)
        self._plane_ids = [plane.id for plane in topology.control_planes]
        self._peers = [other.id for other in topology.nodes if other.id != node]

    def start(self) -> None:
        """Begin a life of the process."""
        journal = self.journal = MemoryJournal(self.disk, self._fsync, self.host.later)
        journal.before = self.host.deed
        driver = self.driver = self._driver(journal)
        driver.follow_steps(self._forget)
        driver.start()
        now = self.host.now()
        self.fleet_map = FleetMap(self._topology)
        self._feed = MapFollower(self, self._send, self.host.now)
        self._watchers: dict[TenantName, Watcher] = {}
        self._leader: tuple[int, ControlPlaneId | None] = (0, None)
        self._beats = 0
        self._standing: dict[ControlPlaneId, int] = {}
        """Control planes to which a stream of reports stands, and at which beat it began."""
        self._seen: dict[NodeId | ControlPlaneId, Sighting] = {target: Sighting(now) for target in self._targets}
        self._seen |= {plane: Sighting(now, beats=FOLLOWER_BEATS) for plane in self._plane_ids}
        self._book = ReportBook(
            self.node,
            disk_id=self.disk.disk_id,
            process_id=self.host.world.chance.getrandbits(40),
            driver=driver,
            timers=self._timers,
            clock=self.host,
            fleet=self._topology.fleet,
        )
        self._pages: dict[ControlPlaneId, Page] = {plane: self._book.page() for plane in self._plane_ids}
        self._network.plug(self.node, self, [*self._peers, *self._plane_ids])
        self._beat()

    def crash(self) -> None:
        """End it: what was not synced is lost, down to any point between two deeds."""
        if self.journal is not None:
            chance = self.host.world.chance
            self.journal.crash(keep=chance.randint(0, self.journal.waiting), tear=chance.random() < 0.2)
        self.driver = self.journal = None
        self.host.crash()
        self._network.gone(self.node)

    def replace_disk(self) -> None:
        """Put an empty disk in; the process does not run."""
        self.disks += 1
        self.disk = MemoryDisk(f"disk-{self.node}-{self.disks}")
        self.host.world.note(f"{self.node} has an empty disk")

    def fail_fsync(self, cause: str, *, kept: bool) -> None:
        """Let the next fsync fail."""
        if self.journal is not None:
            self.journal.fail_next(cause, kept=kept)

    # The network's end of the streams.

    def message(self, peer: str, message: SimMessage) -> None:
        """Take what comes on a stream."""
        driver = self.driver
        if type(message) is Frame and driver is not None:
            driver.message(NodeId(peer), message)  # It compares the clock by itself.
            return
        self._turn()
        match message:
            case Sign():
                if peer in self._seen:
                    self._seen[NodeId(peer)].heard(self.host.now())
            case Led():
                self._led(ControlPlaneId(peer), message.leader)
            case Whole() | Step() | Age():
                self._feed.take(peer, message)
            case _:
                raise AssertionError(f"{peer} says to a node {message}")

    def link_up(self, peer: str) -> None:
        """Learn that a stream is open."""
        driver = self._turn()
        if peer in self._pages:
            self._begin_reports(ControlPlaneId(peer))
        else:
            driver.link_up(NodeId(peer))

    def link_down(self, peer: str, refused: bool) -> None:
        """Learn that one broke."""
        driver = self._turn()
        seen = self._seen.get(NodeId(peer))
        if seen is not None and refused:
            seen.gone()
        if peer in self._pages:
            self._standing.pop(ControlPlaneId(peer), None)
            self._choose_feed()
        else:
            driver.link_down(NodeId(peer), refused)

    # The port Control.

    def propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        """Ask the leader for changes."""
        self._witness.proposed(self.node, proposals)

        def ask(plane: ControlPlaneDriver, back: Back) -> None:
            try:
                plane.propose(self.node, proposals, back)
            except NotLeaderError:
                back(None)
            except TwinholdError as error:
                back([ProposalUnknown(error.message)] * len(proposals))

        def finish(answers: Sequence[ProposalAnswer] | None) -> None:
            if answers is None:
                self._leader = (self._leader[0], None)
                self._witness.proposal_unknown()
                done([ProposalUnknown("no leader answered")] * len(proposals))
            else:
                done(answers)

        self._call_leader(ask, finish)

    def record(
        self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | ProposalUnknown], None]
    ) -> None:
        """Ask for records."""

        def ask(plane: ControlPlaneDriver, back: Back) -> None:
            plane.record(shards, back)

        def finish(found: Found | None) -> None:
            if found is None or isinstance(found, Unknown):
                done(ProposalUnknown("the record could not be read"))
            else:
                done(found)

        self._call_leader(ask, finish)

    # The map, and who follows it here.

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        """Take a snapshot; raises MalformedError for one that is worse."""
        held = list(assignments)
        self.fleet_map.replace_all(revision, held, overrides)
        self._turn().map_changed(held, overrides)
        self._tell_watchers(held)

    def map_stepped(self, delta: Delta) -> None:
        """Take a step; raises PositionGoneError when a snapshot is needed."""
        self.fleet_map.apply(delta)
        self._turn().map_changed(delta.changed)
        self._tell_watchers(delta.changed)

    def watch(self, tenant: TenantName, watcher: Watcher) -> Assignment | None:
        """Say who holds a tenant, as far as this node's map goes, and tell each change from now on."""
        self._watchers[tenant] = watcher
        return self._locate(tenant)

    def unwatch(self, tenant: TenantName) -> None:
        """Tell no more."""
        if self.driver is not None:
            self._watchers.pop(tenant, None)

    # Inside.

    def _noted(self, event: str, facts: Mapping[str, object]) -> None:
        self.host.world.note(f"{self.node} {event} {sorted(facts.items())}")
        self._witness.told(event, facts)

    def _driver(self, journal: MemoryJournal) -> NodeDriver:
        world = self.host.world
        return NodeDriver(
            topology=self._topology,
            node=self.node,
            timers=self._timers,
            rhythm=Rhythm(self._timers.heartbeat_s),
            clock=self.host,
            spawn=self.host,
            rng=world.chance,
            journal=journal,
            links=_Links(self._network, self.host, self.node, self._witness),
            apps=self._parts.apps,
            window=USUAL_WINDOW,
            control=self,
            tell=self._noted,
            rules=self._parts.rules,
            snapshot_entries=SNAPSHOT_ENTRIES,
        )

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
        self.disk.refusal = self.disk_refusal
        delay_s = self.host.world.chance.expovariate(1 / FSYNC_MEAN_S) + self.fsync_extra_s
        self.host.after(delay_s, callback)

    def _call_leader(
        self, ask: Callable[[ControlPlaneDriver, Callable[..., None]], None], done: Callable[..., None]
    ) -> None:
        self.host.deed()
        leader = self._leader[1] or self.host.world.chance.choice(self._plane_ids)

        def there(back: Back) -> None:
            plane = self._planes().get(leader)
            if plane is None:
                back(None)
            else:
                ask(plane, back)

        self._network.call(self.node, leader, there, done, deadline_s=CALL_S)

    def _beat(self) -> None:
        """Show the observers that this node lives, and report: to the leader every second time, to others less."""
        self.host.call_at(self.host.now() + self._timers.probe_s, self._beat)
        self._turn()
        self._beats += 1
        if self._beats % QUIET_BEATS == 0:
            for observer in self._observers:
                self._send(observer, SIGN)
        self._report(self._standing)
        if self._feed.silent() or self._feed.source is None:
            self._choose_feed()

    def _begin_reports(self, plane: ControlPlaneId) -> None:
        self._standing[plane] = self._beats
        self._pages[plane].restart()
        book = self._book
        self._send(plane, Register(RegisterView(self.node, "", book.disk_id, book.highest, 1, book.process_id)))
        self._report([plane])
        if self._feed.source is None or plane == self._leader[1]:
            self._choose_feed()

    def _report(self, planes: Iterable[ControlPlaneId]) -> None:
        """Write the reports that are due, or bring what can't wait."""
        book, leader = self._book, self._leader[1]
        book.collect()
        book.look(self._seen.items())
        for plane in planes:
            page = self._pages[plane]
            quiet = QUIET_BEATS if plane == leader else FOLLOWER_BEATS
            due = (self._beats - self._standing[plane]) % quiet == 0
            if due or book.stirred(page, leads=leader in (None, plane)):
                report = book.compose(page, self.fleet_map.revision)
                for copy in report.copies:
                    if copy.complaint:
                        self._witness.complained(self.node, ShardId(copy.shard), copy.complaint)
                self._send(plane, Report(report))

    def _led(self, plane: ControlPlaneId, told: LeaderView) -> None:
        """Take an answer to reports: a sign of life, and who leads."""
        self._seen[plane].heard(self.host.now())
        if told.leader is not None and told.term >= self._leader[0] and (told.term, told.leader) != self._leader:
            self._leader = (told.term, told.leader)
            self._choose_feed()

    def _choose_feed(self) -> None:
        """Watch the leader's map, or anybody's while it can't be reached or has been silent."""
        leader, feed = self._leader[1], self._feed
        silent = feed.silent()
        usable = [plane for plane in self._standing if not (silent and plane == feed.source)]
        if leader in usable:
            feed.follow(leader)
        elif feed.source not in usable:
            feed.follow(self.host.world.chance.choice(usable) if usable else None)
        if silent:
            feed.again()

    def _locate(self, tenant: TenantName) -> Assignment | None:
        try:
            return self.fleet_map.locate(tenant)
        except TwinholdError:
            return None

    def _tell_watchers(self, changed: Iterable[Assignment]) -> None:
        shards = {assignment.shard for assignment in changed}
        for tenant, watcher in self._watchers.items():
            found = self._locate(tenant)
            if found is not None and found.shard in shards:
                watcher(found)


@dataclass(frozen=True, slots=True)
class _Links:
    network: Network[SimMessage]
    host: Host
    node: NodeId
    witness: Witness

    def send(self, peer: NodeId, message: Frame, *, bulk: bool = False) -> None:
        self.host.deed()
        self.witness.sent(self.node, peer, message)
        self.network.send(self.node, peer, message, bulk=bulk)
