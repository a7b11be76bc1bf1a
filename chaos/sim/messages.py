"""What travels on simulated streams besides the frames between copies: what the real adapters say on theirs."""

from dataclasses import dataclass
from typing import TypeAlias

from control_plane.views import ConferView, LeaderView, RegisterView
from core.assignments import Assignment
from core.fleet_map import Delta, Revision
from core.names import ShardId, TenantName
from nodes.frames import Ack, Append, Frame, Heartbeat, HeartbeatReply, Message
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


def said(message: object) -> str:
    """Say in a few words what a message is; of a frame, what is in it besides heartbeats."""
    if not isinstance(message, Frame):
        return type(message).__name__
    parts = [_part(part) for part in message.messages]
    return ", ".join(part for part in parts if part) or Heartbeat.__name__


def _part(part: Message) -> str:
    match part:
        case Append(shard, _, prev, records):
            return (
                f"Append {shard}:{prev.lsn + 1}-{prev.lsn + len(records)}" if records else f"Append {shard}:{prev.lsn}"
            )
        case Ack(shard, _, lsn):
            return f"Ack {shard}:{lsn}"
        case Heartbeat() | HeartbeatReply():
            return ""
        case _:
            return f"{type(part).__name__} {part.shard}"
