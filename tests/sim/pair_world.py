"""One shard on three nodes under virtual time: production machines, driver and ledger, with everything failing.

``run(seed)`` plays one schedule and returns what happened; a broken law raises ``BrokenLawError``. The same seed gives
the same trace. Laws: what was acknowledged is in the log exactly once, where the answer said; reads are prefixes of it
that hold everything acknowledged before they began; one node answers per epoch; the shard comes back to life; and what
a ``Witness`` sees of disks, frames and records.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from chaos.fleet_laws import FleetLaw
from chaos.sim.network import Network, Weather
from chaos.sim.time import Host, World, host
from core.assignments import Assignment, Change, Copy, Fence
from core.copies import Role
from core.errors import TwinholdError
from core.names import NodeId, ShardId, TenantName, tenant_name
from core.orders import Order, PrepareResult, PrepareShard, TransferOrder
from core.proposals import Proposal
from core.rhythm import Rhythm
from core.sharding import home_shard
from core.timers import timers
from core.topology import Kind, Topology
from nodes.app_table import AppTable, type_url
from nodes.driver import NodeDriver
from nodes.frames import Frame
from nodes.ledger import Submitted
from nodes.memory_journal import MemoryDisk, MemoryJournal
from nodes.pair_rules import Rules
from nodes.views import Answered, Outcome, QueryAnswer, QueryOutcome
from tests.fleets import small_fleet
from tests.sim.log_app import LogApp
from tests.sim.pair_laws import BrokenLawError, Op, Witness, once_and_in_place, reads_hold
from tests.sim.pair_store import NodeControl, Store, Way, promote
from twinhold.v1 import journal_pb2

TIMERS = timers("fast")
FAULTS_S = 4.0
CALM_S = 4.0
FSYNC_S = (0.0005, 0.006)
CLIENTS = 3
APPS = AppTable([LogApp()])
COMMAND = type_url(StringValue)
QUERY = type_url(Empty)
TENANT_COMMAND = type_url(journal_pb2.TenantCommand)


@dataclass(slots=True)
class Tally:
    """What a schedule came to."""

    acked: int = 0
    reads: int = 0
    epochs: int = 0
    served_by: set[NodeId] = field(default_factory=set)
    trace: str = ""
    orphans: int = 0
    changes: tuple[str, ...] = ()


class Machine:
    """One node: host and disk outlive the process."""

    def __init__(self, world: "PairWorld", node: NodeId) -> None:
        self.node = node
        self.world = world
        self.host: Host = host(world.time, node, drift_ratio=TIMERS.drift_ratio / 2)
        self.disks = 1
        self.disk = MemoryDisk(f"{node}d1")
        self.driver: NodeDriver | None = None
        self.journal: MemoryJournal | None = None
        self.frozen_at = 0.0

    def start(self) -> None:
        """Begin a life."""
        w = self.world
        self.host.start()
        self.journal = MemoryJournal(self.disk, self._fsync)
        self.driver = NodeDriver(
            topology=w.topology,
            node=self.node,
            timers=TIMERS,
            rhythm=Rhythm(TIMERS.heartbeat_s),
            clock=self.host,
            spawn=self.host,
            rng=w.time.chance,
            journal=self.journal,
            links=_Links(w, self.node),
            apps=APPS,
            control=NodeControl(
                w.time,
                w.store,
                self.host,
                way=lambda: w.way_of(self.node),
                asked=lambda proposal: w.proposed(self, proposal),
            ),
            tell=lambda event, facts: w.told(self.node, event, facts),
            rules=w.rules,
            snapshot_entries=w.snapshot_entries,
            snapshot_hold_s=w.snapshot_hold_s,
        )
        self.driver.start()
        self.driver.map_changed(w.map_at_start(self.node))
        w.network.plug(self.node, self, tuple(n for n in w.nodes if n != self.node))

    def crash(self, *, lose_disk: bool = False, keep: int | None = -1) -> None:
        """End this life; of the unsynced deeds the first ``keep`` are on the disk: None: all, -1: any number."""
        if self.driver is None or self.journal is None:
            return
        chance = self.world.time.chance
        waiting = self.journal.waiting
        kept = waiting if keep is None else keep
        self.journal.crash(keep=chance.randint(0, waiting) if kept < 0 else kept)
        self.driver = self.journal = None
        self.host.crash()
        self.world.network.gone(self.node)
        self.world.witness.synced(self)
        if lose_disk:
            self.world.witness.disk_lost(self)
            self.disks += 1
            self.disk = MemoryDisk(f"{self.node}d{self.disks}")

    def freeze(self) -> None:
        """Stop, silently."""
        self.frozen_at = self.world.time.now
        self.host.freeze()

    def thaw(self) -> None:
        """Go on, if it was stopped."""
        if self.host.frozen and self.host.alive:
            self.world.witness.thawed(self, self.world.time.now - self.frozen_at)
            self.host.thaw()

    def message(self, peer: str, message: Frame) -> None:
        """Take a frame."""
        self._living().message(NodeId(peer), message)

    def link_up(self, peer: str) -> None:
        """Learn that a stream stands."""
        self._living().link_up(NodeId(peer))

    def link_down(self, peer: str, refused: bool) -> None:
        """Learn that a stream broke."""
        self._living().link_down(NodeId(peer), refused)

    def _fsync(self, done: Callable[[], None]) -> None:
        def sync() -> None:
            done()
            self.world.witness.synced(self)

        self.host.call_at(self.host.now() + self.world.fsync_s(self.node), sync)

    def _living(self) -> NodeDriver:
        assert self.driver is not None, "a dead process was called"
        return self.driver


@dataclass(frozen=True, slots=True)
class _Links:
    """The network."""

    world: "PairWorld"
    node: NodeId

    def send(self, peer: NodeId, message: Frame, *, bulk: bool = False) -> None:
        self.world.witness.said(self.world.machines[self.node], message)
        self.world.network.send(self.node, peer, message, bulk=bulk)
        self.world.sent(self.node, peer, message)


class PairWorld:
    """The world of one schedule."""

    def __init__(self, seed: int, *, rules: Rules, snapshot_entries: int = 60) -> None:
        self.seed = seed
        self.time = World(seed)
        self.rules = rules
        self.snapshot_entries = snapshot_entries
        self.snapshot_hold_s = 0.0
        self.topology: Topology = small_fleet(99)
        self.nodes: tuple[NodeId, ...] = tuple(node.id for node in self.topology.nodes)
        self.store = Store(self.topology)
        self.store.changed = self._decided
        self.lost_ratio = 0.05
        self.machines = {node: self.machine(node) for node in self.nodes}
        hosts: dict[str, Host] = {node: machine.host for node, machine in self.machines.items()}
        self.network: Network[Frame] = Network(self.time, hosts, Weather(jitter_s=0.002, break_ratio=0.0005))
        self.tenant: TenantName = tenant_name(f"tenants/{self.topology.geographies[0].id}/acme")
        self.shard: ShardId = home_shard(self.tenant, self.topology.geographies[0])
        self.witness = Witness(self.shard, TIMERS, self.machines)
        self.ops: list[Op] = []
        self.answered_by: dict[Fence, NodeId] = {}
        self.calm = False
        self.isolated: NodeId | None = None
        self._term = 1
        self._texts = 0

    def machine(self, node: NodeId) -> Machine:
        """Make a machine; tests override it."""
        return Machine(self, node)

    def run(self) -> Tally:
        """Play the schedule and judge it."""
        self._begin()
        self.time.run(FAULTS_S)
        self._heal()
        self.time.run(FAULTS_S + CALM_S)
        return self._judge()

    def _begin(self) -> None:
        for machine in self.machines.values():
            machine.start()
        copies = []
        for node in self.nodes[:2]:
            journal = self.machines[node].journal
            assert journal is not None, "it was just started"
            copies.append(Copy(node, journal.fresh_copy_id(self.shard)))
        self.store.put(Assignment(self.shard, Kind.COLLAB, 1, 1, copies[0], copies[1]))
        for number in range(CLIENTS):
            self.time.after(0.05 + 0.01 * number, lambda: self._client_write(create=True))
            self.time.after(0.3 + 0.02 * number, self._client_read)
        self.time.after(0.1, self._lead)
        self.time.after(0.2, self._fault)

    def told(self, node: NodeId, event: str, facts: Mapping[str, object]) -> None:
        """Take a line of a node's log."""
        self.time.note(f"{node} {event} {facts.get('epoch')}")

    def map_at_start(self, node: NodeId) -> list[Assignment]:
        """Say what a starting node's map holds of the shard."""
        return [self.store.records[self.shard]] if self.shard in self.store.records else []

    def proposed(self, machine: Machine, proposal: Proposal) -> None:
        """Take note of what a node asks the store for."""
        self.witness.proposed(machine, proposal)

    def way_of(self, node: NodeId) -> Way:
        """Say how a node's calls to the store fare now."""
        return Way(1.0 if self.isolated == node else self.lost_ratio)

    def fsync_s(self, node: NodeId) -> float:
        """Say how long a node's disk takes for the next group of deeds."""
        chance = self.time.chance
        slow_s = 0.3 if chance.random() < 0.01 else 0.0
        return chance.uniform(*FSYNC_S) + slow_s

    def sent(self, node: NodeId, peer: NodeId, frame: Frame) -> None:
        """Let a frame arrive once more now and then, late, whatever became of its stream meanwhile."""
        if not self.calm and self.time.chance.random() < 0.01:
            self.time.after(self.time.chance.uniform(0.01, 0.8), lambda: self.arrive(node, peer, frame))

    def arrive(self, node: NodeId, peer: NodeId, frame: Frame) -> None:
        """Bring a frame to a peer, if it lives."""
        target = self.machines[peer]
        target.host.guard(lambda: target.message(node, frame))()

    # Clients: closed loops that retry the same request until it is answered.

    def _client_write(self, *, create: bool = False, once: bool = False) -> None:
        self._texts += 1
        op = Op("write", f"w{self._texts}", self.time.now, once=once)
        if not create:
            self.ops.append(op)
            submitted = Submitted(
                str(self.tenant), "log", StringValue(value=op.text).SerializeToString(), COMMAND, "ada", op.text
            )
        else:
            body = journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand(display_name="Acme"))
            submitted = Submitted(str(self.tenant), "tenant", body.SerializeToString(), TENANT_COMMAND, "ada", "create")
        self._attempt(op, submitted)

    def _attempt(self, op: Op, submitted: Submitted) -> None:
        tried = [False]

        def again() -> None:
            if not tried[0] and op.completed is None:
                tried[0] = True
                self._attempt(op, submitted)

        def done(outcome: Outcome, node: NodeId) -> None:
            self._attempted(outcome)
            if isinstance(outcome, TwinholdError) or op.completed is not None:
                self.time.after(self.time.chance.uniform(0.005, 0.05), again)
                return
            self._answered(op, outcome, node)
            if op.once:
                return
            chance = self.time.chance
            pause_s = chance.uniform(0.1, 0.6) if chance.random() < 0.3 else chance.uniform(0.001, 0.03)
            self.time.after(pause_s, self._client_write)

        self.time.after(self.time.chance.uniform(0.3, 0.6), again)
        target = self._target(0.08)
        machine = self.machines[target]
        if machine.driver is not None:
            arrive = machine.host.guard(
                lambda: machine._living().submit(submitted, lambda outcome: self._back(machine, outcome, done))
            )
            self.time.after(self.time.chance.uniform(0.0002, 0.003), arrive)

    def _back(self, machine: Machine, outcome: Outcome, done: Callable[[Outcome, NodeId], None]) -> None:
        """Bring an answer back, or lose it."""
        if isinstance(outcome, Answered):
            self._one_per_epoch(machine)
            self.witness.answered(machine, outcome)
        if self.calm or self.time.chance.random() > 0.02:
            self.time.after(self.time.chance.uniform(0.0002, 0.003), lambda: done(outcome, machine.node))

    def _attempted(self, outcome: Outcome) -> None:
        """Look at what became of one attempt; tests override it."""

    def _one_per_epoch(self, machine: Machine) -> None:
        assert machine.driver is not None, "a dead process answered"
        view = machine.driver.report(complete=True)[0]
        if view.role not in (Role.PRIMARY, Role.DRAINED):
            return  # the answer to a forwarded request, passed on
        first = self.answered_by.setdefault(view.fence, machine.node)
        if first != machine.node:
            raise BrokenLawError(FleetLaw.I6, f"{first} and {machine.node} both answered in epoch {view.fence.epoch}")

    def _answered(self, op: Op, outcome: Answered, node: NodeId) -> None:
        op.completed = self.time.now
        if outcome.type_url.endswith("Int64Value"):
            op.place = Int64Value.FromString(outcome.body).value
        self.time.note(f"{op.text} is acknowledged by {node} at {outcome.lsn}")

    def _client_read(self) -> None:
        self._read_once()
        self.time.after(self.time.chance.uniform(0.01, 0.06), self._client_read)

    def _read_once(self) -> None:
        op = Op("read", "", self.time.now)
        machine = self.machines[self._target(0.6)]

        def done(outcome: QueryOutcome) -> None:
            if isinstance(outcome, QueryAnswer):
                self.witness.read(machine, outcome)
                op.completed = self.time.now
                text = "".join(StringValue.FromString(body).value for _, body in outcome.parts)
                op.seen = tuple(text.split("\n")) if text else ()
                self.ops.append(op)

        if machine.driver is not None:
            ask = machine.host.guard(
                lambda: machine._living().query(
                    tenant=str(self.tenant), type_url=QUERY, body=b"", actor="ada", done=done
                )
            )
            self.time.after(self.time.chance.uniform(0.0002, 0.003), ask)

    def _target(self, isolated_ratio: float) -> NodeId:
        record = self.store.records[self.shard]
        if self.isolated is not None and self.time.chance.random() < isolated_ratio:
            return self.isolated
        if self.calm or self.time.chance.random() < 0.8:
            return record.primary.node
        return self.time.chance.choice(self.nodes)

    # The leader: judges by what it sees, and sometimes wrongly.

    def _decided(self, change: Change | None, assignment: Assignment) -> None:
        if change is None:
            self.witness.first(assignment)
        else:
            self.witness.decided(change, assignment)
        self._spread(assignment)

    def _spread(self, assignment: Assignment) -> None:
        self.time.note(f"record {assignment.epoch} {assignment.primary.node} {assignment.standby} {assignment.reason}")
        for machine in self.machines.values():
            learn = machine.host.guard(lambda m=machine: m.driver and m._living().map_changed([assignment]))  # type: ignore[misc]  # bound per turn
            if self.time.chance.random() < 0.9 and machine.node != self.isolated:
                self.time.after(self.time.chance.uniform(0.005, 0.4), learn)

    def _lead(self) -> None:
        self.time.after(0.08, self._lead)
        record = self.store.records[self.shard]
        primary = self.machines[record.primary.node]
        suspect = not self.calm and self.time.chance.random() < (0.3 if self.isolated == record.primary.node else 0.03)
        if record.standby is not None and (not lives(primary) or suspect or self._unfit(primary)):
            self._prepare(record)
        elif record.standby is None:
            self._order(record, Order.ADD, self._spare(record))
        elif not self.calm and self.time.chance.random() < 0.06:
            order = self.time.chance.choice((Order.SWAP, Order.SWITCHOVER, Order.SWITCHOVER, Order.CANCEL))
            self._order(record, order, self._spare(record) if order is Order.SWAP else None)
        for machine in self.machines.values():
            reachable = machine.node != self.isolated and self.time.chance.random() < 0.3
            if machine.driver is not None and not machine.host.frozen and reachable:
                machine._living().map_changed([record])

    def _unfit(self, machine: Machine) -> bool:
        """Say whether the primary's node reports that it can't serve, or holds another copy than the named one."""
        if machine.driver is None or machine.host.frozen:
            return False
        views = machine.driver.report(complete=True)
        copy = self.store.records[self.shard].primary.copy_id
        return any(view.complaint for view in views) or copy not in [view.copy_id for view in views]

    def _prepare(self, record: Assignment) -> None:
        assert record.standby is not None, "somebody to promote"
        standby = self.machines[record.standby.node]
        if standby.driver is None or standby.host.frozen:
            return

        def ready(results: "list[PrepareResult] | tuple[PrepareResult, ...]") -> None:
            if results[0].ready:
                promote(self.store, self.shard, record.fence)

        standby._living().prepare(
            [PrepareShard(self.shard, record.fence)], self._term, lambda results: ready(list(results))
        )

    def _spare(self, record: Assignment) -> NodeId | None:
        used = {copy.node for copy in record.in_sync}
        spare = [n for n in self.nodes if n not in used and lives(self.machines[n])]
        return self.time.chance.choice(spare) if spare else None

    def _order(self, record: Assignment, order: Order, target: NodeId | None) -> None:
        primary = self.machines[record.primary.node]
        if order in (Order.ADD, Order.SWAP) and target is None:
            return
        if primary.driver is not None and not primary.host.frozen and record.primary.node != self.isolated:
            primary._living().transfer([TransferOrder(self.shard, record.fence, order, target, "")], self._term)

    # Faults.

    def _fault(self) -> None:
        if self.calm:
            return
        chance = self.time.chance
        self.time.after(chance.uniform(0.05, 0.4), self._fault)
        primary = self.store.records[self.shard].primary.node
        node = primary if chance.random() < 0.5 else chance.choice(self.nodes)
        machine = self.machines[node]
        match chance.choice(("crash", "crash", "freeze", "cut", "cut", "isolate", "disk", "weather")):
            case "crash" if lives(machine):
                machine.crash(lose_disk=chance.random() < 0.1 and self._may_lose(node))
                self.time.after(chance.uniform(0.02, 0.6), lambda: self._revive(machine))
            case "freeze" if lives(machine):
                machine.freeze()
                self.time.after(chance.uniform(0.05, 1.0), machine.thaw)
            case "cut":
                peer = chance.choice([n for n in self.nodes if n != node])
                self.network.cuts |= {(node, peer)} | ({(peer, node)} if chance.random() < 0.6 else set())
                self.time.after(chance.uniform(0.1, 0.8), self.network.mend)
            case "isolate":
                self._isolate(node, restart=chance.random() < 0.5)
            case "disk" if machine.journal is not None and not machine.host.frozen:
                machine.journal.fail_next("no space left", kept=chance.random() < 0.5)
            case "weather":
                self.lost_ratio = chance.choice((0.0, 0.1, 0.5))
            case _:
                pass

    def _isolate(self, node: NodeId, *, restart: bool) -> None:
        """Cut a node off from its peers and from the control plane, while clients still reach it."""
        self.network.cuts |= {pair for peer in self.nodes if peer != node for pair in ((node, peer), (peer, node))}
        self.isolated = node

        def mend() -> None:
            self.network.mend()
            self.isolated = None

        chance, machine = self.time.chance, self.machines[node]
        self.time.after(chance.uniform(0.2, 1.2), mend)
        if restart:
            self.time.after(chance.uniform(0.01, 0.06), machine.crash)
            self.time.after(chance.uniform(0.07, 0.15), lambda: self._revive(machine))

    def _may_lose(self, node: NodeId) -> bool:
        """One disk may be lost while another copy in sync stands: more is outside of what a pair survives."""
        record = self.store.records[self.shard]
        named = any(copy.node == node for copy in record.in_sync)
        return not named or (record.standby is not None and self._disks_lost() == 0)

    def _disks_lost(self) -> int:
        return sum(machine.disks - 1 for machine in self.machines.values())

    def _revive(self, machine: Machine) -> None:
        if machine.driver is None:
            machine.start()

    def _heal(self) -> None:
        self.calm, self.isolated = True, None
        self.lost_ratio = 0.0
        self.network.weather.break_ratio = 0.0
        self.network.mend()
        for machine in self.machines.values():
            machine.thaw()
            self._revive(machine)

    # Judgement.

    def _judge(self) -> Tally:
        writes = [op for op in self.ops if op.kind == "write"]
        reads = [op for op in self.ops if op.kind == "read"]
        alive = bool(reads) and reads[-1].invoked > FAULTS_S + CALM_S - 0.5
        if not alive and not self._blocked():
            raise BrokenLawError(FleetLaw.LIVENESS, f"the shard did not come back to life: {self._state()}")
        log = max((read.seen for read in reads), key=len, default=())
        if alive:
            once_and_in_place(writes, log, until=self.time.now - 0.5)
        reads_hold(reads, writes, log)
        return Tally(
            acked=sum(op.completed is not None for op in writes),
            reads=len(reads),
            epochs=self.store.records[self.shard].epoch,
            served_by=set(self.answered_by.values()),
            trace=self.time.trace_hash,
            orphans=sum(len(machine.disk.orphans) for machine in self.machines.values()),
            changes=tuple(record.reason for record in self.store.history),
        )

    def _blocked(self) -> bool:
        """Say whether the only copy is lost or damaged: a double fault, until an operator overrides or restores."""
        record = self.store.records[self.shard]
        machine = self.machines[record.primary.node]
        views = [] if machine.driver is None else machine.driver.report(complete=True)
        lost = not record.primary.copy_id.startswith(f"{machine.disk.disk_id}.")
        return record.solo and (lost or any("damaged" in view.complaint for view in views))

    def _state(self) -> str:
        views = [
            view for m in self.machines.values() if m.driver is not None for view in m.driver.report(complete=True)
        ]
        return f"{self.store.records[self.shard]} {views}"


def run(seed: int, *, rules: Rules | None = None) -> Tally:
    """Play one schedule; what breaks a law names the seed and how to play it again."""
    world = PairWorld(seed, rules=rules or Rules())
    try:
        return world.run()
    except AssertionError as broken:
        again = f"python -m tests.sim.pair_world {seed}"
        raise AssertionError(f"seed {seed}: {broken!r}\nplay it again: {again}") from broken


def lives(machine: Machine) -> bool:
    """Say whether a machine's process runs."""
    return machine.driver is not None and not machine.host.frozen


if __name__ == "__main__":
    import sys

    for text in sys.argv[1:]:
        found = PairWorld(int(text), rules=Rules())
        found.time.tell = print
        sys.stdout.write(f"{found.run()}\n")
