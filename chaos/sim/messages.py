"""What travels on simulated streams besides the frames between copies: what the real adapters say on theirs."""

from dataclasses import dataclass
from typing import TypeAlias

from control_plane.views import ConferView, LeaderView, RegisterView
from core.assignments import Assignment
from core.fleet_map import Delta, Revision
from core.names import ShardId, TenantName
from nodes.frames import Frame
from twinhold.v1 import node_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life of a node to who observes it."""


@dataclass(frozen=True, slots=True)
class Register:
    """A node begins a stream of reports."""

    view: RegisterView


@dataclass(frozen=True, slots=True)
class Report:
    """What a node reports, as it stands on the wire."""

    message: pb.ReportRequest


@dataclass(frozen=True, slots=True)
class Led:
    """A control plane's answer to reports, or news: who leads."""

    leader: LeaderView


@dataclass(frozen=True, slots=True)
class Confer:
    """A heartbeat between control planes."""

    view: ConferView


@dataclass(frozen=True, slots=True)
class Conferred:
    """The answer to one."""

    view: ConferView


@dataclass(frozen=True, slots=True)
class Watch:
    """Whoever sends it wants the map told from ``since`` on; None: all of it."""

    since: Revision | None


@dataclass(frozen=True, slots=True)
class Unwatch:
    """It does not any more."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole map."""

    revision: Revision
    held: tuple[Assignment, ...]
    overrides: tuple[tuple[TenantName, ShardId], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the map."""

    delta: Delta


@dataclass(frozen=True, slots=True)
class Age:
    """The map has not changed: where it stands."""

    revision: Revision


SimMessage: TypeAlias = (
    Frame | Sign | Register | Report | Led | Confer | Conferred | Watch | Unwatch | Whole | Step | Age
)
