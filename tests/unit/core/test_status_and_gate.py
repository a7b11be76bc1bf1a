"""Rich status over a real server and channel; the gate stands before every call."""

from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest

from core.errors import (
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    RefusedBySafetyError,
    TwinholdError,
    UnavailableError,
)
from core.gate import Allow, Decision, Deny, LoopbackPolicy, Policy, Principal
from core.io.dial import channel
from core.io.serve import Context, Server, principal_of
from core.io.status import error_of
from twinhold.v1 import assignment_service_pb2 as assignment_pb
from twinhold.v1 import assignment_service_pb2_grpc as assignment_grpc
from twinhold.v1 import tenant_service_pb2 as pb
from twinhold.v1 import tenant_service_pb2_grpc as tenant_grpc

HOST, PORT = "127.40.0.1", 7801


class Tenants(tenant_grpc.TenantServiceServicer):
    """Fails in every way that a service can."""

    async def GetTenant(self, request: pb.GetTenantRequest, context: Context) -> pb.GetTenantResponse:
        raise RefusedBySafetyError("no room", violations=["ams1 is full", "fra1 is cordoned"], shard=3)

    async def LocateTenant(self, request: pb.LocateTenantRequest, context: Context) -> pb.LocateTenantResponse:
        raise OverloadedError("wait", retry_after_s=0.25, reason="QUOTA", tenant=request.name)

    async def ExplainTenant(self, request: pb.ExplainTenantRequest, context: Context) -> pb.ExplainTenantResponse:
        return pb.ExplainTenantResponse(reasons=[principal_of(context).name])


class Assignments(assignment_grpc.AssignmentServiceServicer):
    """Fails in the middle of a stream."""

    async def Watch(
        self, request: assignment_pb.WatchRequest, context: Context
    ) -> AsyncIterator[assignment_pb.WatchResponse]:
        yield assignment_pb.WatchResponse(age=assignment_pb.MapAge(age_ms=1))
        raise NotFoundError("shard", 7)


class NoStrangers:
    """Lets alice in, and nobody else."""

    def authorise(self, principal: Principal, method: str, resource: str) -> Decision:
        return Allow() if principal.name == "alice" else Deny(f"{principal.name} may not touch {resource}")


async def serving(policy: Policy) -> Server:
    server = Server(HOST, PORT, policy)
    # The stubs call every method abstract; at run time the rest answers UNIMPLEMENTED.
    tenants, assignments = Tenants(), Assignments()  # type: ignore[abstract]
    tenant_grpc.add_TenantServiceServicer_to_server(tenants, server.server)
    assignment_grpc.add_AssignmentServiceServicer_to_server(assignments, server.server)
    await server.start(["twinhold.v1.TenantService", "twinhold.v1.AssignmentService"])
    return server


async def failure(call: Awaitable[object]) -> TwinholdError:
    with pytest.raises(grpc.RpcError) as failed:
        await call
    return error_of(failed.value)


async def test_an_error_arrives_as_the_class_that_was_raised() -> None:
    server = await serving(LoopbackPolicy())
    async with channel(server.endpoint) as opened:
        stub = tenant_grpc.TenantServiceStub(opened)
        refused = await failure(stub.GetTenant(pb.GetTenantRequest(name="tenants/eu/a")))
        overloaded = await failure(stub.LocateTenant(pb.LocateTenantRequest(name="tenants/eu/a")))
        watch = assignment_grpc.AssignmentServiceStub(opened).Watch(assignment_pb.WatchRequest())
        first = await watch.read()
        assert isinstance(first, assignment_pb.WatchResponse)
        assert first.age.age_ms == 1
        missing = await failure(watch.read())
    await server.stop(0)
    assert isinstance(refused, RefusedBySafetyError)
    assert refused.violations == ("ams1 is full", "fra1 is cordoned")
    assert refused.facts == {"shard": "3"}
    assert isinstance(overloaded, OverloadedError)
    assert (overloaded.reason, overloaded.retry_after_s) == ("QUOTA", 0.25)
    assert isinstance(missing, NotFoundError)
    assert missing.reason == "UNKNOWN_SHARD"


async def test_the_gate_judges_the_transports_principal_and_the_named_resource() -> None:
    server = await serving(NoStrangers())
    async with channel(server.endpoint) as opened:
        stub = tenant_grpc.TenantServiceStub(opened)
        denied = await failure(stub.GetTenant(pb.GetTenantRequest(name="tenants/eu/a")))
        let_in = await stub.ExplainTenant(pb.ExplainTenantRequest(), metadata=[("twinhold-actor", "alice")])
    await server.stop(0)
    assert isinstance(denied, NotAllowedError)
    assert "anonymous may not touch tenants/eu/a" in denied.message
    assert list(let_in.reasons) == ["alice"]


async def test_a_port_in_use_is_one_clear_line() -> None:
    server = await serving(LoopbackPolicy())
    with pytest.raises(UnavailableError, match=f"{HOST}:{PORT} is in use: end the process"):
        await Server(HOST, PORT, LoopbackPolicy()).start([])
    await server.stop(0)


def test_a_server_without_credentials_listens_on_loopback_only() -> None:
    with pytest.raises(TwinholdError, match="loopback"):
        Server("0.0.0.0", PORT, LoopbackPolicy())
