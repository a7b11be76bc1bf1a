"""Writes what the leader knows as the resources that operators read."""

from types import MappingProxyType

from control_plane.views import (
    DataCenterView,
    DcState,
    FleetStatus,
    GeographyView,
    Move,
    MovePlan,
    OperationView,
    OverridePlan,
    Problem,
    Severity,
    ShardView,
    StaleCopy,
    Step,
)
from core.wire import assignment_to_pb, reason_to_pb, revision_to_pb
from twinhold.v1 import control_plane_service_pb2 as cp_pb
from twinhold.v1 import data_center_pb2 as dc_pb
from twinhold.v1 import data_center_service_pb2 as dc_service_pb
from twinhold.v1 import operation_pb2, shard_pb2, shard_service_pb2

_STATES = MappingProxyType({state: dc_pb.DataCenter.State.Value(f"STATE_{state.value}") for state in DcState})
_STEPS = MappingProxyType({step: dc_service_pb.Move.Step.Value(f"STEP_{step.value}") for step in Step})
_SEVERITIES = MappingProxyType({one: cp_pb.Problem.Severity.Value(f"SEVERITY_{one.value}") for one in Severity})


def data_center_to_pb(view: DataCenterView) -> dc_pb.DataCenter:
    """Write a data center."""
    return dc_pb.DataCenter(
        name=f"dataCenters/{view.id}",
        region=view.region,
        geography=view.geography,
        state=_STATES[view.state],
        cordoned=view.cordoned,
        nodes_live=view.nodes_live,
        nodes=view.nodes,
        primaries=view.primaries,
        standbys=view.standbys,
        utilization=view.utilization,
        holddown_until_ms=view.holddown_until_ms,
        holddown_because=view.holddown_because,
        etag=view.etag,
    )


def plan_to_pb(plan: MovePlan) -> dc_service_pb.MovePlan:
    """Write what a drain or an evacuation does."""
    return dc_service_pb.MovePlan(
        moves=[_move(move) for move in plan.moves],
        worst_utilization=plan.worst_utilization,
        survives_any_loss=plan.survives_any_loss,
    )


def operation_to_pb(view: OperationView) -> operation_pb2.Operation:
    """Write an operation."""
    error = view.error
    return operation_pb2.Operation(
        name=f"operations/{view.id}",
        title=view.title,
        steps_done=view.steps_done,
        steps=view.steps,
        done=view.done,
        error=None
        if error is None
        else operation_pb2.OperationError(reason=reason_to_pb(error.reason), message=error.message),
        started_at_ms=view.started_at_ms,
        ended_at_ms=view.ended_at_ms,
        detail=view.detail,
    )


def shard_to_pb(view: ShardView) -> shard_pb2.Shard:
    """Write a shard."""
    return shard_pb2.Shard(
        name=f"shards/{view.assignment.shard}",
        geography=view.geography,
        assignment=assignment_to_pb(view.assignment),
        weight=view.weight,
        exposed_since_ms=view.exposed_since_ms,
        in_flight=view.in_flight,
    )


def override_to_pb(plan: OverridePlan) -> shard_service_pb2.OverridePlan:
    """Write what an override gives up."""
    return shard_service_pb2.OverridePlan(
        base=assignment_to_pb(plan.base),
        stale=_stale(plan.stale),
        lossy_from_lsn=plan.lossy_from_lsn,
        primary_last_lsn=plan.primary_last_lsn,
        primary_heard_at_ms=plan.primary_heard_at_ms,
        others=[_stale(copy) for copy in plan.others],
        evidence=plan.evidence,
    )


def status_to_pb(status: FleetStatus) -> cp_pb.GetFleetStatusResponse:
    """Write how the fleet is."""
    return cp_pb.GetFleetStatusResponse(
        fleet=status.fleet,
        control_plane=status.control_plane,
        leader=status.leader or "",
        term=status.term,
        map=revision_to_pb(status.map, status.fleet),
        problems=[_problem(one) for one in status.problems],
        shards_sync=status.shards_sync,
        shards_solo=status.shards_solo,
        shards_down=status.shards_down,
        nodes_live=status.nodes_live,
        nodes=status.nodes,
        control_planes_live=status.control_planes_live,
        control_planes=status.control_planes,
        geographies=[_geography(one) for one in status.geographies],
        operations_running=status.operations_running,
        brake_halted=status.brake_halted,
    )


def _stale(copy: StaleCopy) -> shard_service_pb2.StaleCopy:
    incarnation, epoch, _ = copy.view.last
    return shard_service_pb2.StaleCopy(
        node=copy.node,
        copy_id=copy.view.copy_id,
        last_lsn=copy.view.last_lsn,
        commit_lsn=copy.view.commit_lsn,
        last_incarnation=incarnation,
        last_epoch=epoch,
        unfit=copy.unfit,
    )


def _move(move: Move) -> dc_service_pb.Move:
    return dc_service_pb.Move(shard=move.shard, step=_STEPS[move.step], source=move.source, target=move.target or "")


def _problem(problem: Problem) -> cp_pb.Problem:
    return cp_pb.Problem(
        severity=_SEVERITIES[problem.severity],
        subject=problem.subject,
        message=problem.message,
        since_ms=problem.since_ms,
    )


def _geography(view: GeographyView) -> cp_pb.GeographyStatus:
    return cp_pb.GeographyStatus(
        geography=view.id,
        survives_any_loss=view.survives_any_loss,
        worst_after_loss=view.worst_after_loss,
        shards_solo=view.shards_solo,
    )
