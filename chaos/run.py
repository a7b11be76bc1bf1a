"""Everything that a rehearsal found out, as values: what the verdict judges and the report shows."""

from dataclasses import dataclass

from chaos.bystanders import Tally
from chaos.faults import Deed
from chaos.judgement import Judgement
from chaos.probes import Gaps
from chaos.scenario import Scenario
from core.names import ShardId


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that the control plane decided, after a fault."""

    after_s: float
    """After the injection."""
    what: str


@dataclass(frozen=True, slots=True)
class Done:
    """One step of the scenario, as it went."""

    name: str
    deed: Deed
    target: str
    at_s: float
    ended_at_s: float | None
    """When it was undone, or a drain was complete; None: still on at the end."""
    proved: bool
    """A receipt was taken, and said that it took effect."""
    evidence: tuple[str, ...]
    gaps: Gaps | None
    """None: nothing becomes unwritable by it."""
    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedGap:
    """One planned switchover, as the two primaries reported it."""

    shard: ShardId
    source: str
    target: str
    gap_ms: float
    """From *stopped admitting* to *new owner admitting*."""
    allowance_ms: float
    """Pair round trip, primary to leader and back, and the store's write."""

    @property
    def beyond_ms(self) -> float:
        """Say what the pause cost besides what it has to pay."""
        return max(0.0, self.gap_ms - self.allowance_ms)


@dataclass(frozen=True, slots=True)
class Trip:
    """A round trip: asked for by the topology, next to what was seen."""

    source: str
    target: str
    asked_ms: float
    seen_ms: float


@dataclass(frozen=True, slots=True)
class Rejoined:
    """What returning copies brought along."""

    copies: int = 0
    reused: int = 0
    """A common prefix was found, so only the tail was sent."""
    orphaned: int = 0
    """Entries moved to ``orphan/``."""


@dataclass(frozen=True, slots=True)
class Second:
    """What the load saw in a slice of time, or the map showed at its end."""

    at_s: float
    writes_per_s: float
    reads_per_s: float
    failed_per_s: float
    write_p50_ms: float
    write_p99_ms: float
    read_p99_ms: float
    exposed: int
    """Shards on one copy."""


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """How the generator did."""

    sent: int
    late: int
    acknowledged_per_s: float
    p99_ms: float

    @property
    def late_ratio(self) -> float:
        """Say which share was dispatched too late."""
        return self.late / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Processor use, in cores."""

    idle_fleet: float
    """Without any load."""
    steady_fleet: float
    """Under the steady load, before the first fault."""
    steady_load: float
    """Of our own load and probes, at the same time."""


@dataclass(frozen=True, slots=True)
class Run:
    """One rehearsal."""

    scenario: Scenario
    seed: int
    begun: str
    """Date and time, for people."""
    machine: str
    command: str
    """Repeats the run."""
    length_s: float
    done: tuple[Done, ...]
    judgement: Judgement
    bystanders: Tally
    leaderless: Tally
    planned_writes: Tally
    planned: tuple[PlannedGap, ...]
    sampled_gap_ms: tuple[float, ...]
    """Longest time between two acknowledgements of each shard that was written every 10 ms."""
    load: LoadFigures
    seconds: tuple[Second, ...]
    cores: Cores
    trips: tuple[Trip, ...]
    rejoined: Rejoined
    tenants: int
    """In use; the rest exist as weights."""
    tenants_existing: int
    shards: int
    missed: tuple[str, ...]
    """What should have happened by a certain time and did not."""
    audit_failed: int
    """Channels whose audit read failed."""
    cut_short: bool
