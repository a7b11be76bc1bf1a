"""A fleet in virtual time: real control plane drivers and the store in memory, and nodes that follow a script.

The nodes keep no data: each copies what the map says, answers Prepare and orders as a healthy node would, and says what
it sees of the others from who lives, is frozen or is cut off.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from chaos.sim.time import Host, World
from control_plane.driver import ControlPlaneDriver
from control_plane.memory_store import Fate, MemoryLock, MemoryStore, Vault
from control_plane.ports import Partition
from control_plane.reception import Reception
from control_plane.store_rules import StoreRules, nearest_majority_s
from control_plane.views import ConferView, Observation, ReportView, Sight, Unreached
from core.assignments import Add, Assignment, Change, Copy, Evict, Fence, Swap, Switchover
from core.copies import CopyView, Role
from core.errors import TwinholdError
from core.fleet_map import NO_REVISION, Delta
from core.names import ControlPlaneId, CopyId, DcId, NodeId, ShardId, copy_id, dc_of
from core.orders import Order, PrepareResult, PrepareShard, TransferOrder, TransferResult
from core.proposals import Proposal, ProposalAnswer
from core.sharding import rendezvous_score
from core.timers import Timers, timers
from core.topology import Topology, rtt_table_s
from twinhold.v1 import event_pb2

CATCH_UP_S = 0.3
COMPLETE_EVERY = 20
STORE_DEADLINE_S = 1.0
FIRST_DAY_MS = 1_800_000_000_000


class DatedHost(Host):
    """A machine whose date is right, as time servers see to, wherever its own clock started."""

    def wall_ms(self) -> int:
        return FIRST_DAY_MS + int(self.world.now * 1000)


@dataclass
class ScriptedNode:
    """One node."""

    world: "PocketWorld"
    node: NodeId
    host: Host
    process_id: int = 1
    sequence: int = 0
    disk: str = "disk"
    complaint: dict[ShardId, str] = field(default_factory=dict)
    promised: dict[ShardId, float] = field(default_factory=dict)
    """Shards that it was promoted for: when their old leases end."""
    proposed: dict[ShardId, Fence] = field(default_factory=dict)
    last_seen: dict[str, float] = field(default_factory=dict)
    reported: dict[ShardId, CopyView] = field(default_factory=dict)
    stale: dict[ShardId, CopyView] = field(default_factory=dict)
    """Copies that it holds of shards whose record does not name it."""

    @property
    def copy_id(self) -> CopyId:
        return copy_id(self.disk_id, 1)

    @property
    def disk_id(self) -> str:
        return f"{self.disk}-{self.node}"

    def begin(self) -> None:
        self.last_seen, self.reported, self.sequence = {}, {}, 0
        self.host.later(self.tick)

    def tick(self) -> None:
        """Look around, report, propose what a primary must."""
        self.report()
        self.evict_the_silent()
        self.host.call_at(self.host.now() + self.world.timers.probe_s / 2, self.tick)

    def report(self) -> None:
        held = self.copies()
        complete = self.sequence % COMPLETE_EVERY == 0
        copies = tuple(copy for shard, copy in held.items() if complete or self.reported.get(shard) is not copy)
        gone = tuple(shard for shard in self.reported if shard not in held)
        self.reported = held
        self.sequence += 1
        view = ReportView(
            node=self.node,
            disk_id=self.disk_id,
            process_id=self.process_id,
            sequence=self.sequence,
            complete=complete,
            observations=tuple(self.observe(target) for target in self.targets()),
            copies=copies,
            gone=gone,
            load=1.0,
            loop_lag_ms=0,
            highest=max((copy.fence for copy in held.values()), default=Fence(0, 0)),
            map=self.world.revision,
        )
        for control_plane in self.world.drivers:
            self.world.send(self.node, control_plane, lambda driver: driver.reported(view))

    def targets(self) -> list[NodeId | ControlPlaneId]:
        partners = {copy.node for a in self.mine() for copy in a.in_sync if copy.node != self.node}
        watched = sorted(partners | self.world.drawn[self.node])
        return [*watched, *(cp.id for cp in self.world.topology.control_planes)]

    def observe(self, target: NodeId | ControlPlaneId) -> Observation:
        now, world = self.host.now(), self.world
        if world.reaches(self.node, target):
            self.last_seen[target] = now
            return Observation(target, Sight.ALIVE, 0, False)
        silent_s = now - self.last_seen.setdefault(target, now)
        reset_s = world.timers.reset_wait_s + 3 * world.rtt_s[dc_of(self.node), dc_of(target)]
        near = world.geography(self.node) == world.geography(target)
        if not world.hosts[target].alive and near and silent_s >= reset_s:
            sight = Sight.REFUSED
        elif silent_s >= world.timers.silence_s:
            sight = Sight.SILENT
        else:
            sight = Sight.SUSPECT
        return Observation(target, sight, round(silent_s * 1000), sight in (Sight.REFUSED, Sight.SILENT))

    def mine(self) -> list[Assignment]:
        me = Copy(self.node, self.copy_id)
        return [a for a in map(self.world.known.__getitem__, self.world.held[self.node]) if me in a.in_sync]

    def copies(self) -> dict[ShardId, CopyView]:
        """Describe the copies; one that is as it was is the same object."""
        return {**self.stale, **{record.shard: self.copy_of(record) for record in self.mine()}}

    def copy_of(self, record: Assignment) -> CopyView:
        leads = record.primary.node == self.node
        serving = leads and self.host.now() >= self.promised.get(record.shard, 0.0)
        complaint = self.complaint.get(record.shard, "")
        before = self.reported.get(record.shard)
        if before is not None and (before.fence, before.serving, before.complaint) == (
            record.fence,
            serving,
            complaint,
        ):
            return before
        mine = record.primary if leads or record.standby is None else record.standby
        return CopyView(
            shard=record.shard,
            copy_id=mine.copy_id,
            fence=record.fence,
            role=Role.PRIMARY if leads else Role.STANDBY,
            last_lsn=0,
            commit_lsn=0,
            learner=None,
            learner_lag=0,
            complaint=complaint,
            writes_per_s=0,
            orphaned=0,
            serving=serving,
            decided=record,
        )

    def evict_the_silent(self) -> None:
        for record in self.mine():
            if record.primary.node != self.node or record.standby is None:
                continue
            silent_s = self.host.now() - self.last_seen.get(record.standby.node, self.host.now())
            if silent_s >= self.world.timers.standby_silence_s and self.proposed.get(record.shard) != record.fence:
                self.propose(record, Evict(), "its standby is silent")

    def prepare(self, shards: Sequence[PrepareShard]) -> list[PrepareResult]:
        return [PrepareResult(s.shard, True, "", 0) for s in shards]

    def transfer(self, orders: Sequence[TransferOrder]) -> list[TransferResult]:
        for order in orders:
            self.host.call_at(self.host.now() + CATCH_UP_S, partial(self.carry_out, order))
        return [TransferResult(order.shard, True, "") for order in orders]

    def carry_out(self, order: TransferOrder) -> None:
        record = self.world.known[order.shard]
        if record.fence != order.base or record.primary.node != self.node:
            return
        change: Change
        match order.order:
            case Order.ADD | Order.SWAP:
                assert order.target is not None
                if not self.world.reaches(self.node, order.target):
                    return
                learner = Copy(order.target, self.world.nodes[order.target].copy_id)
                standby = record.standby
                change = Add(learner) if standby is None else Swap(standby, learner)
            case Order.SWITCHOVER:
                change = Switchover()
            case Order.CANCEL:
                return
        self.propose(record, change, order.reason)

    def propose(self, record: Assignment, change: Change, reason: str) -> None:
        self.proposed[record.shard] = record.fence
        proposal = Proposal(record.shard, record.fence, record.primary, change, reason)

        def again() -> None:
            self.proposed.pop(record.shard, None)

        def at(driver: ControlPlaneDriver) -> None:
            try:
                driver.propose(self.node, [proposal], self.answered)
            except TwinholdError:
                self.host.call_at(self.host.now() + 0.2, again)

        leader = self.world.leader()
        if leader is not None:
            self.world.send(self.node, leader, at)
        else:
            self.host.call_at(self.host.now() + 0.2, again)

    def answered(self, answers: Sequence[ProposalAnswer]) -> None:
        self.world.answers += answers


class PocketWorld:
    """The fleet: kill, freeze, thaw, start and cut, and let time pass."""

    def __init__(self, topology: Topology, *, seed: int = 1, profile: str = "default") -> None:
        self.topology = topology
        self.timers: Timers = timers(profile)
        self.world = World(seed)
        self.rtt_s = rtt_table_s(topology)
        chance = Random(seed)
        self.hosts: dict[str, Host] = {}
        self.cut: set[frozenset[str]] = set()
        """Pairs of names (nodes, control planes or data centers) that don't reach each other."""
        self.store_down = False
        self.answers_lost = False
        """The store does what it is asked, and nobody hears of it."""
        self.vault_host = Host(self.world, "store", offset_s=chance.random() * 1000)
        self.vault = Vault(topology, self.vault_host)
        self.rules = StoreRules(topology)
        self.known: dict[ShardId, Assignment] = {}
        """The newest map that any leader has published, as every node knows it."""
        self.revision = NO_REVISION
        self.held: dict[NodeId, dict[ShardId, None]] = {node.id: {} for node in topology.nodes}
        self.drawn = observers_drawn(topology)
        self.answers: list[ProposalAnswer] = []
        self.told: list[tuple[float, ControlPlaneId, str, Mapping[str, object]]] = []
        self.drivers: dict[ControlPlaneId, ControlPlaneDriver] = {}
        self.nodes: dict[NodeId, ScriptedNode] = {}
        for name in [*(cp.id for cp in topology.control_planes), *(node.id for node in topology.nodes)]:
            self.hosts[name] = DatedHost(self.world, name, offset_s=chance.random() * 1000)
        for control_plane in topology.control_planes:
            self.start_control_plane(control_plane.id)
        for node in topology.nodes:
            self.nodes[node.id] = ScriptedNode(self, node.id, self.hosts[node.id])
            self.nodes[node.id].begin()

    # Faults.

    def names_in(self, dc: str) -> list[str]:
        return [name for name in self.hosts if dc_of(NodeId(name)) == dc]

    def kill_dc(self, dc: str) -> None:
        for name in self.names_in(dc):
            self.hosts[name].crash()
        self.break_streams(dc)

    def break_streams(self, dc: str) -> None:
        for name in self.names_in(dc):
            self.break_stream(name)

    def break_stream(self, name: str) -> None:
        """Let every control plane notice a reset, after what was sent before it."""
        for control_plane in self.drivers:
            if name in self.nodes:
                self.send(name, control_plane, lambda driver: driver.report_broken(NodeId(name)))
            elif name != control_plane:
                self.send(name, control_plane, lambda driver: driver.peer_down(ControlPlaneId(name), True))

    def freeze_dc(self, dc: str) -> None:
        for name in self.names_in(dc):
            self.hosts[name].freeze()

    def thaw_dc(self, dc: str, *, frozen_s: float) -> None:
        for name in self.names_in(dc):
            self.hosts[name].thaw()
            if name in self.nodes:
                self.nodes[NodeId(name)].last_seen.clear()
            else:
                self.drivers[ControlPlaneId(name)].jumped(frozen_s)

    def start_dc(self, dc: str) -> None:
        for name in self.names_in(dc):
            self.hosts[name].start()
            if name in self.nodes:
                self.nodes[NodeId(name)].process_id += 1
                self.nodes[NodeId(name)].begin()
            else:
                self.start_control_plane(ControlPlaneId(name))

    def crash_control_plane(self, control_plane: ControlPlaneId) -> None:
        self.hosts[control_plane].crash()

    def restart_control_plane(self, control_plane: ControlPlaneId) -> None:
        self.hosts[control_plane].start()
        self.start_control_plane(control_plane)

    def start_control_plane(self, me: ControlPlaneId) -> None:
        host = self.hosts[me]
        store = MemoryStore(self.vault, me, clock=host, weather=self.weather, deadline_s=STORE_DEADLINE_S)
        lock = MemoryLock(self.vault, me, clock=host, weather=self.weather, deadline_s=STORE_DEADLINE_S)
        driver = ControlPlaneDriver(
            topology=self.topology,
            control_plane=me,
            timers=self.timers,
            clock=host,
            rng=Random(hash_of(me)),
            store=store,
            lock=lock,
            nodes=NodesPort(self, me),
            peers=PeersPort(self, me),
            tell=lambda what, facts: self.told.append((self.world.now, me, what, facts)),
        )
        self.drivers[me] = driver
        driver.follow_map(MapEar(self, me))
        driver.start()

    # The network.

    def geography(self, name: str) -> str:
        return self.topology.data_center(dc_of(NodeId(name))).geography

    def reaches(self, a: str, b: str) -> bool:
        if not self.hosts[b].alive or self.hosts[b].frozen or not self.hosts[a].alive or self.hosts[a].frozen:
            return False
        return not self.is_cut(a, b)

    def is_cut(self, a: str, b: str) -> bool:
        ends = ((x, y) for x in (a, dc_of(NodeId(a))) for y in (b, dc_of(NodeId(b))))
        return any(frozenset(pair) in self.cut for pair in ends)

    def trip_s(self, a: str, b: str) -> float:
        return self.rtt_s[dc_of(NodeId(a)), dc_of(NodeId(b))] / 2 + 0.0005

    def send(self, sender: str, receiver: ControlPlaneId, deed: Callable[[ControlPlaneDriver], object]) -> None:
        """Deliver something to a control plane, if it then lives and the way is open."""

        def arrive() -> None:
            if self.hosts[receiver].alive and not self.is_cut(sender, receiver):
                deed(self.drivers[receiver])

        self.world.after(self.trip_s(sender, receiver), self.hosts[receiver].guard(arrive))

    def weather(self, caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
        """Delay a store call by the trip to the nearest living majority of the records' sites."""
        if self.store_down:
            return Fate(None, None)
        living = frozenset(dc.id for dc in self.topology.data_centers if self.dc_lives(dc.id))
        home, trips = dc_of(caller), []
        for partition in partitions:
            sites = self.rules.vote_sites(partition)
            trip = nearest_majority_s(home, sites, living=living, rtt_s=dict(self.rtt_s))
            if trip is None:
                return Fate(None, None)
            trips.append(trip)
        return Fate(max(trips) / 2 + 0.001, None if self.answers_lost else max(trips) / 2 + 0.001)

    def dc_lives(self, dc: DcId) -> bool:
        return any(self.hosts[name].alive and not self.hosts[name].frozen for name in self.names_in(dc))

    # Looking.

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def leader(self) -> ControlPlaneId | None:
        leading = [
            (driver.leader().term, me)
            for me, driver in self.drivers.items()
            if self.hosts[me].alive and driver.leader().leader == me
        ]
        return max(leading)[1] if leading else None

    def lead(self) -> Reception:
        leader = self.leader()
        assert leader is not None, "nobody leads"
        return self.drivers[leader].reception

    def events(self) -> list[event_pb2.Event]:
        return [event_pb2.Event.FromString(body) for body in self.vault.read_events(None, 100_000)][::-1]

    def types(self) -> list[str]:
        return [event.type for event in self.events()]

    def in_dc(self, dc: str) -> list[Assignment]:
        return [a for a in self.known.values() if any(dc_of(copy.node) == dc for copy in a.in_sync)]

    def led_in(self, dc: str) -> list[Assignment]:
        return [a for a in self.known.values() if dc_of(a.primary.node) == dc]


@dataclass
class NodesPort:
    """Calls from one control plane to nodes."""

    world: PocketWorld
    me: ControlPlaneId

    def prepare(
        self,
        node: NodeId,
        term: int,
        shards: Sequence[PrepareShard],
        done: Callable[[Sequence[PrepareResult] | Unreached], None],
    ) -> None:
        self.call(node, lambda scripted: scripted.prepare(shards), done)

    def transfer(
        self,
        node: NodeId,
        term: int,
        orders: Sequence[TransferOrder],
        done: Callable[[Sequence[TransferResult] | Unreached], None],
    ) -> None:
        self.call(node, lambda scripted: scripted.transfer(orders), done)

    def call(self, node: NodeId, deed: Callable[[ScriptedNode], object], done: Callable[..., None]) -> None:
        world, trip_s = self.world, self.world.trip_s(self.me, node)
        open_calls = [done]
        home = world.hosts[self.me]

        def settle(answer: object) -> None:
            if open_calls:
                open_calls.pop()(answer)

        def arrive() -> None:
            if world.reaches(self.me, node):
                answer = deed(world.nodes[node])
                world.world.after(trip_s, home.guard(lambda: settle(answer)))

        world.world.after(trip_s, arrive)
        home.call_at(home.now() + 0.5, lambda: settle(Unreached("no answer in time")))


@dataclass
class PeersPort:
    """Heartbeats from one control plane to the others."""

    world: PocketWorld
    me: ControlPlaneId

    def confer(self, peer: ControlPlaneId, beat: ConferView) -> None:
        def arrive(driver: ControlPlaneDriver) -> None:
            answer = driver.confer(beat, first=False)
            if answer is not None:
                self.world.send(peer, self.me, lambda mine: mine.conferred(answer))

        self.world.send(self.me, peer, arrive)


@dataclass
class MapEar:
    """Carries what a leader publishes to all nodes and to the other control planes."""

    world: PocketWorld
    me: ControlPlaneId

    def replaced(self) -> None:
        if self.world.leader() == self.me:
            for record in self.world.drivers[self.me].fleet_map.shards.values():
                self.known(record)
            self.relay()

    def stepped(self, delta: Delta) -> None:
        if self.world.leader() == self.me:
            for record in delta.changed:
                self.known(record)
            self.relay()

    def known(self, record: Assignment) -> None:
        held = self.world.known.get(record.shard)
        if held is not None and held.fence >= record.fence:
            return
        self.world.known[record.shard] = record
        for copy in held.in_sync if held is not None else ():
            del self.world.held[copy.node][record.shard]
        for copy in record.in_sync:
            self.world.held[copy.node][record.shard] = None
        if held is not None and held.primary != record.primary:
            node = self.world.nodes[record.primary.node]
            node.promised[record.shard] = node.host.now() + (0.1 if record.solo else 0.0)

    def relay(self) -> None:
        mine = self.world.drivers[self.me].fleet_map
        revision, records = mine.revision, list(mine.shards.values())
        self.world.revision = max(self.world.revision, revision)
        for peer in self.world.drivers:
            if peer != self.me:
                self.world.send(self.me, peer, lambda driver: take_map(driver, revision, records))


def take_map(driver: ControlPlaneDriver, revision: object, records: list[Assignment]) -> None:
    try:
        driver.map_replaced(revision, records, {})  # type: ignore[arg-type]
    except TwinholdError:
        return


def hash_of(name: str) -> int:
    return rendezvous_score(name, "seed") & 0xFFFFFFFF


def observers_drawn(topology: Topology) -> Mapping[NodeId, set[NodeId]]:
    """Tabulate whom each node observes besides its partners: three of other data centers observe each node."""
    drawn: dict[NodeId, set[NodeId]] = {node.id: set() for node in topology.nodes}
    for accused in topology.nodes:
        others = [node.id for node in topology.nodes if node.dc != accused.dc]
        for observer in sorted(others, key=lambda other: -rendezvous_score(accused.id, other))[:3]:
            drawn[observer].add(accused.id)
    return drawn
