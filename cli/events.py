"""`twinhold events`: the audit journal: every decision, and every decision not to act, with its reasons."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import click
import grpc

from cli.messages import message_json
from cli.options import conversing, limit_option
from cli.output import Table, moment, note, show_json, show_json_line, show_table
from cli.paging import listed
from cli.session import PAUSE_S, Session, worth_another_try
from core.io.status import error_of
from twinhold.v1.event_pb2 import Event
from twinhold.v1.event_service_pb2 import ListEventsRequest, WatchEventsRequest
from twinhold.v1.event_service_pb2_grpc import EventServiceStub


def row(event: Event) -> tuple[str | int | float, ...]:
    """Show an event as a line of the table."""
    acted = "did" if event.acted else "did not"
    return moment(event.at_ms), event.type, event.subject, acted, "; ".join(event.reasons), event.actor


def events_table(events: Iterable[Event]) -> Table:
    """List events as they came."""
    return Table(("when", "event", "about", "acted", "because", "by"), [row(event) for event in events])


def line(event: Event) -> str:
    """Tell an event on one line, for a stream that nobody can align."""
    when, kind, subject, acted, because, actor = row(event)
    return f"{when}  {kind}  {subject}  {acted}: {because} ({actor})"


async def latest(session: Session, *, type_prefix: str, subject: str, limit: int) -> list[Event]:
    """Read the newest events, newest first."""
    request = ListEventsRequest(type_prefix=type_prefix, subject=subject)
    return await listed(
        session, lambda it: EventServiceStub(it).ListEvents, request, lambda page: page.events, limit=limit
    )


async def watched(session: Session, request: WatchEventsRequest) -> AsyncIterator[Event]:
    """Yield events as they happen, for ever; goes on at another control plane where one falls silent.

    Raises:
        TwinholdError: the leader refused.
    """
    turn = session.doors.turns()
    endpoint = next(turn)
    while True:
        try:
            async for answer in EventServiceStub(session.channel(endpoint)).WatchEvents(
                request, metadata=session.metadata
            ):
                request.after_number = answer.event.number
                yield answer.event
        except grpc.aio.AioRpcError as error:
            failure = error_of(error)
            if not worth_another_try(failure):
                raise failure from error
            endpoint = failure.facts.get("leader_endpoint") or next(turn)
            note(f"twinhold: {failure}; going on at {endpoint}")
        await asyncio.sleep(PAUSE_S)


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Go on with events as they happen.")
@click.option("--type", "type_prefix", default="", help='Only events whose type starts with this, e.g. "failover".')
@click.option("--about", "subject", default="", help='Only events about this, e.g. "dataCenters/fra1".')
@limit_option
@conversing
async def events(session: Session, watch: bool, type_prefix: str, subject: str, limit: int) -> None:
    """Show what the control plane decided, and why."""
    found = await latest(session, type_prefix=type_prefix, subject=subject, limit=limit)
    if not watch:
        if session.as_json:
            show_json([message_json(event) for event in found])
        else:
            show_table(events_table(found))
        return
    for event in reversed(found):
        tell(session, event)
    request = WatchEventsRequest(type_prefix=type_prefix, after_number=found[0].number if found else 0)
    async for event in watched(session, request):
        if subject in ("", event.subject):
            tell(session, event)


def tell(session: Session, event: Event) -> None:
    """Print one event of a stream."""
    if session.as_json:
        show_json_line(message_json(event))
    else:
        click.echo(line(event))
