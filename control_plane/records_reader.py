"""Reads what a new leader must know from the store, and watches whether the store has forgotten something (C10).

The fleet's own partition counts only when it was read under the new term: whatever the leader before wrote is then in
it. Each geography's records are read when there is time; until they are there the leader goes by its map, which
compare-and-set makes safe.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.catalog import partitions_in
from control_plane.ports import FLEET, AssignmentStore, Partition, PartitionState, ReadAnswer, StoreIdentity, Unknown
from core.assignments import Assignment, Fence
from core.names import GeographyId, ShardId
from core.ports import Clock
from core.topology import Topology

AGAIN_S = 0.2


@dataclass(slots=True)
class Reader:
    """A new leader's reading; begun when it stands as a candidate, used when it has won."""

    store: AssignmentStore
    clock: Clock
    topology: Topology
    term: int
    arrived: Callable[[], None]
    """Told whenever something has come in."""
    fleet: PartitionState | None = None
    identity: StoreIdentity | None = None
    geographies: dict[GeographyId, Sequence[Assignment]] = field(default_factory=dict)
    over: bool = False
    _asked: set[GeographyId] = field(default_factory=set)

    def start(self) -> None:
        """Ask for the fleet's records, and whose store it is."""
        self._read_fleet()
        self._identify()

    def read_geographies(self) -> None:
        """Ask for every geography's records at once."""
        for geography in self.topology.geographies:
            self._ask(geography.id)

    def read_next(self) -> None:
        """Ask for the records of the next geography, once the one before is there."""
        missing = [one.id for one in self.topology.geographies if one.id not in self.geographies]
        if missing and not self._asked - self.geographies.keys():
            self._ask(missing[0])

    def _read_fleet(self) -> None:
        self.store.read([FLEET], self._fleet_read)

    def _fleet_read(self, answer: ReadAnswer) -> None:
        if self.over:
            return
        if isinstance(answer, Unknown) or answer[FLEET].term < self.term:
            self.clock.call_at(self.clock.now() + AGAIN_S / 4, lambda: None if self.over else self._read_fleet())
            return
        self.fleet = answer[FLEET]
        self.arrived()

    def _identify(self) -> None:
        def answered(answer: StoreIdentity | Unknown) -> None:
            if self.over:
                return
            if isinstance(answer, Unknown):
                self.clock.call_at(self.clock.now() + AGAIN_S, lambda: None if self.over else self._identify())
                return
            self.identity = answer
            self.arrived()

        self.store.identity(answered)

    def _ask(self, geography: GeographyId) -> None:
        if geography not in self._asked:
            self._asked.add(geography)
            self._read_geography(geography)

    def _read_geography(self, geography: GeographyId) -> None:
        partitions = partitions_in(self.topology, geography)

        def answered(answer: ReadAnswer) -> None:
            if self.over:
                return
            if isinstance(answer, Unknown):
                self.clock.call_at(
                    self.clock.now() + AGAIN_S, lambda: None if self.over else self._read_geography(geography)
                )
                return
            self.geographies[geography] = records_in(answer, partitions)
            self.arrived()

        self.store.read(partitions, answered)


@dataclass(slots=True)
class Memory:
    """Checks the store's memory: a fence that somebody holds above the store's means that it was restored (C10)."""

    store: AssignmentStore
    home: Callable[[ShardId], Partition]
    learned: Callable[[Iterable[Assignment]], None]
    forgot: Callable[[ShardId, Fence, Fence | None], None]
    """Told a shard, the fence held somewhere, and the store's."""
    _suspects: dict[Partition, dict[ShardId, Fence]] = field(default_factory=dict)
    _waiting: dict[Partition, list[Callable[[], None]]] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Say whether something is still being compared."""
        return bool(self._suspects)

    def suspect(self, shard: ShardId, fence: Fence, then: Callable[[], None] | None = None) -> None:
        """Compare a fence above our record with the store's; ``then`` when our records are as the store's."""
        partition = self.home(shard)
        if then is not None:
            self._waiting.setdefault(partition, []).append(then)
        self.check(partition, {shard: fence})

    def check(self, partition: Partition, fences: Mapping[ShardId, Fence]) -> None:
        """Compare fences that are held somewhere with the store's records of one partition."""
        asked = partition in self._suspects
        held = self._suspects.setdefault(partition, {})
        for shard, fence in fences.items():
            held[shard] = max(fence, held.get(shard, fence))
        if held and not asked:
            self._read(partition)

    def _read(self, partition: Partition) -> None:
        asked = dict(self._suspects[partition])
        self.store.read([partition], lambda answer: self._compare(partition, asked, answer), shards=asked)

    def _compare(self, partition: Partition, asked: Mapping[ShardId, Fence], answer: ReadAnswer) -> None:
        """Only fences that were known before the read began are compared with it."""
        suspects = self._suspects.pop(partition, {})
        waiting = self._waiting.pop(partition, [])
        if not isinstance(answer, Unknown):
            records = {a.shard: a for a in answer[partition].assignments}
            self.learned(records.values())
            for shard, fence in asked.items():
                held = records[shard].fence if shard in records else None
                if held is None or held < fence:
                    self.forgot(shard, fence, held)
            late = {shard: fence for shard, fence in suspects.items() if asked.get(shard) != fence}
            if late:
                self._suspects[partition] = late
                self._read(partition)
        for then in waiting:
            then()


@dataclass(slots=True)
class Patrol:
    """Looks at one partition after the other, whether the store still holds what it has held in this term (C10).

    A leader that writes nothing for a while would not notice that the store under it was restored.
    """

    store: AssignmentStore
    term: int
    partitions: Sequence[Partition]
    """Of the geographies; the fleet's own comes first each time round."""
    memory: Memory
    fences: Callable[[Partition], Mapping[ShardId, Fence]]
    """What the leader knows of a partition."""
    versions: Callable[[], Mapping[str, int]]
    """The versions of the fleet's docs that it has seen."""
    forgot: Callable[[str], None]
    _next: int = 0

    def step(self) -> None:
        """Look at the next partition."""
        place, self._next = self._next, (self._next + 1) % (len(self.partitions) + 1)
        if place:
            partition = self.partitions[place - 1]
            self.memory.check(partition, self.fences(partition))
            return
        seen = dict(self.versions())
        self.store.read([FLEET], lambda answer: self._compare(seen, answer))
        self.store.identity(self._identified)

    def _identified(self, answer: StoreIdentity | Unknown) -> None:
        if isinstance(answer, StoreIdentity) and answer.restored:
            self.forgot("all that it has served")

    def _compare(self, seen: Mapping[str, int], answer: ReadAnswer) -> None:
        """Only what was known before the read began is compared with it."""
        if isinstance(answer, Unknown):
            return
        held = {doc.key: doc.version for doc in answer[FLEET].docs}
        if answer[FLEET].term < self.term:
            self.forgot(f"term {self.term}")
        for key, version in seen.items():
            if held.get(key, 0) < version:
                self.forgot(f"version {version} of {key}")


def records_in(answer: Mapping[Partition, PartitionState], partitions: Iterable[Partition]) -> list[Assignment]:
    """Gather the records of partitions; one that does not exist yet holds none."""
    return [a for partition in partitions if partition in answer for a in answer[partition].assignments]
