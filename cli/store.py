"""`twinhold store`: whether the assignment store was restored, what to do about it, and its home in Cassandra."""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import click

from cli.configured import Asked, configured
from cli.exits import Exit
from cli.messages import message_json
from cli.options import conversing, plan_option, reason_option, typed_again, yes_option
from cli.output import Table, note, show_json, show_record, show_table
from cli.session import Session, fresh_request_id
from core.engines import CassandraEngine
from core.topology import Topology
from regions.io.configuration import settings
from regions.io.load import load
from regions.settings import placed
from twinhold.v1.store_admin_service_pb2 import (
    AdoptionPlan,
    AdoptStoreRequest,
    GetStoreStatusRequest,
    GetStoreStatusResponse,
    RebuiltRecord,
)
from twinhold.v1.store_admin_service_pb2_grpc import StoreAdminServiceStub

P = ParamSpec("P")
HEAD = ("shard", "stored", "rebuilt", "primary", "standby", "stays frozen because")
CHECK_S = 1.5
"""Of each of a few questions to Cassandra: whoever names the wrong one hears so within five seconds."""
ADOPT_WAIT_S = 10.0
"""The records of a full fleet are written in one piece."""


@click.group()
def store() -> None:
    """Show the assignment store, adopt one that was restored, and see to its home in Cassandra."""


def cassandra_options(command: Callable[Concatenate[CassandraEngine, Topology, P], None]) -> Callable[P, None]:
    """Give a command what says where Cassandra is; its function takes the engine and the fleet first."""

    @functools.wraps(command)
    @configured
    def with_engine(asked: Asked, /, *args: P.args, **kwargs: P.kwargs) -> None:
        given = {
            "store.contact_points": (_listed(kwargs.pop("contact")), "--contact"),
            "store.sites": (_listed(kwargs.pop("site")), "--site"),
            "store.keyspace": (_text(kwargs.pop("keyspace")), "--keyspace"),
            "store.username": (_text(kwargs.pop("user")), "--user"),
            "fleet.topology": (_text(kwargs.pop("topology")), "--topology"),
        }
        wanted = asked.also(given)
        found = settings(wanted.config, wanted.options)
        topology = load(found.fleet.topology, address_base=found.fleet.address_base)
        placed(found, topology)
        command(found.cassandra, topology, *args, **kwargs)

    for option in (
        click.option("--topology", metavar="PRESET|FILE", help="The fleet that it is for."),
        click.option("--user", help="Of Cassandra; its password: TWINHOLD_STORE_PASSWORD, or store.password_file."),
        click.option("--keyspace", help="Of this fleet's records; twinhold."),
        click.option(
            "--site", multiple=True, metavar="CASSANDRA_DC=DC", help="Where a data center of Cassandra's stands."
        ),
        click.option("--contact", multiple=True, metavar="HOST:PORT", help="A node of Cassandra's."),
    ):
        with_engine = option(with_engine)
    return with_engine


@store.command()
@cassandra_options
def init(engine: CassandraEngine, topology: Topology) -> None:
    """Create keyspace and tables in Cassandra, or what is missing of them, and check all of it.

    An assignment must be on a majority of three sites or more, of which any one may be lost.
    """
    from control_plane.io.cassandra_setup import init_store

    asyncio.run(init_store(engine, topology, deadline_s=CHECK_S))
    note(f"keyspace {engine.keyspace} is ready for fleet {topology.fleet}")


@store.command()
@cassandra_options
def check(engine: CassandraEngine, topology: Topology) -> None:
    """Say whether this fleet can be put on this Cassandra; changes nothing."""
    from control_plane.io.cassandra_setup import check_store

    click.echo(asyncio.run(check_store(engine, topology, deadline_s=CHECK_S)))


