"""What nodes, other control planes and operators tell the control plane, and what they are told: plain values, no wire.

The values of every enum are the names on the wire without their prefix.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from core.assignments import Assignment, Change, Copy, Fence
from core.fleet_map import NO_REVISION, Revision
from core.names import ControlPlaneId, CopyId, DcId, GeographyId, NodeId, RegionId, ShardId


class Sight(Enum):
    """What an observer sees of a target."""

    ALIVE = "ALIVE"
    REFUSED = "REFUSED"
    """Its stream was reset and connects were refused: strong evidence."""
    SILENT = "SILENT"
    """Silent for the full wait."""
    SUSPECT = "SUSPECT"
    """It misses beats, no judgement yet."""


class Role(Enum):
    """What a copy does."""

    PRIMARY = "PRIMARY"
    STANDBY = "STANDBY"
    LEARNER = "LEARNER"
    OUT = "OUT"
    DRAINED = "DRAINED"
    PROMOTED = "PROMOTED"


class Order(Enum):
    """What the leader orders a primary to do."""

    ADD = "ADD"
    SWAP = "SWAP"
    SWITCHOVER = "SWITCHOVER"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one observer sees of one node or control plane."""

    target: NodeId | ControlPlaneId
    sight: Sight
    silent_ms: int
    paired: bool
    """The observer shares a shard with the target, and its heartbeats are missed."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What a copy moved to ``orphan/`` although it may have been acknowledged: a lossy override gave it up."""

    tenants: tuple[tuple[str, int], ...] = ()
    """Entries by tenant, the most first."""
    snapshot_lsn: int = 0
    """Not 0: the state as of this entry too; what it holds is not counted by tenant."""


NOTHING_QUARANTINED = Quarantined()


@dataclass(frozen=True, slots=True)
class CopyView:
    """One copy, as its node reports it."""

    shard: ShardId
    copy_id: CopyId
    fence: Fence
    role: Role
    last_lsn: int
    commit_lsn: int
    learner: NodeId | None
    learner_lag: int
    complaint: str
    """Not empty: the copy asks to be relieved, and why."""
    writes_per_s: int
    orphaned: int
    serving: bool
    last: tuple[int, int, int] = (0, 0, 0)
    """(incarnation, epoch, boot) of its last entry: of two copies, the one that ends later holds more."""
    quarantined: Quarantined = NOTHING_QUARANTINED
    decided: Assignment | None = None
    """The record that it acts on, that of ``fence``: what a restored store is rebuilt from (C10)."""


@dataclass(frozen=True, slots=True)
class RegisterView:
    """Who a node is."""

    node: NodeId
    endpoint: str
    disk_id: str
    highest: Fence
    record_version: int
    process_id: int


@dataclass(frozen=True, slots=True)
class ReportView:
    """A node's view; unless ``complete``, only what changed since its last report to this control plane."""

    node: NodeId
    disk_id: str
    process_id: int
    sequence: int
    complete: bool
    observations: tuple[Observation, ...]
    copies: tuple[CopyView, ...]
    gone: tuple[ShardId, ...]
    """Shards of which it holds no copy any more."""
    load: float
    """Cores in use."""
    loop_lag_ms: int
    highest: Fence
    """The highest (incarnation, epoch) among its copies (C10)."""
    map: Revision = NO_REVISION
    unwatched: tuple[NodeId | ControlPlaneId, ...] = ()
    """Whom it does not observe any more: what it said of them is void."""
    term_max: int = 0
    """The highest term of a leader that has asked something of it: it refuses older ones."""


@dataclass(frozen=True, slots=True)
class ConferView:
    """A heartbeat between control planes, or the answer to one."""

    control_plane: ControlPlaneId
    term: int
    """The highest term that the sender knows."""
    leads: bool
    leader_silent_ms: int
    """Since the sender last heard the leader of that term; 0 when it leads."""
    map: Revision = NO_REVISION
    misses: tuple[NodeId, ...] = ()
    """Nodes that the sender does not hear; a leader has no use for its own, and leaves them out."""


@dataclass(frozen=True, slots=True)
class LeaderView:
    """Who leads, as far as this control plane knows; None: nobody known."""

    leader: ControlPlaneId | None
    term: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that the present primary asks for, on exactly that base."""

    shard: ShardId
    base: Fence
    proposer: Copy
    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class ProposalApplied:
    """In force: the new record."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class ProposalRefused:
    """Not in force, and never will be by this call: what the store holds; None: no record."""

    current: Assignment | None
    reason: str
    """A name of ``errors.proto``'s Reason: CONFLICT, STALE_EPOCH, REFUSED_BY_SAFETY, UNKNOWN_SHARD."""


@dataclass(frozen=True, slots=True)
class ProposalUnknown:
    """It may have happened: read the record before acting."""

    cause: str


ProposalAnswer: TypeAlias = ProposalApplied | ProposalRefused | ProposalUnknown


