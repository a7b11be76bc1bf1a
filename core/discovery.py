"""Which processes of a fleet live, and where: what they register as, and the port to whoever keeps the register.

Nothing that keeps tenants served waits for it: a fleet goes by its topology, and a register that is away, for any
length of time, changes nothing for those that run. It serves whoever comes from outside: people, and programs that
know a register's address and no topology.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from core.names import DcId
from core.topology import Topology

TTL_S = 10.0
"""Who has not said for this long that it lives is not listed any more."""
BEATS_PER_TTL = 3
"""How often a living process says so within that time: two that get lost in a row are borne."""


class Part(StrEnum):
    """What a process is in its fleet."""

    CONTROL_PLANE = "control-plane"
    NODE = "node"


@dataclass(frozen=True, slots=True, order=True)
class Instance:
    """One process, as it registers."""

    fleet: str
    part: Part
    id: str
    """A ``NodeId`` or a ``ControlPlaneId``."""
    dc: DcId
    host: str
    port: int

    @property
    def endpoint(self) -> str:
        """Where to dial it."""
        return f"{self.host}:{self.port}"


Listed: TypeAlias = tuple[Instance, ...]
"""Those that live, each once, sorted."""


class Discovery(Protocol):
    """A register of one fleet's processes; used by hosts and by whoever seeks a fleet, never by a decision.

    Every call ends within the adapter's deadline. It raises UnavailableError when the register does not answer: whether
    what was asked has been done is then unknown, and asking again does no harm. It raises NotAllowedError when it
    refuses the credentials.
    """

    @property
    def ttl_s(self) -> float:
        """Say for how long one sign of life counts."""
        ...

    async def register(self, instance: Instance) -> None:
        """Make a process known, alive from now on for ``ttl_s``; again, and changed, as often as one likes."""
        ...

    async def keep(self, instance: Instance) -> bool:
        """Say that it lives, for another ``ttl_s``; False: the register does not know it (any more)."""
        ...

    async def deregister(self, instance: Instance) -> None:
        """Take it out; harmless when it is not in."""
        ...

    async def instances(self) -> Listed:
        """List who lives."""
        ...

    async def watch(self, seen: Callable[[Listed], None]) -> None:
        """Tell who lives, now and after every change, until cancelled; never returns.

        What is told is never older than what was told before. Changes that follow each other quickly may be told as
        one. A register that does not answer is waited for, and what was told last stays right until it does.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; what is registered stays so until its time runs out."""
        ...


def instances_of(topology: Topology) -> Listed:
    """List every process that a topology names."""
    fleet = topology.fleet
    control_planes = (
        Instance(fleet, Part.CONTROL_PLANE, one.id, one.dc, one.host, one.port) for one in topology.control_planes
    )
    nodes = (Instance(fleet, Part.NODE, one.id, one.dc, one.host, one.port) for one in topology.nodes)
    return listed((*control_planes, *nodes))


def listed(found: Sequence[Instance]) -> Listed:
    """Put what was found in several places together: each process once, sorted.

    One that moved is found where it was and where it is, until its former entry has run out; the first found counts.
    """
    by_id = {(one.part, one.id): one for one in reversed(found)}
    return tuple(sorted(by_id.values()))


def next_index(before: int, answered: int) -> int:
    """Say from which index of a register to go on watching, after it answered with one.

    0 asks for the present state at once. An index that went back is of another history (a restored register): what
    comes after it is not what comes after ours.
    """
    return answered if answered >= max(before, 1) else 0
