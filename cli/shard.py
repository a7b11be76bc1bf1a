"""`twinhold shard`: the units of placement, replication and failover."""

import click

from cli.exits import Exit
from cli.messages import message_json
from cli.operations import carry_out
from cli.options import (
    confirm,
    conversing,
    limit_option,
    plan_option,
    reason_option,
    typed_again,
    wait_option,
    yes_option,
)
from cli.output import Table, bare, moment, note, show_json, show_record, show_table
from cli.paging import listed
from cli.session import Session, fresh_request_id
from core.names import dc_id, geography_id, shard_id
from twinhold.v1.shard_pb2 import Shard
from twinhold.v1.shard_service_pb2 import (
    GetShardRequest,
    ListShardsRequest,
    OverridePlan,
    OverrideShardRequest,
    PromoteShardRequest,
    StaleCopy,
    SwitchoverShardRequest,
)
from twinhold.v1.shard_service_pb2_grpc import ShardServiceStub

HEAD = ("shard", "geography", "primary", "standby", "epoch", "weight", "on one copy since", "in flight")


@click.group()
def shard() -> None:
    """List and show shards, and change their roles."""


def name_of(text: str) -> str:
    """Turn what a person typed, "17" or "shards/17", into the resource name."""
    return f"shards/{shard_id(text)}"


def row(it: Shard) -> tuple[str | int | float, ...]:
    """Show a shard as a line of the table."""
    held = it.assignment
    standby = held.standby.node if held.HasField("standby") else "NONE"
    epoch = f"{held.incarnation}.{held.epoch}"
    since = moment(it.exposed_since_ms)
    return held.shard, it.geography, held.primary.node, standby, epoch, it.weight, since, it.in_flight


@shard.command("list")
@click.option("--geography", default="", help="Only this geography.")
@click.option("--dc", default="", help="Only shards with a copy in this data center.")
@click.option("--exposed", is_flag=True, help="Only shards on one copy.")
@limit_option
@conversing
async def list_(session: Session, geography: str, dc: str, exposed: bool, limit: int) -> None:
    """List shards and who holds them."""
    request = ListShardsRequest(
        geography=geography_id(geography) if geography else "", dc=dc_id(dc) if dc else "", exposed_only=exposed
    )
    found = await listed(
        session, lambda it: ShardServiceStub(it).ListShards, request, lambda page: page.shards, limit=limit
    )
    if session.as_json:
        show_json([message_json(it) for it in found])
    else:
        show_table(Table(HEAD, [row(it) for it in found]))


@shard.command()
@click.argument("name")
@conversing
async def show(session: Session, name: str) -> None:
    """Show one shard in full."""
    answer = await session.ask(lambda it: ShardServiceStub(it).GetShard, GetShardRequest(name=name_of(name)))
    if session.as_json:
        show_json(message_json(answer.shard))
    else:
        show_record({**dict(zip(HEAD, row(answer.shard), strict=True)), "because": answer.shard.assignment.reason})


def possible(request_name: str, what: str) -> int:
    """Tell that a change passed the gates; returns the exit code that says it is pending."""
    note(f"shard {bare(request_name)}: {what} is possible now")
    return Exit.CHANGES_PENDING


@shard.command()
@click.argument("name")
@plan_option
@yes_option
@wait_option
@reason_option
@conversing
async def switchover(session: Session, name: str, plan: bool, yes: bool, wait: bool, reason: str) -> int | None:
    """Let primary and standby change roles, by plan."""
    request = SwitchoverShardRequest(name=name_of(name), reason=reason, validate_only=True)
    await session.ask(lambda it: ShardServiceStub(it).SwitchoverShard, request)
    if plan:
        return possible(request.name, "a switchover")
    confirm(f"Switch over 1 shard ({bare(request.name)}): its writes pause for some milliseconds. Go on?", yes=yes)
    request.validate_only = False
    request.request_id = fresh_request_id()
    answer = await session.ask(lambda it: ShardServiceStub(it).SwitchoverShard, request)
    await carry_out(session, answer.operation, wait=wait)
    return None


