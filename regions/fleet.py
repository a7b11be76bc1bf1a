"""What a fleet consists of on one machine: which processes there are, and who falls together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from core.engines import EMBEDDED, Engines
from core.errors import NotFoundError
from core.names import ControlPlaneId, DcId, NodeId
from core.topology import Topology

STORE = "store"


class Part(Enum):
    """What a process is."""

    STORE = "store"
    CONTROL_PLANE = "control_planes"
    NODE = "nodes"


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a fleet."""

    name: str
    """The id of the node or the control plane; ``store``."""
    part: Part
    dc: DcId | None
    """Where it lives; None: the store, which stands outside every data center."""

    @property
    def group(self) -> str:
        """Name the process group that it falls with."""
        return self.dc or STORE

    @property
    def folder(self) -> str:
        """Name its own folder, below the fleet's."""
        return self.name if self.part is Part.STORE else f"{self.part.value}/{self.name}"


def members(topology: Topology, engines: Engines = EMBEDDED) -> tuple[Member, ...]:
    """List every process of a fleet: the store first, if it is the embedded one."""
    return (
        *([Member(STORE, Part.STORE, None)] if engines.store is None else []),
        *(Member(c.id, Part.CONTROL_PLANE, c.dc) for c in topology.control_planes),
        *(Member(n.id, Part.NODE, n.dc) for n in topology.nodes),
    )


def chosen(topology: Topology, target: DcId | NodeId | ControlPlaneId) -> tuple[Member, ...]:
    """List the processes that a data center, a node or a control plane stands for.

    Raises:
        NotFoundError: the fleet has nothing of that name.
    """
    found = tuple(m for m in members(topology) if target in (m.dc, m.name) and m.part is not Part.STORE)
    if not found:
        remedy = f"a data center ({', '.join(d.id for d in topology.data_centers)}), a node or a control plane"
        raise NotFoundError("target", target, remedy=remedy)
    return found


@dataclass(slots=True)
class Sites:
    """Which data centers live, as far as votes go: a frozen one does not."""

    topology: Topology
    gone: set[DcId]

    def set(self, dc: DcId, *, lives: bool) -> None:
        """Count a data center, or no longer."""
        if lives:
            self.gone.discard(dc)
        else:
            self.gone.add(dc)

    def living(self) -> Sequence[DcId]:
        """List those that live, in the topology's order."""
        return [dc.id for dc in self.topology.data_centers if dc.id not in self.gone]


def rtt_lines(topology: Topology, table_s: Mapping[tuple[DcId, DcId], float]) -> Iterator[str]:
    """Print round-trip times between all data centers as a triangle, in milliseconds."""
    names = [dc.id for dc in topology.data_centers]
    width = max(5, *(len(name) for name in names)) + 1
    for place, row in enumerate(names):
        cells = "".join(f"{table_s[row, column] * 1000:>{width}.1f}" for column in names[:place])
        yield f"{row:<{width}}{cells}".rstrip()
    yield " " * width + "".join(f"{name:>{width}}" for name in names)
