"""A schedule: what goes wrong in a simulated fleet, and when; data that can be saved, replayed and shrunk.

First a safety phase, in which faults meet faults; then everything heals, and the fleet must become whole again.
"""

from dataclasses import dataclass
from typing import TypeAlias

from chaos.setting import Setting
from core.names import DcId, NodeId, ShardId

# Processes and machines.


@dataclass(frozen=True, slots=True)
class Crash:
    """A process dies; it starts again ``for_s`` later, with what its disk kept."""

    name: str
    for_s: float


@dataclass(frozen=True, slots=True)
class CrashAmid:
    """A process dies in the middle of a turn, and starts again ``for_s`` after the fault began.

    It dies before the ``deeds``-th thing that it asks of its disk, its peers or the store, if that comes by then.
    """

    name: str
    deeds: int
    for_s: float


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process stops silently for ``for_s``; what was sent to it meanwhile it finds when it goes on."""

    name: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Suspend:
    """A machine sleeps for ``for_s``: its process stops, nothing reaches it, and its clock goes on."""

    name: str
    for_s: float


@dataclass(frozen=True, slots=True)
class LoseDc:
    """All processes of a data center die, or freeze, at once, for ``for_s``."""

    dc: DcId
    for_s: float
    silently: bool


@dataclass(frozen=True, slots=True)
class LosePower:
    """A data center goes dark for ``for_s``: its processes die, and nobody there refuses anything any more."""

    dc: DcId
    for_s: float


# Disks.


@dataclass(frozen=True, slots=True)
class LoseDisk:
    """A node dies, and starts again ``for_s`` later on an empty disk: the old one never comes back.

    The disk is kept all the same if it is the last one that holds what was acknowledged: that is for no fleet to mend.
    """

    node: NodeId
    for_s: float


@dataclass(frozen=True, slots=True)
class FlipBit:
    """One bit of a node's journal reads wrong, until an operator restores the file ``for_s`` later.

    It is found whenever it is read. Only a copy that is not the last good one of its shard is harmed.
    """

    node: NodeId
    share: float
    """Which record, counted from the first one to the last: 0 to 1."""
    for_s: float


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Every fsync of a node takes ``fsync_s`` longer, for ``for_s``."""

    node: NodeId
    fsync_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class FailFsync:
    """A node's next fsync fails; over with that."""

    node: NodeId
    kept: bool
    """What it was to make durable reached the disk all the same."""


@dataclass(frozen=True, slots=True)
class FullDisk:
    """A node's disk refuses every write for ``for_s``."""

    node: NodeId
    for_s: float


# The network.


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing arrives from one process at another, or neither way, for ``for_s``.

    What was held up comes late, or the stream breaks.
    """

    a: str
    b: str
    for_s: float
    both_ways: bool


@dataclass(frozen=True, slots=True)
class CutDc:
    """A data center is cut off from all others for ``for_s``; what stands in it goes on talking."""

    dc: DcId
    for_s: float
    store: bool
    """Its control planes still reach the store."""


@dataclass(frozen=True, slots=True)
class NoDial:
    """One process can open no connection to another for ``for_s``; the other way it can, and what stands goes on."""

    a: str
    b: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Clog:
    """What one process sends another takes longer and longer, for ``for_s``; then it flows again."""

    a: str
    b: str
    growth: float
    """Seconds of delay that every second adds."""
    for_s: float


@dataclass(frozen=True, slots=True)
class Resets:
    """So many messages break the stream that they travel on, for ``for_s``."""

    ratio: float
    for_s: float


@dataclass(frozen=True, slots=True)
class LostCalls:
    """So many calls lose their request, and so many their answer, for ``for_s``: the effect may be there, unseen."""

    ratio: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Stragglers:
    """So many of the messages that are on their way when their stream breaks arrive all the same, for ``for_s``.

    They come late, often when the next stream stands already.
    """

    ratio: float
    for_s: float


# The assignment store.


@dataclass(frozen=True, slots=True)
class StoreAway:
    """The assignment store answers nobody for ``for_s``."""

    for_s: float


@dataclass(frozen=True, slots=True)
class StoreCut:
    """One control plane does not reach the assignment store for ``for_s``."""

    plane: str
    for_s: float


@dataclass(frozen=True, slots=True)
class SlowStore:
    """Every way to the assignment store and back takes ``trip_s`` longer, for ``for_s``."""

    trip_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class VagueStore:
    """So many calls to the store get lost, and so many answers, for ``for_s``: outcomes are unknown, both ways."""

    ratio: float
    for_s: float


# Orders of operators: no faults, but what faults must meet.


@dataclass(frozen=True, slots=True)
class Drain:
    """An operator drains a data center, and uncordons it ``for_s`` later, finished or not."""

    dc: DcId
    for_s: float


@dataclass(frozen=True, slots=True)
class Cordon:
    """An operator cordons a data center, and uncordons it ``for_s`` later."""

    dc: DcId
    for_s: float


@dataclass(frozen=True, slots=True)
class Switchover:
    """An operator switches a shard's roles; over with that."""

    shard: ShardId


Lasting: TypeAlias = (
    Crash
    | CrashAmid
    | Freeze
    | Suspend
    | LoseDc
    | LosePower
    | LoseDisk
    | FlipBit
    | SlowDisk
    | FullDisk
    | Cut
    | CutDc
    | NoDial
    | Clog
    | Resets
    | LostCalls
    | Stragglers
    | StoreAway
    | StoreCut
    | SlowStore
    | VagueStore
    | Drain
    | Cordon
)
"""What ends ``for_s`` after it began."""
Fault: TypeAlias = Lasting | FailFsync | Switchover


@dataclass(frozen=True, slots=True)
class Timed:
    """A fault and when it begins, in seconds of virtual time."""

    at_s: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class Schedule:
    """One simulated run."""

    seed: int
    """Of all chance in the world."""
    setting: Setting
    faults: tuple[Timed, ...]
    trouble_s: float
    """When everything heals."""
    settle_s: float
    """How long after that the fleet may take to become whole."""
