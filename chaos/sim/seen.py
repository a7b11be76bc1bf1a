"""What the witness of a simulated fleet has seen, and where it looks: shared by the parts that judge."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from chaos.fleet_laws import Breach
from chaos.marks import Mark
from chaos.pair_laws import Chain, Grants
from chaos.sim.time import World
from control_plane.driver import ControlPlaneDriver
from core.assignments import Assignment, Copy, Fence
from core.fleet_map import FleetMap
from core.names import ControlPlaneId, NodeId, ShardId
from core.timers import Timers
from core.topology import Topology
from nodes.memory_journal import MemoryDisk, Shelf
from nodes.records import Generation

PER_LAW_MAX = 3
"""How many breaches of one law are kept."""
Place = tuple[ShardId, NodeId]


@dataclass(frozen=True, slots=True)
class Sights:
    """Where the witness looks; each as it is at the moment."""

    disk_of: Callable[[NodeId], MemoryDisk]
    """Finds the disk that a node has."""
    planes: Callable[[], Mapping[ControlPlaneId, ControlPlaneDriver]]
    """Finds the control planes that live."""
    maps: Callable[[], Iterable[tuple[str, FleetMap]]]
    """Finds every map that is shown, by who shows it."""
    troubled: Callable[[], Iterable[str]]
    """Names the processes that are dead, frozen, or hindered in talking with anybody."""


@dataclass(slots=True)
class SeenShard:
    """What is known of one shard: its records, oldest first, and what clients were told."""

    records: list[Assignment] = field(default_factory=list)
    unplanned: set[Fence] = field(default_factory=set)
    """Fences that came by a promotion or an override."""
    chain: Chain = field(default_factory=Chain)
    requests: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """By (tenant, actor, request id): where it took effect."""
    served: tuple[Fence, NodeId] = (Fence(0, 0), NodeId(""))
    """The highest fence in which anybody answered, and who."""
    begun: set[Fence] = field(default_factory=set)
    """Unplanned fences in which somebody has answered."""

    @property
    def newest(self) -> Assignment | None:
        """Name the present record; None: there is none."""
        return self.records[-1] if self.records else None

    def at(self, fence: Fence) -> int | None:
        """Find a record by its fence, the newest first."""
        for index in range(len(self.records) - 1, -1, -1):
            if self.records[index].fence == fence:
                return index
        return None


class Seen:
    """One run's."""

    def __init__(self, world: World, topology: Topology, timers: Timers, sights: Sights) -> None:
        self.world, self.topology, self.sights = world, topology, sights
        self.breaches: list[Breach] = []
        """Earliest first; a few of each law."""
        self.marks: dict[str, int] = {}
        """How often each path that matters was taken, by the mark's name."""
        self.shards: dict[ShardId, SeenShard] = {}
        self.grants = Grants(timers.lease_s)
        self.acks: dict[Place, tuple[Generation, int]] = {}
        """The last generation that a copy acknowledged in, and how far."""
        self.tails: dict[Place, tuple[Generation, int]] = {}
        """What a restarted primary must have had acknowledged before it answers."""
        self.evicting: dict[Place, Fence] = {}
        """From which record a primary has asked for the eviction of its standby."""
        self.copies: dict[tuple[ShardId, Copy], Shelf] = {}
        """Every copy that ever spoke, and where its journal lay."""
        self.welcomed_s: dict[ShardId, float] = {}
        """When a copy was last welcomed to follow."""
        self.shipped_s: dict[ShardId, float] = {}
        """When a part of a snapshot last left."""

    @property
    def now(self) -> float:
        """Read the one true time."""
        return self.world.now

    def found(self, breach: Breach | None) -> None:
        """Keep a breach; None: there is none."""
        if breach is not None and sum(breach.law is known.law for known in self.breaches) < PER_LAW_MAX:
            self.breaches.append(replace(breach, at_s=self.now))
            self.world.note(f"broken {breach}")

    def mark(self, mark: Mark) -> None:
        """Note that a path was taken."""
        self.marks[mark.name] = self.marks.get(mark.name, 0) + 1

    def shard(self, number: ShardId) -> SeenShard:
        """Look up what is known of a shard."""
        found = self.shards.get(number)
        if found is None:
            found = self.shards[number] = SeenShard()
        return found

    def shelf(self, number: ShardId, node: NodeId) -> Shelf | None:
        """Look up what lies on a node's disk of a shard, now."""
        return self.sights.disk_of(node).shelves.get(number)

    def holds(self, number: ShardId, copy: Copy, lsn: int) -> bool:
        """Say whether a copy holds what clients were told up to ``lsn``; of a lost disk nothing is asked."""
        return self.shard(number).chain.held_by(self.shelf(number, copy.node), copy, lsn) or self.lost(number, copy)

    def lost(self, number: ShardId, copy: Copy) -> bool:
        """Say whether the disk of a copy was lost: its journal is neither in its place nor set aside."""
        known, disk = self.copies.get((number, copy)), self.sights.disk_of(copy.node)
        return known is not None and all(
            known is not shelf for shelf in (disk.shelves.get(number), *disk.asides.get(number, ()))
        )
