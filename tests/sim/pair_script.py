"""A scripted world: the few faults, at the one moment, at which a certain rule is all that stands in the way.

A script is a schedule whose times are taken from what happens: it decides what fails and when, and asks for nothing
that a fleet, its network or its leader could not do. Its seed varies everything else.
"""

from collections.abc import Callable
from dataclasses import replace

from chaos.fleet_laws import Breach, FleetLaw
from core.assignments import Assignment, Evict, Fence
from core.names import NodeId
from core.orders import Order
from core.proposals import Proposal
from nodes.frames import Frame
from nodes.pair_rules import Rules
from tests.sim.pair_laws import BrokenLawError
from tests.sim.pair_store import Way, promote
from tests.sim.pair_world import FSYNC_S, Machine, PairWorld

STRIKE_S = 0.8
STEP_S = 0.001


class Script(PairWorld):
    """Plays ``strike`` instead of random faults; nothing else fails, and the leader gives no orders before it is over.

    Clients stay with whom the store names. ``write`` and ``read`` ask where the script wants them to.
    """

    def __init__(self, seed: int, *, rules: Rules, snapshot_entries: int = 10_000) -> None:
        super().__init__(seed, rules=rules, snapshot_entries=snapshot_entries)
        self.lost_ratio = 0.0
        self.network.weather.break_ratio = 0.0
        self.sent_at: NodeId | None = None
        """Where the script sends what it asks for; None: to whom the store names."""
        self.way = Way(0.0, late_ratio=0.0)
        self.deaf: set[NodeId] = set()
        """Nodes that hear nothing of the store any more."""
        self.disks_s: dict[NodeId, float] = {}
        """How long a disk takes, where that is not the usual."""
        self.untold: set[NodeId] = set()
        """Nodes that the map does not reach."""
        self.frames: list[tuple[NodeId, NodeId, Frame]] = []
        """All that was sent, oldest first."""
        self.proposals: list[Proposal] = []
        """All that was asked of the store."""

    def way_of(self, node: NodeId) -> Way:
        """Let every call succeed in time, but those that the script wants to fail."""
        cut_off = self.isolated == node
        return replace(self.way, lost_ratio=1.0 if cut_off else 0.0, deaf=cut_off or node in self.deaf)

    def fsync_s(self, node: NodeId) -> float:
        """Let every disk be quick, but those that the script wants slow."""
        return self.disks_s.get(node, self.time.chance.uniform(*FSYNC_S))

    def sent(self, node: NodeId, peer: NodeId, frame: Frame) -> None:
        """Keep frames, so that some may arrive once more."""
        if not self.calm:
            self.frames.append((node, peer, frame))

    def echo(self, kind: type, *, after_s: float) -> None:
        """Let every frame with such a message that was sent so far arrive once more."""
        for node, peer, frame in self.frames:
            if any(isinstance(message, kind) for message in frame.messages):
                self.time.after(after_s, lambda n=node, p=peer, f=frame: self.arrive(n, p, f))  # type: ignore[misc]  # bound per turn

    def proposed(self, machine: Machine, proposal: Proposal) -> None:
        """Note what the store is asked for."""
        super().proposed(machine, proposal)
        self.proposals.append(proposal)

    def asked(self, change: type) -> bool:
        """Say whether the store was asked for such a change of the present record."""
        return any(isinstance(p.change, change) and p.base == self.record.fence for p in self.proposals)

    def _lead(self) -> None:
        """Give no orders before the trouble is over."""
        if self.calm:
            super()._lead()
        else:
            self.time.after(0.05, self._lead)

    def _spread(self, assignment: Assignment) -> None:
        """Tell everybody within a few milliseconds, but those whom the script keeps in the dark."""
        self.time.note(f"record {assignment.epoch} {assignment.primary.node} {assignment.standby} {assignment.reason}")
        for machine in self.machines.values():
            self.time.after(self.time.chance.uniform(0.002, 0.01), lambda m=machine: self.tell(m))  # type: ignore[misc]  # bound per turn

    def _fault(self) -> None:
        self.time.after(STRIKE_S, self.strike)

    def strike(self) -> None:
        """Do the one thing."""
        raise NotImplementedError

    @property
    def primary(self) -> Machine:
        """The machine that the store names."""
        return self.machines[self.record.primary.node]

    @property
    def standby(self) -> Machine:
        """The other one that it names."""
        standby = self.record.standby
        assert standby is not None, "the shard is in sync"
        return self.machines[standby.node]

    @property
    def spare(self) -> Machine:
        """The one that it does not name."""
        used = {copy.node for copy in self.record.in_sync}
        return next(machine for node, machine in self.machines.items() if node not in used)

    @property
    def record(self) -> Assignment:
        """What the store holds."""
        return self.store.records[self.shard]

    def promote_standby(self) -> None:
        """Let the leader give its verdict, and let the standby hear of it at once."""
        record = promote(self.store, self.shard, self.record.fence)
        if record is not None:
            self.tell(self.machines[record.primary.node])

    def tell(self, machine: Machine) -> None:
        """Bring a node's map up to date, if it can be reached."""
        reached = machine.node not in self.untold and machine.node != self.isolated
        if machine.driver is not None and not machine.host.frozen and reached:
            machine.driver.map_changed([self.record])

    def order(self, order: Order, target: Machine | None = None) -> None:
        """Let the leader give the primary an order."""
        self._order(self.record, order, None if target is None else target.node)

    def evict_standby(self) -> Machine:
        """Let the primary go on alone; returns whom it has left behind."""
        left = self.standby
        change, record = Evict(), self.record
        self.store.change(self.shard, record.fence, change, record.primary, "the script asks for it")
        return left

    def part(self, a: Machine, b: Machine) -> None:
        """Let nothing pass between two nodes any more."""
        self.network.cuts |= {(a.node, b.node), (b.node, a.node)}

    def write(self, node: NodeId) -> None:
        """Ask a node for a write."""
        self.sent_at = node
        self._client_write(once=True)
        self.sent_at = None

    def read(self, node: NodeId) -> None:
        """Ask a node for a read."""
        self.sent_at = node
        self._read_once()
        self.sent_at = None

    def every(self, interval_s: float, deed: Callable[[], None], *, for_s: float) -> None:
        """Do something again and again for a while."""
        for n in range(int(for_s / interval_s)):
            self.time.after(n * interval_s, deed)

    def when(self, holds: Callable[[], bool], then: Callable[[], None]) -> None:
        """Go on as soon as something holds."""
        if holds():
            then()
        elif not self.calm:
            self.time.after(STEP_S, lambda: self.when(holds, then))

    def fence_of(self, machine: Machine) -> Fence | None:
        """Say in which epoch a node's copy acts."""
        views = [] if machine.driver is None else machine.driver.report(complete=True)
        return views[0].fence if views else None

    def serves(self, machine: Machine) -> bool:
        """Say whether a node's copy takes commands."""
        views = [] if machine.driver is None else machine.driver.report(complete=True)
        return any(view.serving for view in views)

    def _target(self, isolated_ratio: float) -> NodeId:
        return self.sent_at or self.record.primary.node


def play(world: type[PairWorld], seed: int, rules: Rules) -> Breach | None:
    """Play one schedule; returns the law that it broke first."""
    try:
        world(seed, rules=rules).run()
    except BrokenLawError as broken:
        return broken.breach
    except Exception as error:  # noqa: BLE001  # whatever the code under test trips over is seen, too
        return Breach(FleetLaw.IMPOSSIBLE, repr(error))
    return None
