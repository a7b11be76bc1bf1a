"""Between core values and protobuf messages; the only file of this floor that knows both."""

from collections.abc import Iterable, Mapping

from core.assignments import Assignment, Copy
from core.errors import MalformedError, TwinholdError, revived
from core.fleet_map import Delta, Revision
from core.names import (
    CopyId,
    ShardId,
    TenantName,
    control_plane_id,
    dc_id,
    dc_of,
    geography_id,
    node_id,
    region_id,
    tenant_name,
)
from core.topology import ControlPlane, DataCenter, Geography, Kind, Node, Topology
from twinhold.v1 import assignment_pb2 as pb
from twinhold.v1 import command_service_pb2 as command_pb
from twinhold.v1 import errors_pb2, node_service_pb2

_KIND_TO_PB = {Kind.COLLAB: pb.KIND_COLLAB, Kind.MEDIA: pb.KIND_MEDIA}
_KIND_FROM_PB = {number: kind for kind, number in _KIND_TO_PB.items()}
_CODES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
    "UNAUTHENTICATED"
).split()
CODE_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(_CODES)}
"""gRPC status codes by name."""


def kind_to_pb(kind: Kind) -> pb.Kind.ValueType:
    """Write a kind."""
    return _KIND_TO_PB[kind]


def kind_from_pb(number: int) -> Kind:
    """Read a kind; raises MalformedError for one that this code does not know."""
    if number not in _KIND_FROM_PB:
        raise MalformedError("kind", number, expected="COLLAB or MEDIA")
    return _KIND_FROM_PB[pb.Kind.ValueType(number)]


def copy_to_pb(copy: Copy) -> pb.Copy:
    """Write a copy."""
    return pb.Copy(node=copy.node, copy_id=copy.copy_id)


def copy_from_pb(message: pb.Copy) -> Copy:
    """Read a copy; raises MalformedError."""
    return Copy(node_id(message.node), CopyId(message.copy_id))


def assignment_to_pb(assignment: Assignment) -> pb.Assignment:
    """Write an assignment."""
    return pb.Assignment(
        shard=assignment.shard,
        kind=_KIND_TO_PB[assignment.kind],
        incarnation=assignment.incarnation,
        epoch=assignment.epoch,
        primary=copy_to_pb(assignment.primary),
        standby=None if assignment.standby is None else copy_to_pb(assignment.standby),
        reason=assignment.reason,
    )


def assignment_from_pb(message: pb.Assignment) -> Assignment:
    """Read an assignment; raises MalformedError."""
    return Assignment(
        shard=ShardId(message.shard),
        kind=kind_from_pb(message.kind),
        incarnation=message.incarnation,
        epoch=message.epoch,
        primary=copy_from_pb(message.primary),
        standby=copy_from_pb(message.standby) if message.HasField("standby") else None,
        reason=message.reason,
    )


def revision_to_pb(revision: Revision, fleet: str) -> pb.Revision:
    """Write a revision of a fleet's map."""
    return pb.Revision(fleet=fleet, store_incarnation=revision.store_incarnation, term=revision.term, n=revision.n)


def revision_from_pb(message: pb.Revision, fleet: str) -> Revision:
    """Read a revision; raises MalformedError when it is another fleet's."""
    if message.fleet != fleet:
        raise MalformedError("revision", f"of fleet {message.fleet}", expected=f"one of fleet {fleet}")
    return Revision(message.store_incarnation, message.term, message.n)


def snapshot_to_pb(
    revision: Revision,
    assignments: Iterable[Assignment],
    overrides: Mapping[TenantName, ShardId],
    topology: Topology,
) -> pb.MapSnapshot:
    """Write a whole map, in columns: one repeated message per entry would cost ten times as much to parse."""
    ordered = sorted(assignments, key=lambda assignment: assignment.shard)
    copies = sorted({copy for assignment in ordered for copy in assignment.in_sync})
    index = {copy: number for number, copy in enumerate(copies, start=1)}
    return pb.MapSnapshot(
        revision=revision_to_pb(revision, topology.fleet),
        copies=[copy_to_pb(copy) for copy in copies],
        shards=[a.shard for a in ordered],
        kinds=[_KIND_TO_PB[a.kind] for a in ordered],
        incarnations=[a.incarnation for a in ordered],
        epochs=[a.epoch for a in ordered],
        primaries=[index[a.primary] for a in ordered],
        standbys=[0 if a.standby is None else index[a.standby] for a in ordered],
        overrides=overrides_to_pb(overrides.items()),
        fleet=topology_to_pb(topology),
    )


def snapshot_from_pb(message: pb.MapSnapshot) -> tuple[list[Assignment], dict[TenantName, ShardId]]:
    """Read a whole map; raises MalformedError when its columns do not fit together."""
    copies = [copy_from_pb(copy) for copy in message.copies]
    columns = (message.shards, message.kinds, message.incarnations, message.epochs, message.primaries, message.standbys)
    if len({len(column) for column in columns}) != 1:
        raise MalformedError("map", "snapshot", expected="columns of one length")
    top = len(copies)
    if any(not 1 <= p <= top for p in message.primaries) or any(s > top for s in message.standbys):
        raise MalformedError("map", "snapshot", expected="copies within its table")
    assignments = [
        Assignment(
            ShardId(shard),
            kind_from_pb(kind),
            incarnation,
            epoch,
            copies[primary - 1],
            copies[standby - 1] if standby else None,
        )
        for shard, kind, incarnation, epoch, primary, standby in zip(*columns, strict=True)
    ]
    overrides = {tenant_name(o.tenant): ShardId(o.shard) for o in message.overrides if o.HasField("shard")}
    return assignments, overrides


