"""`twinhold failover`: what is wrong, what was done about it, and the brake."""

import click

from cli.events import events_table, latest
from cli.messages import message_json
from cli.operations import operations_table
from cli.options import confirm, conversing, limit_option, yes_option
from cli.output import show_json, show_table
from cli.session import Session, fresh_request_id
from cli.status import fleet_status, geographies_table, problems_table
from twinhold.v1.control_plane_service_pb2 import ResumeFailoverRequest
from twinhold.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from twinhold.v1.operation_service_pb2 import ListOperationsRequest
from twinhold.v1.operation_service_pb2_grpc import OperationServiceStub

LOSS_TYPES = (
    "leader.",
    "verdict.",
    "evacuation.",
    "brake.",
    "failover.",
    "exposure.",
    "copy.quarantined",
    "dc.returned",
    "dc.home",
)
"""Of all that the audit journal holds, what has to do with losses and returns."""


@click.group()
def failover() -> None:
    """Show failovers, present and past, and release the brake."""


@failover.command()
@conversing
async def status(session: Session) -> None:
    """Show every problem, what is being done about it, and whether the brake is on."""
    now = await fleet_status(session)
    listed = await session.ask(lambda it: OperationServiceStub(it).ListOperations, ListOperationsRequest())
    running = [operation for operation in listed.operations if not operation.done]
    if session.as_json:
        show_json({**message_json(now), "operations": [message_json(operation) for operation in running]})
        return
    click.echo("The brake has HALTED automatic evacuation." if now.brake_halted else "The brake is ready.")
    if now.problems:
        show_table(problems_table(now.problems))
    else:
        click.echo("Nothing is wrong.")
    if running:
        show_table(operations_table(running))
    show_table(geographies_table(now.geographies))


@failover.command()
@click.option("--about", "subject", default="", help='Only about this, e.g. "dataCenters/fra1".')
@limit_option
@conversing
async def history(session: Session, subject: str, limit: int) -> None:
    """Show what was decided about losses, and what was not done and why; newest first."""
    found = [
        event
        for prefix in LOSS_TYPES
        for event in await latest(session, type_prefix=prefix, subject=subject, limit=limit)
    ]
    newest = sorted(found, key=lambda event: -event.number)[:limit]
    if session.as_json:
        show_json([message_json(event) for event in newest])
    else:
        show_table(events_table(newest))


@failover.command()
@click.option("--reason", required=True, help="For the audit journal.")
@yes_option
@conversing
async def resume(session: Session, reason: str, yes: bool) -> None:
    """Release the brake: automatic evacuation may act again."""
    now = await fleet_status(session)
    solo = sum(geography.shards_solo for geography in now.geographies)
    confirm(f"Release the brake with {len(now.problems)} problems and {solo} shards on one copy. Go on?", yes=yes)
    answer = await session.ask(
        lambda it: ControlPlaneServiceStub(it).ResumeFailover,
        ResumeFailoverRequest(reason=reason, request_id=fresh_request_id()),
    )
    if session.as_json:
        show_json(message_json(answer))
    else:
        click.echo("\n".join(answer.closed) or "Nothing was halted.")
