"""`twinhold tenant`: creates tenants, and says where they live and why."""

import click

from cli.any_node import resolved_instead
from cli.events import events_table
from cli.messages import message_json
from cli.options import conversing, limit_option
from cli.output import Table, moment, show_json, show_record, show_table
from cli.paging import listed
from cli.session import Session, fresh_request_id
from core.errors import UnavailableError
from core.names import geography_id, tenant_name
from twinhold.v1.assignment_pb2 import Assignment
from twinhold.v1.assignment_service_pb2 import ResolveRequest, ResolveResponse
from twinhold.v1.tenant_pb2 import Tenant
from twinhold.v1.tenant_service_pb2 import (
    CreateTenantRequest,
    ExplainTenantRequest,
    ListTenantsRequest,
    LocateTenantRequest,
    LocateTenantResponse,
)
from twinhold.v1.tenant_service_pb2_grpc import TenantServiceStub

HEAD = ("tenant", "display name", "strict", "created")


@click.group()
def tenant() -> None:
    """Create, list, locate and explain tenants."""


def row(it: Tenant) -> tuple[str, ...]:
    """Show a tenant as a line of the table."""
    return it.name, it.display_name, "yes" if it.strict else "no", moment(it.created_at_ms)


def holders(assignment: Assignment) -> dict[str, str | int | float]:
    """Say who holds a shard, as a record."""
    return {
        "shard": assignment.shard,
        "primary": assignment.primary.node,
        "standby": assignment.standby.node if assignment.HasField("standby") else "NONE: one copy",
        "epoch": f"{assignment.incarnation}.{assignment.epoch}",
        "because": assignment.reason,
    }


@tenant.command()
@click.argument("name")
@click.option("--display-name", default="", help="The company's name, for people.")
@click.option("--strict", is_flag=True, help="Refuse writes while the shard has one copy.")
@conversing
async def create(session: Session, name: str, display_name: str, strict: bool) -> None:
    """Create a tenant, e.g. tenants/eu/acme."""
    wanted = Tenant(name=str(tenant_name(name)), display_name=display_name, strict=strict)
    answer = await session.ask(
        lambda it: TenantServiceStub(it).CreateTenant,
        CreateTenantRequest(tenant=wanted, request_id=fresh_request_id()),
    )
    if session.as_json:
        show_json(message_json(answer.tenant))
    else:
        show_record(dict(zip(HEAD, row(answer.tenant), strict=True)))


@tenant.command("list")
@click.argument("geography")
@limit_option
@conversing
async def list_(session: Session, geography: str, limit: int) -> None:
    """List the tenants of a geography, shard by shard."""
    request = ListTenantsRequest(parent=geography_id(geography))
    found = await listed(
        session, lambda it: TenantServiceStub(it).ListTenants, request, lambda page: page.tenants, limit=limit
    )
    if session.as_json:
        show_json([message_json(it) for it in found])
    else:
        show_table(Table(HEAD, [row(it) for it in found]))


@tenant.command()
@click.argument("name")
@conversing
async def locate(session: Session, name: str) -> None:
    """Say which nodes hold a tenant."""
    wanted = str(tenant_name(name))
    answer: LocateTenantResponse | ResolveResponse
    try:
        answer = await session.ask(lambda it: TenantServiceStub(it).LocateTenant, LocateTenantRequest(name=wanted))
    except UnavailableError as error:
        answer = await resolved_instead(session, ResolveRequest(tenant=wanted), error)
    if session.as_json:
        show_json(message_json(answer))
    else:
        show_record({"tenant": wanted, **holders(answer.assignment), "endpoint": answer.primary_endpoint})


@tenant.command()
@click.argument("name")
@conversing
async def explain(session: Session, name: str) -> None:
    """Say where a tenant lives, why, what happened to it and what would happen next."""
    request = ExplainTenantRequest(name=str(tenant_name(name)))
    answer = await session.ask(lambda it: TenantServiceStub(it).ExplainTenant, request)
    if session.as_json:
        show_json(message_json(answer))
        return
    show_record({"tenant": request.name, **holders(answer.assignment)})
    click.echo()
    for reason in answer.reasons:
        click.echo(reason)
    if answer.events:
        click.echo()
        show_table(events_table(answer.events))
