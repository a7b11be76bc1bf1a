"""`twinhold status`: one screen that says first what is wrong."""

from collections.abc import Iterable

import click
import grpc

from cli.any_node import resolved_instead
from cli.exits import Exit
from cli.messages import message_json
from cli.options import conversing
from cli.output import Table, moment, show_json, show_record, show_table
from cli.session import Call, Session
from core.errors import TwinholdError, UnavailableError
from twinhold.v1.assignment_service_pb2 import ResolveRequest
from twinhold.v1.control_plane_service_pb2 import (
    GeographyStatus,
    GetFleetStatusRequest,
    GetFleetStatusResponse,
    Problem,
)
from twinhold.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub

PROBLEMS_SHOWN = 8
"""What fits one screen beside the rest; the count says that there is more."""
LEADER_ANSWER_S = 1.0


async def fleet_status(session: Session) -> GetFleetStatusResponse:
    """Ask for the fleet's status: of the leader where it can be found, else of whoever answers."""

    def method(channel: grpc.aio.Channel) -> Call[GetFleetStatusRequest, GetFleetStatusResponse]:
        return ControlPlaneServiceStub(channel).GetFleetStatus

    status = await session.ask(method, GetFleetStatusRequest())
    leader = session.doors.control_planes.get(status.leader)
    if status.leader == status.control_plane or leader is None:
        return status
    try:
        return await session.ask_at(leader, method, GetFleetStatusRequest(), timeout_s=LEADER_ANSWER_S)
    except TwinholdError:
        return status


def severity(problem: Problem) -> str:
    """Say how bad a problem is, in one word."""
    return Problem.Severity.Name(problem.severity).removeprefix("SEVERITY_").lower()


def problems_table(problems: Iterable[Problem]) -> Table:
    """List problems, worst first as they came."""
    rows = [(severity(it).upper(), it.subject, it.message, moment(it.since_ms)) for it in problems]
    return Table(("severity", "about", "what is wrong", "since"), rows)


def geographies_table(geographies: Iterable[GeographyStatus]) -> Table:
    """Say per geography whether any one data center may be lost now."""
    rows = [
        (it.geography, "yes" if it.survives_any_loss else "NO", f"{it.worst_after_loss:.0%}", it.shards_solo)
        for it in geographies
    ]
    return Table(("geography", "survives any loss", "fullest node then", "shards on one copy"), rows)


def show_problems(status: GetFleetStatusResponse) -> None:
    """Say what is wrong, or that nothing is."""
    if not status.problems:
        click.echo("Nothing is wrong.")
        return
    show_table(problems_table(status.problems[:PROBLEMS_SHOWN]))
    if len(status.problems) > PROBLEMS_SHOWN:
        click.echo(f"... and {len(status.problems) - PROBLEMS_SHOWN} more: twinhold failover status")


def show_counts(status: GetFleetStatusResponse) -> None:
    """Say how much of everything there is, and how much lives."""
    shards = status.shards_sync + status.shards_solo + status.shards_down
    show_record(
        {
            "fleet": status.fleet,
            "leader": f"{status.leader or 'nobody known'}, term {status.term}",
            "map": f"revision {status.map.term}.{status.map.n}, as {status.control_plane} has it",
            "shards": f"{shards}: {status.shards_sync} on two copies, {status.shards_solo} on one, "
            f"{status.shards_down} not served",
            "nodes": f"{status.nodes_live} of {status.nodes} live",
            "control planes": f"{status.control_planes_live} of {status.control_planes} live",
            "operations": f"{status.operations_running} running",
            "brake": "HALTED: no automatic evacuation; see twinhold failover status"
            if status.brake_halted
            else "ready",
        }
    )


@click.command()
@conversing
async def status(session: Session) -> int:
    """Say how the fleet is, on one screen, first what is wrong."""
    try:
        answer = await fleet_status(session)
    except UnavailableError as error:
        await resolved_instead(session, ResolveRequest(shard="shards/0"), error)
        return Exit.UNREACHABLE
    if session.as_json:
        show_json(message_json(answer))
        return Exit.DONE
    show_problems(answer)
    click.echo()
    show_counts(answer)
    click.echo()
    show_table(geographies_table(answer.geographies))
    return Exit.DONE
