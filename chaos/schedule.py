"""A schedule: what goes wrong in a simulated fleet, and when; data that can be saved, replayed and shrunk.

First a safety phase, in which faults meet faults; then everything heals, and the fleet must become whole again.
"""

from dataclasses import dataclass
from typing import TypeAlias

from chaos.setting import Setting
from core.names import DcId


@dataclass(frozen=True, slots=True)
class Crash:
    """A process dies; it starts again ``for_s`` later, with what its disk kept."""

    name: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process stops silently for ``for_s``."""

    name: str
    for_s: float


@dataclass(frozen=True, slots=True)
class LoseDc:
    """All processes of a data center die, or freeze, at once, for ``for_s``."""

    dc: DcId
    for_s: float
    silently: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing arrives from one process at another, or neither way, for ``for_s``."""

    a: str
    b: str
    for_s: float
    both_ways: bool


@dataclass(frozen=True, slots=True)
class StoreAway:
    """The assignment store answers nobody for ``for_s``."""

    for_s: float


Fault: TypeAlias = Crash | Freeze | LoseDc | Cut | StoreAway


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
