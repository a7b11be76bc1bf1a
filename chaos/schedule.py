"""A schedule: what goes wrong in a simulated fleet, and when; data that a seed makes, and that can be replayed.

First a safety phase, in which faults meet faults; then everything heals, and the fleet must become whole again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.names import DcId
from core.ports import Rng
from core.topology import Topology


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
    faults: tuple[Timed, ...]
    trouble_s: float
    """When everything heals."""
    settle_s: float
    """How long after that the fleet may take to become whole."""


FIRST_S = 4.0
"""Nothing goes wrong before the fleet had time to come up."""


def generated(
    seed: int, chance: Rng, topology: Topology, *, faults: int, trouble_s: float, settle_s: float
) -> Schedule:
    """Make a schedule: weighted towards faults that begin while another one lasts, or just ended."""
    times: list[float] = []
    for _ in range(faults):
        near = times and chance.random() < 0.6
        start = times[int(chance.random() * len(times))] + chance.random() * 2.5 if near else FIRST_S
        times.append(start if near else FIRST_S + chance.random() * (trouble_s - FIRST_S - 2.0))
    timed = tuple(Timed(round(at_s, 3), _fault(chance, topology)) for at_s in sorted(times) if at_s < trouble_s)
    return Schedule(seed, timed, trouble_s, settle_s)


def _fault(chance: Rng, topology: Topology) -> Fault:
    nodes = [str(node.id) for node in topology.nodes]
    planes = [str(plane.id) for plane in topology.control_planes]
    lasts_s = round(0.2 + 6.0 * chance.random() ** 2, 3)
    draw = chance.random()
    if draw < 0.30:
        return Crash(_pick(chance, nodes), lasts_s)
    if draw < 0.45:
        return Freeze(_pick(chance, nodes), lasts_s)
    if draw < 0.60:
        dcs = [dc.id for dc in topology.data_centers]
        return LoseDc(DcId(_pick(chance, dcs)), lasts_s, chance.random() < 0.4)
    if draw < 0.80:
        a = _pick(chance, nodes)
        b = _pick(chance, [name for name in nodes + planes if name != a])
        return Cut(a, b, lasts_s, chance.random() < 0.6)
    if draw < 0.94:
        return Crash(_pick(chance, planes), lasts_s)
    return StoreAway(lasts_s)


def _pick(chance: Rng, names: Sequence[str]) -> str:
    return names[int(chance.random() * len(names))]