@shard.command()
@click.argument("name")
@plan_option
@yes_option
@wait_option
@reason_option
@conversing
async def promote(session: Session, name: str, plan: bool, yes: bool, wait: bool, reason: str) -> int | None:
    """Let the standby take over although no verdict on the primary was reached."""
    request = PromoteShardRequest(name=name_of(name), reason=reason, validate_only=True)
    await session.ask(lambda it: ShardServiceStub(it).PromoteShard, request)
    if plan:
        return possible(request.name, "a promotion")
    confirm(f"Promote the standby of 1 shard ({bare(request.name)}), and leave it on one copy. Go on?", yes=yes)
    request.validate_only = False
    request.request_id = fresh_request_id()
    answer = await session.ask(lambda it: ShardServiceStub(it).PromoteShard, request)
    await carry_out(session, answer.operation, wait=wait)
    return None


def given_up(plan: OverridePlan) -> str:
    """Say on one line what an override gives up, as far as is known."""
    lost, stale = plan.base.primary.node, plan.stale
    seen = f"{lost} last reported entry {plan.primary_last_lsn} at {moment(plan.primary_heard_at_ms)}"
    return (
        f"shard {plan.base.shard}: {stale.node} takes over with the {stale.last_lsn} entries that it has, and "
        f"ACKNOWLEDGED WRITES FROM LSN {plan.lossy_from_lsn} ON MAY BE LOST; {seen}{holding_more(plan)}"
    )


def holding_more(plan: OverridePlan) -> str:
    """Name the copies that hold more than the one that takes over, and what keeps them from it."""
    best = (plan.stale.last_incarnation, plan.stale.last_epoch, plan.stale.last_lsn)
    more = [copy for copy in plan.others if (copy.last_incarnation, copy.last_epoch, copy.last_lsn) > best]
    return "".join(f"; {copy.node} HOLDS MORE, but {copy.unfit}" for copy in more if copy.unfit)


def copy_row(copy: StaleCopy, does: str) -> tuple[str | int | float, ...]:
    """Show a copy as a line of the table."""
    decided = f"{copy.last_incarnation}.{copy.last_epoch}"
    return copy.node, copy.last_lsn, decided, copy.commit_lsn, copy.unfit or does


def show_override(session: Session, plan: OverridePlan) -> int:
    """Show what an override gives up; returns the exit code that says it is pending."""
    if session.as_json:
        show_json(message_json(plan))
        return Exit.CHANGES_PENDING
    rows = [copy_row(plan.stale, "takes over"), *(copy_row(copy, "could, but holds less") for copy in plan.others)]
    show_table(Table(("copy on", "entries", "last decided in", "sure up to", "does"), rows))
    for line in (*plan.evidence, given_up(plan)):
        note(line)
    return Exit.CHANGES_PENDING


@shard.command()
@click.argument("name")
@click.option("--stated-by", default="", help="Who states that the primary's data center is fenced or powered off.")
@click.option(
    "--confirm", "again", default="", metavar="SHARD", help="The shard once more, where there is no terminal."
)
@plan_option
@wait_option
@reason_option
@conversing
async def override(
    session: Session, name: str, stated_by: str, again: str, plan: bool, wait: bool, reason: str
) -> int | None:
    """Let a stale copy take over from a primary that is gone for good. LOSES acknowledged writes."""
    if not (plan or stated_by):
        raise click.UsageError("who states that the data center is fenced or powered off? This needs --stated-by NAME.")
    request = OverrideShardRequest(name=name_of(name), reason=reason, validate_only=True)
    found = (await session.ask(lambda it: ShardServiceStub(it).OverrideShard, request)).plan
    if plan:
        return show_override(session, found)
    typed = typed_again(given_up(found), bare(request.name), again=again and bare(name_of(again)))
    request.validate_only = False
    request.request_id = fresh_request_id()
    request.stated_by, request.confirm, request.takes_over = stated_by, name_of(typed), found.stale.node
    answer = await session.ask(lambda it: ShardServiceStub(it).OverrideShard, request)
    await carry_out(session, answer.operation, wait=wait)
    return None