def delta_to_pb(delta: Delta, fleet: str) -> pb.MapDelta:
    """Write a change of the map."""
    return pb.MapDelta(
        base=revision_to_pb(delta.base, fleet),
        revision=revision_to_pb(delta.revision, fleet),
        changed=[assignment_to_pb(assignment) for assignment in delta.changed],
        overrides=overrides_to_pb(delta.overrides),
    )


def delta_from_pb(message: pb.MapDelta, fleet: str) -> Delta:
    """Read a change of the map; raises MalformedError."""
    return Delta(
        base=revision_from_pb(message.base, fleet),
        revision=revision_from_pb(message.revision, fleet),
        changed=tuple(assignment_from_pb(assignment) for assignment in message.changed),
        overrides=tuple(
            (tenant_name(o.tenant), ShardId(o.shard) if o.HasField("shard") else None) for o in message.overrides
        ),
    )


def overrides_to_pb(overrides: Iterable[tuple[TenantName, ShardId | None]]) -> list[pb.TenantOverride]:
    """Write tenant overrides."""
    return [pb.TenantOverride(tenant=str(tenant), shard=shard) for tenant, shard in overrides]


def topology_to_pb(topology: Topology) -> pb.FleetDescription:
    """Write what a newcomer must know to dial the fleet."""
    return pb.FleetDescription(
        fleet=topology.fleet,
        geographies=[
            pb.GeographyDescription(
                geography=g.id, first_shard=g.first_shard, shards=g.shards, vote_sites=list(g.vote_sites)
            )
            for g in topology.geographies
        ],
        data_centers=[
            pb.DataCenterDescription(
                dc=d.id,
                region=d.region,
                geography=d.geography,
                latitude_deg=d.latitude_deg,
                longitude_deg=d.longitude_deg,
            )
            for d in topology.data_centers
        ],
        nodes=[
            pb.NodeDescription(node=n.id, kind=_KIND_TO_PB[n.kind], endpoint=n.endpoint, capacity=n.capacity)
            for n in topology.nodes
        ],
        control_planes=[
            pb.ControlPlaneDescription(control_plane=c.id, endpoint=c.endpoint) for c in topology.control_planes
        ],
    )


def topology_from_pb(message: pb.FleetDescription) -> Topology:
    """Read a fleet's description; where its store stands is nobody's business outside, so that stays empty."""
    return Topology(
        fleet=message.fleet,
        geographies=tuple(
            Geography(geography_id(g.geography), g.first_shard, g.shards, tuple(dc_id(s) for s in g.vote_sites))
            for g in message.geographies
        ),
        data_centers=tuple(_data_center(d) for d in message.data_centers),
        nodes=tuple(_node(n) for n in message.nodes),
        control_planes=tuple(_control_plane(c) for c in message.control_planes),
        store_host="",
        store_port=0,
    )


def command_error(error: TwinholdError) -> command_pb.CommandError:
    """Write an error as a field, where a status would end a whole stream."""
    return command_pb.CommandError(
        code=CODE_NUMBERS[error.code],
        reason=reason_to_pb(error.reason),
        message=error.message,
        facts=error.facts,
        retry_after_ms=0 if error.retry_after_s is None else max(1, round(error.retry_after_s * 1000)),
    )


def error_of_command(message: command_pb.CommandError) -> TwinholdError:
    """Read an error that came as a field."""
    return revived(
        code=_CODES[message.code] if message.code < len(_CODES) else "UNKNOWN",
        reason=errors_pb2.Reason.Name(message.reason).removeprefix("REASON_"),
        message=message.message,
        facts=message.facts,
        retry_after_s=message.retry_after_ms / 1000 or None,
    )


def reason_to_pb(reason: str) -> errors_pb2.Reason.ValueType:
    """Write a reason; one that the enum does not list is INTERNAL."""
    name = f"REASON_{reason}"
    known = name in errors_pb2.Reason.keys()  # noqa: SIM118 - an enum wrapper, not a dict
    return errors_pb2.Reason.Value(name) if known else errors_pb2.REASON_INTERNAL


def _data_center(d: pb.DataCenterDescription) -> DataCenter:
    return DataCenter(dc_id(d.dc), region_id(d.region), geography_id(d.geography), d.latitude_deg, d.longitude_deg)


def _node(n: pb.NodeDescription) -> Node:
    node = node_id(n.node)
    host, port = endpoint_parts(n.endpoint)
    return Node(node, dc_of(node), kind_from_pb(n.kind), host, port, n.capacity)


def _control_plane(c: pb.ControlPlaneDescription) -> ControlPlane:
    control_plane = control_plane_id(c.control_plane)
    host, port = endpoint_parts(c.endpoint)
    return ControlPlane(control_plane, dc_of(control_plane), host, port)


def endpoint_parts(endpoint: str) -> tuple[str, int]:
    """Split ``host:port``; raises MalformedError."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise MalformedError("endpoint", endpoint, expected="host:port")
    return host, int(port)


def report_brings_news(report: node_service_pb2.ReportRequest) -> bool:
    """Say whether a node's report is more than a sign of life; both ends treat those without news alike."""
    return bool(report.complete or report.observations or report.unwatched or report.copies or report.gone)
