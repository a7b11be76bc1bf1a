"""Tenants through the control plane of a whole small fleet: created, read, listed, located and explained."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from core.errors import AlreadyExistsError, MalformedError, NotFoundError, RequestIdReusedError, TwinholdError
from core.io.dial import channel
from core.io.status import error_of
from regions.io.fleet import Fleet
from regions.io.load import load
from twinhold.v1 import tenant_pb2
from twinhold.v1 import tenant_service_pb2 as pb
from twinhold.v1 import tenant_service_pb2_grpc as pb_grpc

pytestmark = pytest.mark.e2e

ADDRESS_BASE = 146
UP_S = 60.0
CALL_S = 5.0
NAMES = [f"tenants/eu/acme{number}" for number in range(9)]


@pytest.fixture
async def tenants(tmp_path: Path) -> AsyncIterator["pb_grpc.TenantServiceAsyncStub"]:
    """A fleet, and the service on the last of its control planes, which is no leader while all is well."""
    fleet = await Fleet.up(
        load("small", address_base=ADDRESS_BASE), tmp_path, profile="default", seed=1, timeout_s=UP_S, tell=print
    )
    last = fleet.topology.control_planes[-1]
    line = channel(f"{last.host}:{last.port}")
    yield pb_grpc.TenantServiceStub(line)
    await line.close(None)
    await fleet.down()


def wish(name: str, *, display_name: str = "Acme", request_id: str | None = None) -> pb.CreateTenantRequest:
    tenant = tenant_pb2.Tenant(name=name, display_name=display_name)
    return pb.CreateTenantRequest(tenant=tenant, request_id=request_id or str(uuid.uuid4()))


async def refusal(tenants: "pb_grpc.TenantServiceAsyncStub", request: pb.CreateTenantRequest) -> TwinholdError:
    with pytest.raises(aio.AioRpcError) as caught:
        await tenants.CreateTenant(request, timeout=CALL_S)
    return error_of(caught.value)


async def listed(tenants: "pb_grpc.TenantServiceAsyncStub", page_size: int) -> list[str]:
    names: list[str] = []
    page_token = ""
    while True:
        request = pb.ListTenantsRequest(parent="eu", page_size=page_size, page_token=page_token)
        page = await tenants.ListTenants(request, timeout=CALL_S)
        assert len(page.tenants) <= page_size
        names += [tenant.name for tenant in page.tenants]
        page_token = page.next_page_token
        if not page_token:
            return names


async def test_tenants_are_created_listed_and_explained(tenants: "pb_grpc.TenantServiceAsyncStub") -> None:
    request = wish(NAMES[0])
    created = (await tenants.CreateTenant(request, timeout=CALL_S)).tenant
    assert (await tenants.CreateTenant(request, timeout=CALL_S)).tenant == created, "a retry is recognised"
    assert isinstance(await refusal(tenants, wish(NAMES[0])), AlreadyExistsError)
    reused = wish(NAMES[0], display_name="Other", request_id=request.request_id)
    assert isinstance(await refusal(tenants, reused), RequestIdReusedError)
    assert isinstance(await refusal(tenants, wish("tenants/eu/-")), MalformedError)
    assert isinstance(await refusal(tenants, wish("tenants/mars/acme")), NotFoundError)

    await asyncio.gather(*(tenants.CreateTenant(wish(name), timeout=CALL_S) for name in NAMES[1:]))
    for page_size in (1, 4, 100):
        assert sorted(await listed(tenants, page_size)) == NAMES

    assert (await tenants.GetTenant(pb.GetTenantRequest(name=NAMES[0]), timeout=CALL_S)).tenant == created
    located = await tenants.LocateTenant(pb.LocateTenantRequest(name=NAMES[0]), timeout=CALL_S)
    explained = await tenants.ExplainTenant(pb.ExplainTenantRequest(name=NAMES[0]), timeout=CALL_S)
    assert explained.assignment == located.assignment
    with pytest.raises(aio.AioRpcError) as unknown:
        await tenants.LocateTenant(pb.LocateTenantRequest(name="tenants/eu/nobody"), timeout=CALL_S)
    assert isinstance(error_of(unknown.value), NotFoundError)
    assert f"served by {located.assignment.primary.node}" in explained.reasons[0]
