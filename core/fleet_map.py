"""The assignment map that nodes, clients and control planes hold: versioned, self-checking, the last good one kept.

The data path looks shards up here and never asks anybody (static stability).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.assignments import Assignment
from core.errors import MalformedError, PositionGoneError, UnavailableError
from core.names import DcId, GeographyId, NodeId, ShardId, TenantName, dc_of
from core.sharding import shard_of
from core.topology import Topology


@dataclass(frozen=True, slots=True, order=True)
class Revision:
    """The order of all maps of one fleet (C8): a restored store starts a new incarnation, a new leader a new term."""

    store_incarnation: int
    term: int
    n: int

    def __str__(self) -> str:
        return f"{self.store_incarnation}.{self.term}.{self.n}"


NO_REVISION = Revision(0, 0, 0)
AGAIN_S = 0.2
"""How soon a map that is not whole is asked again."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed from one revision to the next one published."""

    base: Revision
    revision: Revision
    changed: tuple[Assignment, ...]
    overrides: tuple[tuple[TenantName, ShardId | None], ...] = ()
    """Tenants that now live in another shard than their hash says; None: back home."""


@dataclass(slots=True)
class FleetMap:
    """A map that refuses whatever would make it worse.

    ``apply`` and ``replace_all`` either take the whole change or raise and leave the map as it was.
    """

    topology: Topology
    revision: Revision = NO_REVISION
    shards: dict[ShardId, Assignment] = field(default_factory=dict)
    overrides: dict[TenantName, ShardId] = field(default_factory=dict)

    def locate(self, tenant: TenantName) -> Assignment:
        """Find who holds a tenant's shard.

        Raises:
            NotFoundError: the geography is unknown.
            UnavailableError: the map holds no assignment for the shard yet.
        """
        return self.shard(shard_of(tenant, self.topology.geography(tenant.geography), self.overrides))

    def shard(self, shard: ShardId) -> Assignment:
        """Look a shard's assignment up.

        Raises:
            NotFoundError: the fleet has no such shard.
            UnavailableError: this map holds no assignment for it yet: it is not whole, or the shard is not placed.
        """
        found = self.shards.get(shard)
        if found is None:
            self.topology.geography_of_shard(shard)
            raise UnavailableError(f"the map here does not show shard {shard} yet: ask again", retry_after_s=AGAIN_S)
        return found

    def replace_all(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        """Take a snapshot.

        Raises:
            MalformedError: it is empty, older than this map, or one of its assignments breaks a rule.
        """
        fresh = {assignment.shard: assignment for assignment in assignments}
        if not fresh:
            raise MalformedError("map", "snapshot", expected="at least one assignment")
        if revision < self.revision:
            raise MalformedError("map", f"revision {revision}", expected=f"{self.revision} or newer")
        for assignment in fresh.values():
            self._check(assignment)
        self.revision, self.shards, self.overrides = revision, fresh, dict(overrides)

    def apply(self, delta: Delta) -> None:
        """Take a delta.

        Raises:
            PositionGoneError: it does not start where this map stands: a snapshot is needed.
            MalformedError: one of its assignments breaks a rule.
        """
        if delta.base != self.revision:
            raise PositionGoneError(f"the delta starts at {delta.base}, the map stands at {self.revision}")
        if delta.revision <= self.revision:
            raise MalformedError("map", f"revision {delta.revision}", expected=f"newer than {self.revision}")
        for assignment in delta.changed:
            self._check(assignment)
        self.shards.update((assignment.shard, assignment) for assignment in delta.changed)
        for tenant, shard in delta.overrides:
            if shard is None:
                self.overrides.pop(tenant, None)
            else:
                self.overrides[tenant] = shard
        self.revision = delta.revision

    def _check(self, new: Assignment) -> None:
        geography = self.topology.geography_of_shard(new.shard)
        dcs = [dc_of(copy.node) for copy in new.in_sync]
        if len(set(dcs)) < len(dcs):
            raise MalformedError("map", f"shard {new.shard}", expected="its copies in two data centers")
        if any(self.topology.data_center(dc).geography != geography.id for dc in dcs):
            raise MalformedError("map", f"shard {new.shard}", expected=f"both copies inside {geography.id}")
        held = self.shards.get(new.shard)
        if held is not None and new.fence < held.fence:
            raise MalformedError("map", f"shard {new.shard}", expected=f"an epoch not below {held.epoch}")


def joined(steps: Sequence[Delta]) -> Delta:
    """Make one step of steps that follow each other; at least one."""
    changed = {assignment.shard: assignment for step in steps for assignment in step.changed}
    overrides = dict(override for step in steps for override in step.overrides)
    return Delta(steps[0].base, steps[-1].revision, tuple(changed.values()), tuple(overrides.items()))


def shards_on(assignments: Iterable[Assignment], node: NodeId) -> list[Assignment]:
    """List the assignments that name a node, as primary or standby."""
    return [a for a in assignments if any(copy.node == node for copy in a.in_sync)]


def shards_touching(assignments: Iterable[Assignment], dc: DcId) -> list[Assignment]:
    """List the assignments whose pair touches a data center."""
    return [a for a in assignments if any(dc_of(copy.node) == dc for copy in a.in_sync)]


def residency(topology: Topology) -> Mapping[DcId, GeographyId]:
    """Tabulate which geography each data center belongs to."""
    return {dc.id: dc.geography for dc in topology.data_centers}
