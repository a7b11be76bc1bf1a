"""`twinhold dc`: data centers, and the ways to empty one."""

from collections import Counter

import click

from cli.exits import Exit
from cli.messages import message_json
from cli.operations import carry_out
from cli.options import confirm, conversing, plan_option, reason_option, wait_option, yes_option
from cli.output import Table, bare, moment, note, show_json, show_record, show_table
from cli.session import Session, fresh_request_id
from core.errors import RefusedBySafetyError
from core.names import dc_id
from twinhold.v1.data_center_pb2 import DataCenter
from twinhold.v1.data_center_service_pb2 import (
    CordonDataCenterRequest,
    DrainDataCenterRequest,
    EvacuateDataCenterRequest,
    GetDataCenterRequest,
    ListDataCentersRequest,
    Move,
    MovePlan,
    UncordonDataCenterRequest,
)
from twinhold.v1.data_center_service_pb2_grpc import DataCenterServiceStub

HEAD = ("data center", "region", "geography", "state", "cordoned", "nodes", "primaries", "standbys", "used")
STEPS = {
    Move.STEP_SWAP: "standby moves",
    Move.STEP_SWITCHOVER: "switchovers",
    Move.STEP_PROMOTE: "promotions",
    Move.STEP_ADD: "new copies",
}


@click.group()
def dc() -> None:
    """List, cordon, drain and evacuate data centers."""


def name_of(dc_text: str) -> str:
    """Turn what a person typed, "fra1" or "dataCenters/fra1", into the resource name."""
    return f"dataCenters/{dc_id(dc_text)}"


def state_of(it: DataCenter) -> str:
    """Say a data center's state in one word."""
    return DataCenter.State.Name(it.state).removeprefix("STATE_").lower()


def row(it: DataCenter) -> tuple[str | int | float, ...]:
    """Show a data center as a line of the table."""
    nodes = f"{it.nodes_live}/{it.nodes}"
    cordoned = "yes" if it.cordoned else "no"
    used = f"{it.utilization:.0%}"
    return bare(it.name), it.region, it.geography, state_of(it), cordoned, nodes, it.primaries, it.standbys, used


def show_data_center(session: Session, it: DataCenter) -> None:
    """Show one data center in full."""
    if session.as_json:
        show_json(message_json(it))
        return
    holddown = {"no primaries by plan until": moment(it.holddown_until_ms), "because": it.holddown_because or "-"}
    show_record({**dict(zip(HEAD, row(it), strict=True)), **holddown, "etag": it.etag})


@dc.command("list")
@conversing
async def list_(session: Session) -> None:
    """List the data centers and how they are."""
    answer = await session.ask(lambda it: DataCenterServiceStub(it).ListDataCenters, ListDataCentersRequest())
    if session.as_json:
        show_json([message_json(it) for it in answer.data_centers])
    else:
        show_table(Table(HEAD, [row(it) for it in answer.data_centers]))


@dc.command()
@click.argument("name")
@conversing
async def show(session: Session, name: str) -> None:
    """Show one data center in full."""
    answer = await session.ask(
        lambda it: DataCenterServiceStub(it).GetDataCenter, GetDataCenterRequest(name=name_of(name))
    )
    show_data_center(session, answer.data_center)


@dc.command()
@click.argument("name")
@reason_option
@conversing
async def cordon(session: Session, name: str, reason: str) -> None:
    """Stop placing anything new in a data center; what is there stays."""
    request = CordonDataCenterRequest(name=name_of(name), request_id=fresh_request_id(), reason=reason)
    answer = await session.ask(lambda it: DataCenterServiceStub(it).CordonDataCenter, request)
    show_data_center(session, answer.data_center)


@dc.command()
@click.argument("name")
@reason_option
@conversing
async def uncordon(session: Session, name: str, reason: str) -> None:
    """Allow placing in a data center again; ends a drain too."""
    request = UncordonDataCenterRequest(name=name_of(name), request_id=fresh_request_id(), reason=reason)
    answer = await session.ask(lambda it: DataCenterServiceStub(it).UncordonDataCenter, request)
    show_data_center(session, answer.data_center)


def counts(plan: MovePlan) -> str:
    """Say how much a plan moves, e.g. "12 standby moves, 30 switchovers"."""
    found = Counter(move.step for move in plan.moves)
    return ", ".join(f"{found[step]} {what}" for step, what in STEPS.items() if found[step]) or "nothing to move"


def afterwards(plan: MovePlan) -> str:
    """Say how the fleet stands when the plan is done."""
    margin = "any data center may still be lost" if plan.survives_any_loss else "NOT every data center may be lost"
    return f"afterwards the fullest node is at {plan.worst_utilization:.0%}, and {margin}"


def show_plan(session: Session, plan: MovePlan) -> int:
    """Show what would change; returns the exit code that says whether anything would."""
    if session.as_json:
        show_json(message_json(plan))
    else:
        rows = [
            (move.shard, STEPS.get(move.step, "?"), move.source, move.target or "(none fits)") for move in plan.moves
        ]
        show_table(Table(("shard", "step", "from", "to"), rows))
        note(f"{counts(plan)}; {afterwards(plan)}")
    return Exit.CHANGES_PENDING if plan.moves else Exit.DONE


@dc.command()
@click.argument("name")
@plan_option
@yes_option
@wait_option
@reason_option
@click.option("--accept-exposure", is_flag=True, help="Drain although the geography could not lose a data center now.")
@conversing
async def drain(
    session: Session, name: str, plan: bool, yes: bool, wait: bool, reason: str, accept_exposure: bool
) -> int | None:
    """Empty a data center by plan: every shard keeps two copies all the way."""
    request = DrainDataCenterRequest(
        name=name_of(name), reason=reason, accept_exposure=accept_exposure, validate_only=True
    )
    planned = (await session.ask(lambda it: DataCenterServiceStub(it).DrainDataCenter, request)).plan
    if plan:
        return show_plan(session, planned)
    confirm(f"Drain {bare(request.name)}: {counts(planned)}; {afterwards(planned)}. Go on?", yes=yes)
    request.validate_only = False
    request.request_id = fresh_request_id()
    try:
        answer = await session.ask(lambda it: DataCenterServiceStub(it).DrainDataCenter, request)
    except RefusedBySafetyError as error:
        remedy = "wait until it is safe, or add --accept-exposure"
        raise RefusedBySafetyError(f"{error.message}: {remedy}", violations=error.violations) from error
    await carry_out(session, answer.operation, wait=wait)
    return None


@dc.command()
@click.argument("name")
@plan_option
@yes_option
@wait_option
@reason_option
@conversing
async def evacuate(session: Session, name: str, plan: bool, yes: bool, wait: bool, reason: str) -> int | None:
    """Declare a data center lost: every standby of its primaries takes over at once."""
    request = EvacuateDataCenterRequest(name=name_of(name), reason=reason, validate_only=True)
    planned = (await session.ask(lambda it: DataCenterServiceStub(it).EvacuateDataCenter, request)).plan
    if plan:
        return show_plan(session, planned)
    confirm(f"Declare {bare(request.name)} lost: {counts(planned)}; {afterwards(planned)}. Go on?", yes=yes)
    request.validate_only = False
    request.request_id = fresh_request_id()
    answer = await session.ask(lambda it: DataCenterServiceStub(it).EvacuateDataCenter, request)
    await carry_out(session, answer.operation, wait=wait)
    return None
