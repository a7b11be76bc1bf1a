"""`twinhold chat`: posts, reads and follows a channel, as any member would."""

from collections.abc import Iterable, Iterator

import click

from cli.messages import message_json
from cli.options import conversing
from cli.output import Table, moment, note, show_json, show_json_line, show_table
from cli.session import Session, fresh_request_id
from client.io import Client, Entry, Gap, connect
from core.errors import UnknownOutcomeError
from twinhold.v1 import chat_pb2

WRITE_S = 15.0
"""A failover takes seconds; whoever posts meanwhile would rather wait than be told that it is unknown."""
READ_S = 15.0


@click.group()
def chat() -> None:
    """Post into a tenant's channels, read and follow them."""


def joining(session: Session) -> Client:
    """Begin to follow the fleet of a session."""
    endpoints = [*session.doors.control_planes.values(), *session.doors.nodes.values()]
    return connect(list(dict.fromkeys(endpoints)), actor=session.actor)


@chat.command()
@click.argument("tenant")
@click.argument("channel")
@click.argument("text")
@click.option("--request-id", help="Go on with a post whose outcome was unknown.")
@conversing
async def post(session: Session, tenant: str, channel: str, text: str, request_id: str | None) -> None:
    """Post TEXT into a CHANNEL of a TENANT; the first post opens the channel."""
    request_id = request_id or fresh_request_id()
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel=channel, text=text))
    async with joining(session) as client:
        try:
            sent = await client.submit(
                tenant, command, chat_pb2.ChatAnswer, timeout_s=WRITE_S, request_id=request_id, unary=True
            )
        except UnknownOutcomeError:
            note(f"find out, without posting twice, by the same command with: --request-id {request_id}")
            raise
    if session.as_json:
        show_json({"seq": sent.answer.seq, "shard": sent.shard, "lsn": sent.lsn, "replayed": sent.replayed})
    else:
        click.echo(f"{channel} #{sent.answer.seq}")


async def history(client: Client, tenant: str, channel: str, limit: int) -> tuple[list[chat_pb2.Post], int]:
    """Read the newest posts of a channel, oldest first, and the journal position that they reflect."""
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel=channel, limit=limit))
    got = await client.query(tenant, query, chat_pb2.ChatQueryAnswer, timeout_s=READ_S)
    return list(got.answer.posts), got.lsn


def posts_table(posts: Iterable[chat_pb2.Post]) -> Table:
    """List posts, oldest first."""
    rows = [(it.seq, moment(it.at_ms), it.author, "(deleted)" if it.deleted else it.text) for it in posts]
    return Table(("seq", "when", "author", "text"), rows)


limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The newest so many."
)


@chat.command()
@click.argument("tenant")
@click.argument("channel")
@limit_option
@conversing
async def read(session: Session, tenant: str, channel: str, limit: int) -> None:
    """Read the newest posts of a CHANNEL of a TENANT."""
    async with joining(session) as client:
        posts, _ = await history(client, tenant, channel, limit)
    if session.as_json:
        show_json([message_json(it) for it in posts])
    else:
        show_table(posts_table(posts))


@chat.command()
@click.argument("tenant")
@click.argument("channel")
@click.option("--limit", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Begin so many back.")
@conversing
async def tail(session: Session, tenant: str, channel: str, limit: int) -> None:
    """Read the newest posts of a CHANNEL of a TENANT, and go on with what happens."""
    async with joining(session) as client:
        posts, lsn = await history(client, tenant, channel, limit)
        for it in posts:
            tell(session, as_posted(it, channel))
        async for step in client.subscribe(tenant, after_lsn=lsn):
            for event in seen(step, channel):
                tell(session, event)


def as_posted(it: chat_pb2.Post, channel: str) -> chat_pb2.ChatEvent:
    """Show a post of the past as the event that it was."""
    text = "(deleted)" if it.deleted else it.text
    posted = chat_pb2.Posted(
        channel=channel, seq=it.seq, text=text, author=it.author, at_ms=it.at_ms, reply_to_seq=it.reply_to_seq
    )
    return chat_pb2.ChatEvent(posted=posted)


def seen(step: Entry | Gap, channel: str) -> Iterator[chat_pb2.ChatEvent]:
    """Yield the events of one channel; a gap is told on stderr."""
    if isinstance(step, Gap):
        note(f"twinhold: what happened between lsn {step.first_lsn} and {step.last_lsn or 'now'} is not shown; read it")
        return
    for packed in step.events:
        event = chat_pb2.ChatEvent()
        if packed.Unpack(event) and channel_of(event) == channel:
            yield event


def channel_of(event: chat_pb2.ChatEvent) -> str:
    """Say which channel an event is of."""
    kind = event.WhichOneof("event")
    return str(getattr(event, kind).channel) if kind else ""


def line(event: chat_pb2.ChatEvent) -> str:
    """Tell an event on one line."""
    match event.WhichOneof("event"):
        case "posted":
            it = event.posted
            return f"{moment(it.at_ms)}  #{it.seq}  {it.author}: {it.text}"
        case "edited":
            return f"{moment(event.edited.at_ms)}  #{event.edited.seq}  now reads: {event.edited.text}"
        case "deleted":
            return f"#{event.deleted.seq}  was deleted"
        case "reacted":
            took = "took back" if event.reacted.removed else "reacted with"
            return f"#{event.reacted.seq}  {event.reacted.actor} {took} {event.reacted.emoji}"
        case "read_marked":
            return f"#{event.read_marked.seq}  {event.read_marked.actor} has read up to here"
        case "channel_created":
            return f"{event.channel_created.channel} was opened"
        case _:
            return "something happened that this release does not know"


def tell(session: Session, event: chat_pb2.ChatEvent) -> None:
    """Print one event of a channel."""
    if session.as_json:
        show_json_line(message_json(event))
    else:
        click.echo(line(event))
