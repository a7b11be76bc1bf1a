"""Single faults, drawn by chance for the fleet of a schedule: who is hit, how, and for how long."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chaos.schedule import (
    Clog,
    Crash,
    CrashAmid,
    Cut,
    CutDc,
    FailFsync,
    Fault,
    FlipBit,
    Freeze,
    FullDisk,
    LoseDc,
    LoseDisk,
    LosePower,
    LostCalls,
    NoDial,
    Resets,
    SlowDisk,
    SlowStore,
    StoreAway,
    StoreCut,
    Stragglers,
    Suspend,
    VagueStore,
)
from core.names import DcId, NodeId, ShardId
from core.ports import Rng
from core.timers import Timers
from core.topology import Topology

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Scene:
    """Where plots play, and the chance that decides in them."""

    chance: Rng
    topology: Topology
    timers: Timers

    def between(self, least: float, most: float) -> float:
        """Draw a time or a ratio."""
        return round(least + (most - least) * self.chance.random(), 4)

    def lasts_s(self) -> float:
        """Draw how long a fault lasts: mostly short, sometimes long enough to be noticed by everybody."""
        return self.between(0.05, 6.0) if self.chance.random() < 0.4 else self.between(0.05, 1.6)

    def near_s(self, time_s: float) -> float:
        """Draw a time near one at which something is decided."""
        return round(time_s * (0.75 + 0.5 * self.chance.random()), 4)

    def pick(self, names: Sequence[Found]) -> Found:
        """Draw one."""
        return names[int(self.chance.random() * len(names))]

    def node(self, *, but: str = "") -> NodeId:
        """Draw a node; not this one."""
        return self.pick([node.id for node in self.topology.nodes if node.id != but])

    def plane(self) -> str:
        """Draw a control plane; the first ones are likelier to lead."""
        planes = [str(plane.id) for plane in self.topology.control_planes]
        return planes[0] if self.chance.random() < 0.4 else self.pick(planes)

    def dc(self) -> DcId:
        """Draw a data center."""
        return self.pick([dc.id for dc in self.topology.data_centers])

    def shard(self) -> ShardId:
        """Draw a shard."""
        return ShardId(int(self.chance.random() * self.topology.shards))

    def host(self, *, but: str = "") -> str:
        """Draw a node, or now and then a control plane."""
        return str(self.node(but=but)) if self.chance.random() < 0.75 else self.plane()


def weighted(chance: Rng, choices: Sequence[tuple[float, Found]]) -> Found:
    """Draw one by its weight; weights need not add up to anything."""
    draw = chance.random() * sum(weight for weight, _ in choices)
    for weight, found in choices:
        draw -= weight
        if draw < 0.0:
            return found
    return choices[-1][1]


def one(scene: Scene, *choices: tuple[float, Fault]) -> Fault:
    """Draw a fault by its weight."""
    return weighted(scene.chance, choices)


def strike(scene: Scene, host: str) -> Fault:
    """Hit one process, whatever it is at."""
    for_s = scene.lasts_s()
    return one(
        scene,
        (3.0, Crash(host, for_s)),
        (2.0, CrashAmid(host, 1 + int(12 * scene.chance.random()), for_s)),
        (2.0, Freeze(host, for_s)),
        (1.0, Suspend(host, for_s)),
        (2.0, _cut(scene, host)),
    )


def _cut(scene: Scene, host: str) -> Fault:
    other = scene.host(but=host)
    if other == host:
        return Freeze(host, scene.lasts_s())
    for_s = scene.lasts_s()
    return one(
        scene,
        (3.0, Cut(host, other, for_s, True)),
        (2.0, Cut(host, other, for_s, False)),
        (1.0, NoDial(host, other, for_s)),
        (1.0, Clog(host, other, scene.between(0.1, 2.0), for_s)),
    )


def hurt_disk(scene: Scene, node: NodeId) -> Fault:
    """Do something to a node's disk."""
    for_s = scene.lasts_s()
    return one(
        scene,
        (3.0, LoseDisk(node, for_s)),
        (2.0, FlipBit(node, scene.between(0.0, 1.0), for_s)),
        (2.0, SlowDisk(node, scene.between(0.01, 1.5), for_s)),
        (1.0, FailFsync(node, scene.chance.random() < 0.5)),
        (1.0, FullDisk(node, for_s)),
    )


def lose(scene: Scene, dc: DcId) -> Fault:
    """Take a data center away."""
    for_s = scene.between(0.3, 9.0)
    return one(
        scene,
        (3.0, LoseDc(dc, for_s, False)),
        (2.0, LoseDc(dc, for_s, True)),
        (2.0, LosePower(dc, for_s)),
        (2.0, CutDc(dc, for_s, scene.chance.random() < 0.5)),
    )


def hinder_store(scene: Scene) -> Fault:
    """Make the store hard to reach."""
    for_s = scene.lasts_s()
    return one(
        scene,
        (2.0, StoreAway(for_s)),
        (2.0, StoreCut(scene.plane(), for_s)),
        (1.0, SlowStore(scene.between(0.02, 0.4), for_s)),
        (2.0, VagueStore(scene.between(0.1, 0.6), for_s)),
    )


def weather(scene: Scene) -> Fault:
    """Let the network be bad everywhere."""
    for_s = scene.between(1.0, 8.0)
    return one(
        scene,
        (1.0, Resets(scene.between(0.001, 0.02), for_s)),
        (1.0, LostCalls(scene.between(0.05, 0.4), for_s)),
        (1.0, Stragglers(scene.between(0.1, 0.9), for_s)),
    )


def anything(scene: Scene) -> Fault:
    """Draw any fault."""
    kinds: tuple[tuple[float, Callable[[], Fault]], ...] = (
        (4.0, lambda: strike(scene, scene.host())),
        (2.0, lambda: hurt_disk(scene, scene.node())),
        (1.5, lambda: lose(scene, scene.dc())),
        (1.0, lambda: hinder_store(scene)),
        (1.0, lambda: weather(scene)),
    )
    return weighted(scene.chance, kinds)()
