"""Probes on paper: one tenant per shard to write to, how a gap is measured, and which planned moves are sampled.

Killed or frozen: one probe write per shard that the fault touches, sent at injection; one attempt in flight; a failed
one is repeated after 50 ms under the same request id, a hanging one abandoned when the map names another owner, or
after 1 s. The gap runs from the injection to the acknowledgement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise

from client.call import Policy
from core.assignments import Assignment
from core.names import DcId, ShardId, TenantName, dc_of
from core.sharding import home_shard
from core.topology import Topology

PROBE = Policy(backoff_first_s=0.05, backoff_max_s=0.05, attempt_s=1.0, jitter=False)
"""How a gap is probed."""
PROBE_DEADLINE_S = 30.0
"""A shard that is not writable by then counts with this gap, and fails every limit."""
PROBE_CHANNEL = "probe"
BEGUN_WITHIN_S = 0.25
"""A probe that began later did not see its fault's beginning: its shard is not covered."""
COVERAGE_MIN = 0.95
SAMPLED_SHARDS = 16
SAMPLED_AT_ONCE = 2
SAMPLE_PERIOD_S = 0.01
SAMPLE_AFTER_S = 0.5
"""A sampled shard is written until this long after its switchover."""


def probe_tenants(topology: Topology) -> dict[ShardId, TenantName]:
    """Find, for every shard, the name of a tenant that hashes to it."""
    found: dict[ShardId, TenantName] = {}
    for geography in topology.geographies:
        missing = geography.shards
        for number in count():
            tenant = TenantName(geography.id, f"probe-{number}")
            shard = home_shard(tenant, geography)
            if shard not in found:
                found[shard] = tenant
                missing -= 1
                if not missing:
                    break
    return found


@dataclass(frozen=True, slots=True)
class Gap:
    """What a probe of one shard found."""

    shard: ShardId
    begun_s: float
    """After the injection."""
    gap_s: float | None
    """None: not writable within the probe's deadline."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What the probes of one fault found."""

    touched: int
    covered: int
    seconds: tuple[float, ...]
    """One per covered shard; the deadline for one that did not become writable."""

    @property
    def coverage(self) -> float:
        """Say which share of the touched shards was probed in time."""
        return self.covered / self.touched if self.touched else 1.0


def gaps(touched: int, found: Iterable[Gap]) -> Gaps:
    """Sum the probes of a fault up."""
    covered = [gap for gap in found if gap.begun_s <= BEGUN_WITHIN_S]
    seconds = tuple(PROBE_DEADLINE_S if gap.gap_s is None else gap.gap_s for gap in covered)
    return Gaps(touched, len(covered), seconds)


@dataclass(slots=True)
class Sampling:
    """Chooses which shards of a drain are written every 10 ms: a few, two at a time, each while its own step runs."""

    chosen: frozenset[ShardId]
    running: set[ShardId] = field(default_factory=set)
    seen: set[ShardId] = field(default_factory=set)

    def starts(self, shard: ShardId) -> bool:
        """Say whether to write a shard whose step starts now."""
        if shard not in self.chosen or shard in self.seen or len(self.running) >= SAMPLED_AT_ONCE:
            return False
        self.running.add(shard)
        self.seen.add(shard)
        return True

    def ends(self, shard: ShardId) -> bool:
        """Say whether to stop writing a shard, ``SAMPLE_AFTER_S`` after its switchover."""
        if shard not in self.running:
            return False
        self.running.remove(shard)
        return True


def primaries_in(assignments: Mapping[ShardId, Assignment], dc: DcId) -> list[ShardId]:
    """List the shards whose primary stands in a data center, by number: those that a drain switches over."""
    return sorted(shard for shard, held in assignments.items() if dc_of(held.primary.node) == dc)


def longest_gap_s(acknowledged_s: Sequence[float]) -> float:
    """Measure the longest time between two acknowledgements."""
    ordered = sorted(acknowledged_s)
    return max((b - a for a, b in pairwise(ordered)), default=0.0)
