"""The lossy override on a small fleet of real processes, as the engineer on call lives through it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from cli.exits import Exit
from client.io import Client, connect
from core.names import dc_of
from regions.io.fleet import Fleet
from regions.io.load import load
from twinhold.v1 import chat_pb2

pytestmark = pytest.mark.e2e
TENANT = "tenants/eu/acme"
TWINHOLD = str(Path(sys.executable).parent / "twinhold")
Twinhold = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    running = await Fleet.up(load("small", address_base=170), tmp_path / "fleet", profile="default", seed=1)
    yield running
    await running.down()


@pytest_asyncio.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
    async with connect(doors, actor="users/ada", seed=1) as opened:
        await opened.create_tenant(TENANT, display_name="Acme", timeout_s=10)
        yield opened


@pytest.fixture
def twinhold(fleet: Fleet) -> Twinhold:
    """Run a command against the fleet: its exit code, data, and progress."""

    async def command(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            TWINHOLD,
            *arguments,
            env={**os.environ, "TWINHOLD_FLEET": str(fleet.folder)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    return command


async def post(client: Client, text: str) -> None:
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text=text))
    await client.submit(TENANT, command, chat_pb2.ChatAnswer, timeout_s=15)


async def texts(client: Client) -> list[str]:
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general", limit=1000))
    answered = await client.query(TENANT, query, chat_pb2.ChatQueryAnswer, timeout_s=15)
    return [post.text for post in answered.answer.posts]


async def until(answer: Callable[[], Awaitable[tuple[int, str, str]]], holds: Callable[[int, str], bool]) -> str:
    """Repeat a command until its answer is as it should be; returns its data."""
    async with asyncio.timeout(25):
        while True:
            code, out, _ = await answer()
            if holds(code, out):
                return out


async def test_a_shard_whose_only_copy_is_lost_goes_on_without_it_and_the_loss_is_told(
    fleet: Fleet, client: Client, twinhold: Twinhold
) -> None:
    await post(client, "on two copies")
    held = client.locate(TENANT)
    lost, shard, standby = dc_of(held.primary.node), str(held.shard), held.standby
    assert standby is not None
    for node in fleet.topology.nodes:
        if node.dc != lost:
            await fleet.kill(node.id)
    await until(
        lambda: twinhold("shard", "show", shard, "-o", "json"),
        lambda _, out: json.loads(out)["assignment"]["standby"] is None,
    )
    for number in range(3):
        await post(client, f"alone {number}")
    code, _, err = await twinhold("shard", "override", shard, "--plan")
    assert code == Exit.REFUSED, err
    assert f"{held.primary.node} answers" in err

    await fleet.kill(lost)
    await fleet.start(standby.node)
    await fleet.wait_ready(standby.node, timeout_s=15)
    code, _, err = await twinhold("dc", "evacuate", lost, "--yes", "--reason", "the site burnt down")
    assert code == Exit.DONE or "held lost already" in err, err
    planned = await until(
        lambda: twinhold("shard", "override", shard, "--plan", "-o", "json"),
        lambda code, _: code == Exit.CHANGES_PENDING,
    )
    plan = json.loads(planned)
    assert plan["stale"]["node"] == standby.node
    assert plan["lossy_from_lsn"] <= plan["stale"]["last_lsn"] + 1

    code, _, err = await twinhold("shard", "override", shard, "--stated-by", "Ada L.", "--confirm", shard)
    assert code == Exit.DONE, err
    await post(client, "after")
    assert await texts(client) == ["on two copies", "after"]
    shown = json.loads((await twinhold("shard", "show", shard, "-o", "json"))[1])["assignment"]
    assert (shown["incarnation"], shown["primary"]["node"]) == (2, standby.node)
    assert f"Ada L. states that {lost} is fenced" in shown["reason"]

    await fleet.start(lost)
    history = await until(
        lambda: twinhold("events", "--type", "copy.quarantined", "--about", f"shards/{shard}"),
        lambda _, out: TENANT in out,
    )
    assert f"{TENANT}: 3 entries" in history
    assert any(fleet.folder.rglob(f"orphan/shard-{shard}-*.jsonl"))
    assert await texts(client) == ["on two copies", "after"]