def counts(plan: AdoptionPlan) -> str:
    """Say what an adoption does, in one line."""
    parts = [f"{len(plan.rebuilt)} records are rebuilt from their copies", f"{len(plan.unclear)} shards stay frozen"]
    if plan.docs:
        parts.append(f"{plan.docs} of the leader's own records are put back")
    if plan.halts_brake:
        parts.append("the brake halts until `twinhold failover resume`, for evacuations may be missing")
    if plan.silent_nodes:
        parts.append(f"{len(plan.silent_nodes)} nodes are not heard: {', '.join(plan.silent_nodes)}")
    return "; ".join(parts)


def rebuilt_row(it: RebuiltRecord) -> tuple[str | int | float, ...]:
    """Show a record that is rebuilt as a line of the table."""
    held = it.assignment
    stored = f"{it.stored_incarnation}.{it.stored_epoch}" if it.stored_incarnation else "nothing"
    standby = held.standby.node if held.HasField("standby") else "NONE"
    return held.shard, stored, f"{held.incarnation}.{held.epoch}", held.primary.node, standby, ""


def show_plan(plan: AdoptionPlan) -> None:
    """Show what an adoption does: first what it can't, then shard by shard."""
    unclear = [(it.shard, "", "", "", "", it.reason) for it in plan.unclear]
    show_table(Table(HEAD, [*unclear, *(rebuilt_row(it) for it in plan.rebuilt)]))
    note(counts(plan))
    for obstacle in plan.obstacles:
        note(f"not now: {obstacle}")


def show_store(answer: GetStoreStatusResponse) -> None:
    """Show how the store is, on a few lines; frozen shards by reason."""
    plan = answer.plan
    show_record(
        {
            "fleet": answer.fleet,
            "incarnation": plan.incarnation,
            "term": answer.term,
            "restored": answer.restored or "no",
            "adopting it": counts(plan) if plan.rebuilt or plan.unclear else "is not needed",
        }
    )
    if plan.unclear:
        click.echo()
        reasons = Counter(it.reason for it in plan.unclear)
        show_table(Table(("shards", "stay frozen because"), [(count, why) for why, count in reasons.most_common()]))


@store.command()
@conversing
async def status(session: Session) -> None:
    """Say whether the store was restored, and what adopting it would do."""
    answer = await session.ask(lambda it: StoreAdminServiceStub(it).GetStoreStatus, GetStoreStatusRequest())
    if session.as_json:
        show_json(message_json(answer))
    else:
        show_store(answer)


@store.command()
@click.option("--confirm", "again", default="", metavar="FLEET", help="The fleet's name, where there is no terminal.")
@plan_option
@yes_option
@reason_option
@conversing
async def adopt(session: Session, again: str, plan: bool, yes: bool, reason: str) -> int | None:
    """Rebuild a restored store from what copies report.

    Until then the control plane writes nothing: no failover, no repair. A shard whose last record is not certain, for
    not everybody who may know it is heard, stays frozen; adopt again when they are.
    """
    now = await session.ask(lambda it: StoreAdminServiceStub(it).GetStoreStatus, GetStoreStatusRequest())
    pending = bool(now.plan.rebuilt or now.plan.unclear)
    if plan:
        if session.as_json:
            show_json(message_json(now.plan))
        else:
            show_plan(now.plan)
        return Exit.CHANGES_PENDING if pending else Exit.DONE
    if not pending:
        note("nothing is to be adopted: the store was not restored, and no shard is frozen")
        return Exit.DONE
    warning = f"Adopt the store of {now.fleet}: {counts(now.plan)}"
    typed_again(warning, now.fleet, again=now.fleet if yes else again)
    request = AdoptStoreRequest(confirm=now.fleet, request_id=fresh_request_id(), reason=reason)
    answer = await session.ask(lambda it: StoreAdminServiceStub(it).AdoptStore, request, server_wait_s=ADOPT_WAIT_S)
    if session.as_json:
        show_json(message_json(answer.plan))
    else:
        click.echo(f"adopted, at incarnation {answer.plan.next_incarnation}: {counts(answer.plan)}")
    return Exit.DONE


def _listed(values: object) -> str | None:
    """Write what was given several times as the configuration's variables hold it."""
    assert isinstance(values, tuple), "click gives a tuple"
    return ",".join(values) or None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
