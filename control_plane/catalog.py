"""The records as a control plane knows them, indexed; and the map that it publishes from them while it leads.

A follower takes the leader's map in. In a leader's a record enters only when it is known decided, and only when it is
newer than the one held; each entry becomes one step of the map, in order (C8). What is asked often is indexed and kept
up to date by difference, in followers too: whoever takes over after a loss has no time to begin with it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from control_plane.loads import Loads
from control_plane.ports import Partition, partition_of
from core.assignments import Assignment, Fence
from core.fleet_map import Delta, FleetMap, Revision
from core.names import DcId, GeographyId, NodeId, ShardId, TenantName
from core.topology import Topology


class Catalog:
    """One control plane's records.

    Args:
        fleet_map: the map; every change of it goes through this catalog.
        published: told each step that this control plane makes while it leads.
    """

    def __init__(self, fleet_map: FleetMap, *, published: Callable[[Delta], None]) -> None:
        self.topology = fleet_map.topology
        self.stamp: tuple[int, int] | None = None
        """(store incarnation, term) under which steps are published; None: this control plane does not lead yet."""
        self._map = fleet_map
        self._published = published
        self._homes = partitions_of(fleet_map.topology)
        self._geographies = {dc.id: dc.geography for dc in fleet_map.topology.data_centers}
        self.solo_since_ms: dict[ShardId, int] = {}
        """The exposure ledger: shards that stand on one copy, since when."""
        self._index_all()

    @property
    def revision(self) -> Revision:
        """The revision that the map stands at."""
        return self._map.revision

    def __len__(self) -> int:
        return len(self._map.shards)

    def get(self, shard: ShardId) -> Assignment | None:
        """Look a record up."""
        return self._map.shards.get(shard)

    def all(self) -> Iterator[Assignment]:
        """Iterate over all records."""
        return iter(self._map.shards.values())

    def geography_of(self, dc: DcId) -> GeographyId:
        """Find a data center's geography."""
        return self._geographies[dc]

    def home(self, shard: ShardId) -> Partition:
        """Find the partition of a shard; raises KeyError for one that the topology does not have."""
        return self._homes[shard]

    def knows(self, shard: ShardId) -> bool:
        """Say whether the topology has such a shard."""
        return shard in self._homes

    def fences_in(self, partition: Partition) -> Mapping[ShardId, Fence]:
        """Tabulate what is known of a partition's records."""
        return {shard: record.fence for shard, record in self._map.shards.items() if self._homes[shard] == partition}

    def led_by(self, node: NodeId) -> list[Assignment]:
        """List the records whose primary is on a node."""
        return [self._map.shards[shard] for shard in self._led.get(node, ())]

    def followed_by(self, node: NodeId) -> list[Assignment]:
        """List the records whose standby is on a node."""
        return [self._map.shards[shard] for shard in self._followed.get(node, ())]

    def led_in(self, dc: DcId) -> list[Assignment]:
        """List the records whose primary is in a data center."""
        return [a for node in self.topology.nodes_in(dc) for a in self.led_by(node.id)]

    def followed_in(self, dc: DcId) -> list[Assignment]:
        """List the records whose standby is in a data center."""
        return [a for node in self.topology.nodes_in(dc) for a in self.followed_by(node.id)]

    def counts(self, dc: DcId) -> tuple[int, int]:
        """Count the primaries and the standbys in a data center."""
        nodes = [node.id for node in self.topology.nodes_in(dc)]
        return sum(len(self._led.get(n, ())) for n in nodes), sum(len(self._followed.get(n, ())) for n in nodes)

    def standbys_of(self, node: NodeId) -> Mapping[NodeId, int]:
        """Count, for the primaries on a node, how many standbys each partner holds."""
        counts: dict[NodeId, int] = {}
        for shard in self._led.get(node, ()):
            standby = self._map.shards[shard].standby
            if standby is not None:
                counts[standby.node] = counts.get(standby.node, 0) + 1
        return counts

    def replace(
        self,
        revision: Revision,
        assignments: Iterable[Assignment],
        overrides: Mapping[TenantName, ShardId],
        *,
        at_ms: int,
    ) -> None:
        """Take a snapshot of the leader's map; raises MalformedError for a bad one, and stays on the last good one.

        What stood on one copy before and still does has done so since then, as far as is known here.
        """
        self._map.replace_all(revision, assignments, overrides)
        self.solo_since_ms = {a.shard: self.solo_since_ms.get(a.shard, at_ms) for a in self.all() if a.solo}
        self._index_all()

    def step(self, delta: Delta, at_ms: int) -> None:
        """Take a step of the map; raises PositionGoneError when a snapshot is needed, or MalformedError."""
        changed = {a.shard: a for a in delta.changed}
        before = [self._map.shards.get(shard) for shard in changed]
        self._map.apply(delta)
        for old, new in zip(before, changed.values(), strict=True):
            self._reindex(old, new, at_ms)

    def learn(self, decided: Iterable[Assignment], at_ms: int) -> Sequence[Assignment]:
        """Take records that the store holds, publish those that are news, and return them."""
        news = {a.shard: a for a in decided if self._newer(a)}
        if not news or self.stamp is None:
            return ()
        changed = tuple(news[shard] for shard in sorted(news))
        delta = Delta(self._map.revision, self._next(), changed)
        self.step(delta, at_ms)
        self._published(delta)
        return changed

    def _newer(self, assignment: Assignment) -> bool:
        held = self._map.shards.get(assignment.shard)
        return held is None or assignment.fence > held.fence

    def _next(self) -> Revision:
        assert self.stamp is not None, "a step needs the store's incarnation and the leader's term"
        held = self._map.revision
        number = held.n + 1 if (held.store_incarnation, held.term) == self.stamp else 1
        return Revision(*self.stamp, number)

    def _index_all(self) -> None:
        self.loads = Loads(self.topology)
        self._led: dict[NodeId, dict[ShardId, None]] = {node: {} for node in self.loads.load}
        self._followed: dict[NodeId, dict[ShardId, None]] = {node: {} for node in self.loads.load}
        for assignment in self._map.shards.values():
            self._index(assignment)

    def _index(self, assignment: Assignment) -> None:
        self.loads.add(assignment)
        self._led[assignment.primary.node][assignment.shard] = None
        if assignment.standby is not None:
            self._followed[assignment.standby.node][assignment.shard] = None

    def _reindex(self, old: Assignment | None, new: Assignment, at_ms: int) -> None:
        if old is not None:
            self.loads.remove(old)
            del self._led[old.primary.node][old.shard]
            if old.standby is not None:
                del self._followed[old.standby.node][old.shard]
        self._index(new)
        if new.solo:
            self.solo_since_ms.setdefault(new.shard, at_ms)
        else:
            self.solo_since_ms.pop(new.shard, None)

    def expose(self, at_ms: int) -> None:
        """Enter into the exposure ledger what was found on one copy at take-over."""
        for assignment in self._map.shards.values():
            if assignment.solo:
                self.solo_since_ms.setdefault(assignment.shard, at_ms)


def partitions_of(topology: Topology) -> Mapping[ShardId, Partition]:
    """Tabulate every shard's partition."""
    return {
        ShardId(number): partition_of(ShardId(number), geography.id, geography.first_shard)
        for geography in topology.geographies
        for number in range(geography.first_shard, geography.first_shard + geography.shards)
    }


def partitions_in(topology: Topology, geography: GeographyId) -> list[Partition]:
    """List a geography's partitions."""
    home = topology.geography(geography)
    last = partition_of(ShardId(home.first_shard + home.shards - 1), home.id, home.first_shard)
    return [Partition(home.id, segment) for segment in range(last.segment + 1)]
