"""What nodes, other control planes and operators tell the control plane, and what they are told: plain values, no wire.

The values of every enum are the names on the wire without their prefix.
"""

from dataclasses import dataclass
from enum import Enum

from core.assignments import Assignment, Fence
from core.copies import CopyView
from core.fleet_map import NO_REVISION, Revision
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, RegionId, ShardId


class Sight(Enum):
    """What an observer sees of a target."""

    ALIVE = "ALIVE"
    REFUSED = "REFUSED"
    """Its stream was reset and connects were refused: strong evidence."""
    SILENT = "SILENT"
    """Silent for the full wait."""
    SUSPECT = "SUSPECT"
    """It misses beats, no judgement yet."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one observer sees of one node or control plane."""

    target: NodeId | ControlPlaneId
    sight: Sight
    silent_ms: int
    paired: bool
    """The observer shares a shard with the target, and its heartbeats are missed."""


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
