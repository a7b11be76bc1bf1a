"""Real gRPC servers that keep the contract of the control plane, in memory: one leader, one follower, a lonely node.

The leader does what the contract says and no more: drains finish step by step as they are waited for, gates refuse,
request ids are honoured.
"""

from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_status import rpc_status

from core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotLeaderError,
    PositionGoneError,
    RefusedBySafetyError,
    TwinholdError,
)
from core.io.serve import ACTOR_HEADER
from core.io.status import status_of
from tests.unit.cli.small_fleet import NOON_MS, SmallFleet, pair
from twinhold.v1 import (
    assignment_pb2,
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    control_plane_service_pb2,
    control_plane_service_pb2_grpc,
    data_center_service_pb2,
    data_center_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    journal_pb2,
    operation_service_pb2,
    operation_service_pb2_grpc,
    shard_service_pb2,
    shard_service_pb2_grpc,
    store_admin_service_pb2_grpc,
    tenant_service_pb2,
    tenant_service_pb2_grpc,
)

Move = data_center_service_pb2.Move


class TellingErrors(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Turns our errors into rich status, as the real servers do."""

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """Wrap the method that a call is for."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        inner = handler.unary_unary or handler.unary_stream

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return inner(request, context)
            except TwinholdError as error:
                context.abort_with_status(rpc_status.to_status(status_of(error)))

        make = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(unary, handler.request_deserializer, handler.response_serializer)


def actor_of(context: grpc.ServicerContext) -> str:
    """Say who calls, as a server without credentials believes it."""
    return next((str(value) for key, value in context.invocation_metadata() if key == ACTOR_HEADER), "anonymous")


@dataclass
class Leader(
    control_plane_service_pb2_grpc.ControlPlaneServiceServicer,
    data_center_service_pb2_grpc.DataCenterServiceServicer,
    event_service_pb2_grpc.EventServiceServicer,
    operation_service_pb2_grpc.OperationServiceServicer,
    shard_service_pb2_grpc.ShardServiceServicer,
    tenant_service_pb2_grpc.TenantServiceServicer,
):
    """The control plane that leads."""

    fleet: SmallFleet

    def Confer(self, request_iterator: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "one control plane leads for ever here")

    def GetFleetStatus(
        self, request: control_plane_service_pb2.GetFleetStatusRequest, context: grpc.ServicerContext
    ) -> control_plane_service_pb2.GetFleetStatusResponse:
        solo = sum(not shard.assignment.HasField("standby") for shard in self.fleet.shards)
        eu = control_plane_service_pb2.GeographyStatus(
            geography="eu", survives_any_loss=not self.fleet.exposed, worst_after_loss=0.8, shards_solo=solo
        )
        return control_plane_service_pb2.GetFleetStatusResponse(
            fleet="small",
            control_plane="fra1-cp",
            leader="fra1-cp",
            term=3,
            map=assignment_pb2.Revision(fleet="small", store_incarnation=1, term=3, n=12),
            problems=self.fleet.problems,
            shards_sync=len(self.fleet.shards) - solo,
            shards_solo=solo,
            nodes_live=4,
            nodes=4,
            control_planes_live=2,
            control_planes=2,
            geographies=[eu],
            operations_running=sum(not operation.done for operation in self.fleet.operations.values()),
            brake_halted=self.fleet.halted,
        )

    def ResumeFailover(
        self, request: control_plane_service_pb2.ResumeFailoverRequest, context: grpc.ServicerContext
    ) -> control_plane_service_pb2.ResumeFailoverResponse:
        closed = ["two data centers of eu looked dead"] if self.fleet.halted else []
        self.fleet.halted = False
        self.fleet.decided("brake.resumed", "fleet", request.reason, actor=actor_of(context))
        return control_plane_service_pb2.ResumeFailoverResponse(closed=closed)

    def ListDataCenters(
        self, request: data_center_service_pb2.ListDataCentersRequest, context: grpc.ServicerContext
    ) -> data_center_service_pb2.ListDataCentersResponse:
        return data_center_service_pb2.ListDataCentersResponse(data_centers=self.fleet.data_centers.values())

    def GetDataCenter(
        self, request: data_center_service_pb2.GetDataCenterRequest, context: grpc.ServicerContext
    ) -> data_center_service_pb2.GetDataCenterResponse:
        return data_center_service_pb2.GetDataCenterResponse(data_center=self.fleet.data_center(request.name))

    def CordonDataCenter(
        self, request: data_center_service_pb2.CordonDataCenterRequest, context: grpc.ServicerContext
    ) -> data_center_service_pb2.CordonDataCenterResponse:
        found = self.fleet.data_center(request.name)
        found.cordoned = True
        self.fleet.decided("dc.cordoned", request.name, request.reason, actor=actor_of(context))
        return data_center_service_pb2.CordonDataCenterResponse(data_center=found)

    def UncordonDataCenter(
        self, request: data_center_service_pb2.UncordonDataCenterRequest, context: grpc.ServicerContext
    ) -> data_center_service_pb2.UncordonDataCenterResponse:
        found = self.fleet.data_center(request.name)
        found.cordoned = False
        self.fleet.decided("dc.uncordoned", request.name, request.reason, actor=actor_of(context))
        return data_center_service_pb2.UncordonDataCenterResponse(data_center=found)

    def DrainDataCenter(
        self, request: data_center_service_pb2.DrainDataCenterRequest, context: grpc.ServicerContext
    ) -> data_center_service_pb2.DrainDataCenterResponse:
        self.fleet.data_center(request.name)
        if self.fleet.exposed and not (request.accept_exposure or request.validate_only):
            raise RefusedBySafetyError("eu could not lose a data center now", violations=["shard 2: one copy"])
        moves = [Move(shard=shard, step=Move.STEP_SWITCHOVER, source="fra1-c1", target="ams1-c1") for shard in (0, 2)]
        plan = data_center_service_pb2.MovePlan(moves=moves, worst_utilization=0.8, survives_any_loss=False)
        if request.validate_only:
            return data_center_service_pb2.DrainDataCenterResponse(plan=plan)
        operation = self.fleet.start(request.request_id, f"drain {request.name}", self.fleet.drain_steps)
        return data_center_service_pb2.DrainDataCenterResponse(plan=plan, operation=operation)

    def EvacuateDataCenter(
        self, request: data_center_service_pb2.EvacuateDataCenterRequest, context: grpc.ServicerContext
    ) -> data_center_service_pb2.EvacuateDataCenterResponse:
        self.fleet.data_center(request.name)
        moves = [Move(shard=shard, step=Move.STEP_PROMOTE, source="fra1-c1", target="ams1-c1") for shard in (0, 2)]
        plan = data_center_service_pb2.MovePlan(moves=moves, worst_utilization=0.8, survives_any_loss=False)
        if request.validate_only:
            return data_center_service_pb2.EvacuateDataCenterResponse(plan=plan)
        operation = self.fleet.start(request.request_id, f"evacuate {request.name}", len(moves))
        return data_center_service_pb2.EvacuateDataCenterResponse(plan=plan, operation=operation)

    def ListEvents(
        self, request: event_service_pb2.ListEventsRequest, context: grpc.ServicerContext
    ) -> event_service_pb2.ListEventsResponse:
        fits = [
            event
            for event in reversed(self.fleet.events)
            if event.type.startswith(request.type_prefix) and request.subject in ("", event.subject)
        ]
        start, size = int(request.page_token or 0), min(request.page_size or 100, 2)
        more = str(start + size) if start + size < len(fits) else ""
        return event_service_pb2.ListEventsResponse(events=fits[start : start + size], next_page_token=more)

    def WatchEvents(
        self, request: event_service_pb2.WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[event_service_pb2.WatchEventsResponse]:
        at = request.after_number if request.HasField("after_number") else len(self.fleet.events)
        while context.is_active():
            with self.fleet.happened:
                if len(self.fleet.events) == at:
                    self.fleet.happened.wait(timeout=0.1)
                fresh = self.fleet.events[at:]
            at += len(fresh)
            yield from (event_service_pb2.WatchEventsResponse(event=event) for event in fresh)

    def GetOperation(
        self, request: operation_service_pb2.GetOperationRequest, context: grpc.ServicerContext
    ) -> operation_service_pb2.GetOperationResponse:
        return operation_service_pb2.GetOperationResponse(operation=self.fleet.operations[request.name])

    def ListOperations(
        self, request: operation_service_pb2.ListOperationsRequest, context: grpc.ServicerContext
    ) -> operation_service_pb2.ListOperationsResponse:
        return operation_service_pb2.ListOperationsResponse(operations=reversed(self.fleet.operations.values()))

    def WaitOperation(
        self, request: operation_service_pb2.WaitOperationRequest, context: grpc.ServicerContext
    ) -> operation_service_pb2.WaitOperationResponse:
        return operation_service_pb2.WaitOperationResponse(operation=self.fleet.advance(request.name))

    def CancelOperation(
        self, request: operation_service_pb2.CancelOperationRequest, context: grpc.ServicerContext
    ) -> operation_service_pb2.CancelOperationResponse:
        return operation_service_pb2.CancelOperationResponse(operation=self.fleet.operations[request.name])

    def GetShard(
        self, request: shard_service_pb2.GetShardRequest, context: grpc.ServicerContext
    ) -> shard_service_pb2.GetShardResponse:
        return shard_service_pb2.GetShardResponse(shard=self.fleet.shard(request.name))

    def ListShards(
        self, request: shard_service_pb2.ListShardsRequest, context: grpc.ServicerContext
    ) -> shard_service_pb2.ListShardsResponse:
        fits = [
            shard for shard in self.fleet.shards if not (request.exposed_only and shard.assignment.HasField("standby"))
        ]
        start, size = int(request.page_token or 0), min(request.page_size or 100, 3)
        more = str(start + size) if start + size < len(fits) else ""
        return shard_service_pb2.ListShardsResponse(shards=fits[start : start + size], next_page_token=more)

    def SwitchoverShard(
        self, request: shard_service_pb2.SwitchoverShardRequest, context: grpc.ServicerContext
    ) -> shard_service_pb2.SwitchoverShardResponse:
        if not self.fleet.shard(request.name).assignment.HasField("standby"):
            raise ConflictError(f"{request.name} has one copy: wait until it has two", shard=request.name)
        if request.validate_only:
            return shard_service_pb2.SwitchoverShardResponse()
        operation = self.fleet.start(request.request_id, f"switchover {request.name}", 1)
        return shard_service_pb2.SwitchoverShardResponse(operation=operation)

    def PromoteShard(
        self, request: shard_service_pb2.PromoteShardRequest, context: grpc.ServicerContext
    ) -> shard_service_pb2.PromoteShardResponse:
        self.fleet.shard(request.name)
        if request.validate_only:
            return shard_service_pb2.PromoteShardResponse()
        operation = self.fleet.start(request.request_id, f"promote {request.name}", 1)
        return shard_service_pb2.PromoteShardResponse(operation=operation)

    def OverrideShard(
        self, request: shard_service_pb2.OverrideShardRequest, context: grpc.ServicerContext
    ) -> shard_service_pb2.OverrideShardResponse:
        base = self.fleet.shard(request.name).assignment
        if base.HasField("standby"):
            raise RefusedBySafetyError("shard 2 has a second copy", violations=["ams1-c1 answers fra1-cp"])
        stale = shard_service_pb2.StaleCopy(node="ams1-c1", copy_id="b.1", last_lsn=12, commit_lsn=10, last_epoch=6)
        other = shard_service_pb2.StaleCopy(node="waw1-c1", last_lsn=3, last_epoch=7, unfit="it is not heard")
        plan = shard_service_pb2.OverridePlan(
            base=base, stale=stale, lossy_from_lsn=11, primary_last_lsn=40, others=[other], evidence=["fra1 is gone"]
        )
        if request.validate_only:
            return shard_service_pb2.OverrideShardResponse(plan=plan)
        stated = (request.stated_by, request.takes_over)
        self.fleet.decided("failover.overridden", request.confirm, *stated, actor=actor_of(context))
        operation = self.fleet.start(request.request_id, f"override {request.name}", 1)
        return shard_service_pb2.OverrideShardResponse(plan=plan, operation=operation)

    def CreateTenant(
        self, request: tenant_service_pb2.CreateTenantRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.CreateTenantResponse:
        if request.tenant.name in self.fleet.tenants:
            raise AlreadyExistsError(f"{request.tenant.name} exists already")
        request.tenant.created_at_ms = NOON_MS
        self.fleet.tenants[request.tenant.name] = request.tenant
        return tenant_service_pb2.CreateTenantResponse(tenant=request.tenant)

    def GetTenant(
        self, request: tenant_service_pb2.GetTenantRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.GetTenantResponse:
        return tenant_service_pb2.GetTenantResponse(tenant=self.fleet.tenant(request.name))

    def ListTenants(
        self, request: tenant_service_pb2.ListTenantsRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.ListTenantsResponse:
        names = sorted(name for name in self.fleet.tenants if name.split("/")[1] == request.parent)
        start, size = int(request.page_token or 0), min(request.page_size or 100, 2)
        more = str(start + size) if start + size < len(names) else ""
        page = [self.fleet.tenants[name] for name in names[start : start + size]]
        return tenant_service_pb2.ListTenantsResponse(tenants=page, next_page_token=more)

    def LocateTenant(
        self, request: tenant_service_pb2.LocateTenantRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.LocateTenantResponse:
        self.fleet.tenant(request.name)
        return tenant_service_pb2.LocateTenantResponse(
            assignment=self.fleet.shards[1].assignment, primary_endpoint="127.3.0.1:7000"
        )

    def ExplainTenant(
        self, request: tenant_service_pb2.ExplainTenantRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.ExplainTenantResponse:
        self.fleet.tenant(request.name)
        return tenant_service_pb2.ExplainTenantResponse(
            assignment=self.fleet.shards[1].assignment,
            reasons=["ams1 and fra1 are the two data centers with most room."],
            events=list(reversed(self.fleet.events)),
        )

    def RestoreTenant(
        self, request: tenant_service_pb2.RestoreTenantRequest, context: grpc.ServicerContext
    ) -> tenant_service_pb2.RestoreTenantResponse:
        self.fleet.tenant(request.name)
        if request.at_ms < NOON_MS:
            raise PositionGoneError("the archive of this shard begins at noon: choose that time or a later one")
        counts = [journal_pb2.RestoreCount(app="chat", kind="posts", added=2, removed=1)]
        if request.at_ms > NOON_MS:
            counts = []
        if not request.validate_only:
            self.fleet.restored.append(request.request_id)
        lsn = 0 if request.validate_only else 7
        return tenant_service_pb2.RestoreTenantResponse(at_ms=request.at_ms, as_of_lsn=5, counts=counts, lsn=lsn)


class Follower(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """A control plane that does not lead: whatever it is asked, it names the leader."""

    def __init__(self, leader_endpoint: str) -> None:
        self.leader_endpoint = leader_endpoint

    def service(self, handler_call_details: Any) -> Any:
        """Answer every method alike."""

        def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
            raise NotLeaderError("fra1-cp leads, ask there", leader="fra1-cp", leader_endpoint=self.leader_endpoint)

        return grpc.unary_unary_rpc_method_handler(refuse)


class LonelyNode(assignment_service_pb2_grpc.AssignmentServiceServicer):
    """A node that goes on from its last good map."""

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "nothing changes any more")

    def Resolve(
        self, request: assignment_service_pb2.ResolveRequest, context: grpc.ServicerContext
    ) -> assignment_service_pb2.ResolveResponse:
        revision = assignment_pb2.Revision(fleet="small", store_incarnation=1, term=3, n=12)
        age = assignment_service_pb2.MapAge(revision=revision, age_ms=42_000)
        return assignment_service_pb2.ResolveResponse(assignment=pair(0), age=age)


def serving(register: Callable[[grpc.Server], None]) -> tuple[grpc.Server, str]:
    """Start a server on a free port of the loopback; returns it and its endpoint."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), interceptors=[TellingErrors()])
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def serve_leader(fleet: SmallFleet) -> tuple[grpc.Server, str]:
    """Start the control plane that leads."""
    leader = Leader(fleet)

    def register(server: grpc.Server) -> None:
        control_plane_service_pb2_grpc.add_ControlPlaneServiceServicer_to_server(leader, server)
        data_center_service_pb2_grpc.add_DataCenterServiceServicer_to_server(leader, server)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(leader, server)
        operation_service_pb2_grpc.add_OperationServiceServicer_to_server(leader, server)
        shard_service_pb2_grpc.add_ShardServiceServicer_to_server(leader, server)
        store_admin_service_pb2_grpc.add_StoreAdminServiceServicer_to_server(fleet.store, server)
        tenant_service_pb2_grpc.add_TenantServiceServicer_to_server(leader, server)

    return serving(register)


def serve_follower(leader_endpoint: str) -> tuple[grpc.Server, str]:
    """Start a control plane that does not lead."""
    return serving(lambda server: server.add_generic_rpc_handlers([Follower(leader_endpoint)]))


def serve_node() -> tuple[grpc.Server, str]:
    """Start a node that has a map."""
    return serving(
        lambda server: assignment_service_pb2_grpc.add_AssignmentServiceServicer_to_server(LonelyNode(), server)
    )