@dataclass(frozen=True, slots=True)
class PrepareShard:
    """A copy that may have to take over, and the record it would be promoted from."""

    shard: ShardId
    base: Fence


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """Whether a copy could take over now; ``refusal`` says why not."""

    shard: ShardId
    ready: bool
    refusal: str
    last_lsn: int


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """An order to a primary; giving it again does no harm."""

    shard: ShardId
    base: Fence
    order: Order
    target: NodeId | None
    """ADD, SWAP: who takes the new copy."""
    reason: str


@dataclass(frozen=True, slots=True)
class TransferResult:
    """Whether the order is under way, or done already; ``refusal`` says why not."""

    shard: ShardId
    accepted: bool
    refusal: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """A call to a node came back without an answer; whether it did anything is not known."""

    cause: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for an operation, why, and under which id, so that a retry is recognised."""

    actor: str
    """E.g. ``users/ada``: the principal of the call."""
    reason: str
    request_id: str


class Step(Enum):
    """What a move of a plan does."""

    SWAP = "SWAP"
    SWITCHOVER = "SWITCHOVER"
    PROMOTE = "PROMOTE"
    ADD = "ADD"


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a plan."""

    shard: ShardId
    step: Step
    source: NodeId
    target: NodeId | None
    """None: no node could be found, the shard stays on one copy."""


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a drain or an evacuation would do, and how its geography would stand when done."""

    moves: tuple[Move, ...]
    worst_utilization: float
    survives_any_loss: bool


@dataclass(frozen=True, slots=True)
class StaleCopy:
    """A copy that is in sync with nobody, as its node last reported it."""

    node: NodeId
    view: CopyView
    unfit: str
    """Not empty: it can't take over now, and why."""

    @property
    def id(self) -> str:
        """Name it."""
        return f"{self.node}/{self.view.copy_id}"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person stands for who overrides a shard."""

    by: str
    """Who states that the primary's data center is fenced or powered off; empty only where nothing is to be done."""
    takes_over: NodeId | None
    """The node that the plan named; None: whichever is best."""


@dataclass(frozen=True, slots=True)
class OverridePlan:
    """What a lossy override gives up, as far as is known."""

    base: Assignment
    stale: StaleCopy
    """Takes over from what it has."""
    others: tuple[StaleCopy, ...]
    """The best first."""
    primary_last_lsn: int
    """As it last reported it; 0: not known."""
    primary_heard_at_ms: int
    """When its node last reported; 0: not known."""
    evidence: tuple[str, ...]
    """Why the primary counts as gone, and what is not known about that."""

    @property
    def lossy_from_lsn(self) -> int:
        """Acknowledged writes from here on may be lost.

        The end of the stale journal is no such bound: it may hold what was never committed where the primary decided
        something else. What the copy saw committed, the primary has too.
        """
        return self.stale.view.commit_lsn + 1


@dataclass(frozen=True, slots=True)
class OperationView:
    """Work that takes longer than a call."""

    id: str
    """The part after ``operations/``."""
    title: str
    steps_done: int
    steps: int
    done: bool
    error: "OperationFailure | None"
    started_at_ms: int
    ended_at_ms: int
    """0: still running."""
    detail: str


@dataclass(frozen=True, slots=True)
class OperationFailure:
    """Why an operation failed: a name of ``errors.proto``'s Reason, and one line."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to drain, evacuate, switchover, promote, override; no operation with ``validate_only``."""

    plan: MovePlan
    operation: OperationView | None
    override: OverridePlan | None = None


class DcState(Enum):
    """How a data center is."""

    LIVE = "LIVE"
    SUSPECT = "SUSPECT"
    LOST = "LOST"
    DRAINED = "DRAINED"


@dataclass(frozen=True, slots=True)
class DataCenterView:
    """A data center, as the leader sees it; units as in ``data_center.proto``."""

    id: DcId
    region: RegionId
    geography: GeographyId
    state: DcState
    cordoned: bool
    nodes_live: int
    nodes: int
    primaries: int
    standbys: int
    utilization: float
    holddown_until_ms: int
    holddown_because: str
    """Empty: no hold-down."""
    etag: str


@dataclass(frozen=True, slots=True)
class ShardView:
    """A shard, as the leader sees it."""

    geography: GeographyId
    assignment: Assignment
    weight: float
    exposed_since_ms: int
    """0: two copies."""
    in_flight: str


class Severity(Enum):
    """How bad a problem is; worst first."""

    DOWN = "DOWN"
    EXPOSED = "EXPOSED"
    NOTICE = "NOTICE"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and what the system does about it."""

    severity: Severity
    subject: str
    """E.g. ``dataCenters/fra1``."""
    message: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class GeographyView:
    """Whether any one data center of a geography can be lost now."""

    id: GeographyId
    survives_any_loss: bool
    worst_after_loss: float
    """The worst node after the worst loss; 1.0 is full."""
    shards_solo: int


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """How the fleet is, as one control plane knows it; fields as in ``GetFleetStatusResponse``."""

    fleet: str
    control_plane: ControlPlaneId
    leader: ControlPlaneId | None
    term: int
    map: Revision
    problems: tuple[Problem, ...]
    shards_sync: int
    shards_solo: int
    shards_down: int
    nodes_live: int
    nodes: int
    control_planes_live: int
    control_planes: int
    geographies: tuple[GeographyView, ...]
    operations_running: int
    brake_halted: bool
