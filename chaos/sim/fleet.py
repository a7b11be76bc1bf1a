"""The simulated fleet: hosts, nodes, control planes, one store, people; and the faults that a schedule names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.history import Line
from chaos.schedule import Lasting
from chaos.sim.disks import DiskFaults
from chaos.sim.network import Pair, Weather
from chaos.sim.node import Parts, SimNode
from chaos.sim.operator import Operator
from chaos.sim.plane import SimPlane
from chaos.sim.seen import Sights
from chaos.sim.store import StoreWeather
from chaos.sim.time import Host, World, host
from chaos.sim.user import User
from chaos.sim.watched import WatchedNetwork, WatchedVault
from chaos.sim.witness import Witness
from control_plane.driver import ControlPlaneDriver
from core.assignments import Assignment
from core.fleet_map import FleetMap
from core.names import ControlPlaneId, DcId, NodeId, TenantName
from core.timers import Timers
from core.topology import Topology, rtt_table_s
from nodes.memory_journal import MemoryDisk


@dataclass(frozen=True, slots=True)
class Plan:
    """What kind of world to build."""

    topology: Topology
    timers: Timers
    tenants: Sequence[TenantName]
    pause_s: float
    """Between two operations of a person, on average."""
    break_ratio: float
    lost_call_ratio: float


class SimFleet:
    """A whole fleet on virtual time, made of production code."""

    def __init__(self, world: World, plan: Plan, parts: Parts) -> None:
        self.world, self.plan = world, plan
        topology = plan.topology
        names = [*(n.id for n in topology.nodes), *(c.id for c in topology.control_planes)]
        drift = plan.timers.drift_ratio * 0.9
        self.hosts: dict[str, Host] = {name: host(world, name, drift_ratio=drift) for name in names}
        self._machines = list(self.hosts.values())
        self.hosts |= {str(tenant): host(world, str(tenant), drift_ratio=drift) for tenant in plan.tenants}
        self.weather = Weather(
            delay_s=_delays(topology), break_ratio=plan.break_ratio, lost_call_ratio=plan.lost_call_ratio
        )
        self.witness = Witness(
            world, topology, plan.timers, Sights(self._disk, self._living, self._maps, self._troubled)
        )
        self.network = WatchedNetwork(world, self.hosts, self.weather, self.witness)
        self.vault = WatchedVault(topology, host(world, "store", drift_ratio=0.0), self.witness)
        self.store = StoreWeather(world, self.hosts)
        self.lasting: list[Lasting] = []
        """Faults that have begun and not ended."""
        self.cut_by_faults: set[Pair] = set()
        self.healed = False
        self.nodes: dict[NodeId, SimNode] = {}
        self.planes: dict[ControlPlaneId, SimPlane] = {}
        self.lines: list[Line] = []
        self._build(parts)
        self.disks = DiskFaults(world, self.nodes, self.vault)
        self.operator = Operator(world, self.planes)
        self.users = [
            User(
                tenant,
                self.hosts[str(tenant)],
                self.network,
                self.nodes,
                parts.apps,
                self.lines,
                plan.pause_s,
            )
            for tenant in plan.tenants
        ]

    def start(self) -> None:
        """Start every process, then the people."""
        for plane in self.planes.values():
            plane.start()
        for node in self.nodes.values():
            node.start()
        for user in self.users:
            user.start()

    # Faults; each says what it did to the trace.

    def crash(self, name: str) -> None:
        """Kill a process."""
        if self.hosts[name].alive:
            self._machine(name).crash()

    def restart(self, name: str) -> None:
        """Start a dead process with what its disk kept; thaw a frozen one."""
        machine = self.hosts[name]
        if machine.frozen:
            machine.thaw()
        elif not machine.alive:
            if name in self.nodes:
                self.disks.change(self.nodes[NodeId(name)])
            machine.start()
            self._machine(name).start()

    def freeze(self, name: str) -> None:
        """Stop a process, silently."""
        if self.hosts[name].alive and not self.hosts[name].frozen:
            self.hosts[name].freeze()

    def names_in(self, dc: DcId) -> list[str]:
        """List the processes that stand in a data center."""
        topology = self.plan.topology
        planes = [str(c.id) for c in topology.control_planes if c.dc == dc]
        return [*(str(n.id) for n in topology.nodes_in(dc)), *planes]

    def cut(self, a: str, b: str, *, both_ways: bool) -> None:
        """Let nothing arrive from ``a`` at ``b``; or neither way."""
        self.network.cuts.add((a, b))
        if both_ways:
            self.network.cuts.add((b, a))
        self.world.note(f"cut {a} -> {b} both_ways={both_ways}")

    def restore(self, node: NodeId) -> None:
        """Put right what reads wrong on a node's disk, as an operator does; a process that noticed starts anew."""
        if self.disks.restore(self.nodes[node]):
            self.crash(node)
            self.restart(node)

    def heal(self) -> None:
        """End every fault: mend cuts, start and thaw everybody, let the store answer, restore what is damaged."""
        self.healed = True
        self.lasting.clear()
        self.world.note("everything heals")
        self.network.mend()
        self.weather.heal()
        self.network.undialled = set()
        self.store.heal()
        for node in self.nodes.values():
            node.disk_refusal, node.fsync_extra_s = "", 0.0
            self.restore(node.node)
        for name in (*self.nodes, *self.planes):
            self.hosts[name].doom(0)
            self.restart(name)
        self.operator.uncordon_all()

    def settled(self) -> list[str]:
        """Say what keeps the fleet from being whole: shards on one copy or unserved; empty: nothing."""
        known = self.vault.read(None)
        records = [a for state in known.values() for a in state.assignments]
        missing = self.plan.topology.shards - len(records)
        wrong = [f"{missing} shards were never assigned"] if missing else []
        wrong += [f"shard {a.shard} is SOLO on {a.primary.node}" for a in records if a.solo]
        return wrong + [f"shard {a.shard} is not served by {a.primary.node}" for a in records if not self._serves(a)]

    def _serves(self, assignment: Assignment) -> bool:
        node = self.nodes[assignment.primary.node].driver
        views = [] if node is None else node.copies()
        return any(view.shard == assignment.shard and view.serving for view in views)

    def _build(self, parts: Parts) -> None:
        topology, timers = self.plan.topology, self.plan.timers
        for node in topology.nodes:
            self.nodes[node.id] = SimNode(
                node.id,
                self.hosts[node.id],
                topology=topology,
                timers=timers,
                network=self.network,
                parts=parts,
                planes=self._living,
                witness=self.witness,
            )
        for plane in topology.control_planes:
            self.planes[plane.id] = SimPlane(
                plane.id,
                self.hosts[plane.id],
                topology=topology,
                timers=timers,
                network=self.network,
                vault=self.vault,
                weather=self.store,
                nodes=self.nodes,
            )

    def _machine(self, name: str) -> SimNode | SimPlane:
        node = self.nodes.get(NodeId(name))
        return node if node is not None else self.planes[ControlPlaneId(name)]

    def _living(self) -> Mapping[ControlPlaneId, ControlPlaneDriver]:
        return {plane.plane: plane.driver for plane in self.planes.values() if plane.driver is not None}

    def _disk(self, node: NodeId) -> MemoryDisk:
        return self.nodes[node].disk

    def _maps(self) -> Iterator[tuple[str, FleetMap]]:
        """Name every map that is shown now."""
        yield from ((node.node, node.fleet_map) for node in self.nodes.values() if node.driver is not None)
        yield from ((plane, driver.fleet_map) for plane, driver in self._living().items())

    def _troubled(self) -> Iterator[str]:
        """Name the processes that are dead, frozen, or hindered in talking with anybody."""
        yield from (machine.name for machine in self._machines if machine.frozen or not machine.alive)
        for pair in (*self.network.cuts, *self.network.undialled, *self.weather.clogs):
            yield from pair


def _delays(topology: Topology) -> dict[tuple[str, str], float]:
    table = rtt_table_s(topology)
    everybody = [(str(n.id), n.dc) for n in topology.nodes] + [(str(c.id), c.dc) for c in topology.control_planes]
    return {(a, b): table[dc_a, dc_b] / 2 + 0.0002 for a, dc_a in everybody for b, dc_b in everybody if a != b}
