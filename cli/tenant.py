"""`twinhold tenant`: creates tenants, says where they live and why, and brings them back to what they were."""

import click

from cli.any_node import resolved_instead
from cli.events import events_table
from cli.exits import Exit
from cli.messages import message_json
from cli.options import confirm, conversing, limit_option, plan_option, reason_option, yes_option
from cli.output import Table, moment, note, show_json, show_record, show_table
from cli.paging import listed
from cli.session import Session, fresh_request_id
from cli.times import at_ms_of
from core.errors import UnavailableError, UnknownOutcomeError
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
    RestoreTenantRequest,
    RestoreTenantResponse,
)
from twinhold.v1.tenant_service_pb2_grpc import TenantServiceStub

HEAD = ("tenant", "display name", "strict", "created")
RESTORE_HEAD = ("app", "what", "come back", "go away", "change")
RESTORE_WAIT_S = 60.0
"""How long a node may take to rebuild a tenant."""


@click.group()
def tenant() -> None:
    """Create, list, locate, explain and restore tenants."""


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


def restore_sum(plan: RestoreTenantResponse) -> str:
    """Say what a restore changes, in one line."""
    parts = [
        f"{it.added} {it.kind} come back, {it.removed} go away, {it.changed} change" for it in plan.counts if it.kind
    ]
    return "; ".join(parts) or "nothing changes"


def show_restore(plan: RestoreTenantResponse) -> None:
    """Show what a restore changes, kind by kind."""
    show_table(Table(RESTORE_HEAD, [(it.app, it.kind, it.added, it.removed, it.changed) for it in plan.counts]))


@tenant.command()
@click.argument("name")
@click.option("--at", "at", required=True, metavar="TIME", help="The moment to go back to, e.g. 2026-11-25T17:24:25Z.")
@click.option("--request-id", help="Go on with a restore whose outcome was unknown.")
@plan_option
@yes_option
@reason_option
@conversing
async def restore(
    session: Session, name: str, at: str, request_id: str | None, plan: bool, yes: bool, reason: str
) -> int | None:
    """Bring a tenant back to what it was at a time, from the archive and the journal.

    Its state of then is rebuilt aside and compared, and takes the place of the present one in one step; what was
    written after that time is gone from it, and stays in the archive. Nobody else is touched.
    """
    request = RestoreTenantRequest(name=str(tenant_name(name)), at_ms=at_ms_of(at), reason=reason)
    request_id = request_id or fresh_request_id()
    request.validate_only = True
    preview = await session.ask(lambda it: TenantServiceStub(it).RestoreTenant, request, server_wait_s=RESTORE_WAIT_S)
    if plan:
        if session.as_json:
            show_json(message_json(preview))
        else:
            show_restore(preview)
        return Exit.CHANGES_PENDING if preview.counts else Exit.DONE
    if not preview.counts:
        note(f"{request.name} is what it was at {moment(request.at_ms)}: nothing is changed")
        return Exit.DONE
    confirm(f"Restore {request.name} to {moment(request.at_ms)}: {restore_sum(preview)}. Go on?", yes=yes)
    request.validate_only, request.request_id = False, request_id
    try:
        answer = await session.ask(
            lambda it: TenantServiceStub(it).RestoreTenant, request, server_wait_s=RESTORE_WAIT_S
        )
    except (UnavailableError, UnknownOutcomeError):
        note(f"find out, without restoring twice, by the same command with: --request-id {request_id}")
        raise
    if session.as_json:
        show_json(message_json(answer))
    else:
        click.echo(f"restored to {moment(answer.at_ms)}, by entry {answer.lsn}: {restore_sum(answer)}")
    return Exit.DONE
