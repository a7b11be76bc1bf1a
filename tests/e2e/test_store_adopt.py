"""A restored store under a small fleet of real processes, as the engineer on call lives through it."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from cli.exits import Exit
from client.io import Client, connect
from control_plane.io.sqlite_store import DATABASE
from core.names import dc_of
from core.processes import StoreConfig
from regions.fleet import STORE
from regions.io.fleet import Fleet
from regions.io.load import load
from regions.io.proc import State
from tests.hosted_process import HostedProcess
from twinhold.v1 import chat_pb2

pytestmark = pytest.mark.e2e
TENANT = "tenants/eu/acme"
TWINHOLD = str(Path(sys.executable).parent / "twinhold")
Twinhold = Callable[..., Awaitable[tuple[int, str, str]]]
PATIENCE_S = 20.0


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    running = await Fleet.up(load("small", address_base=174), tmp_path / "fleet", profile="default", seed=1)
    yield running
    await running.down()


@pytest_asyncio.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
    async with connect(doors, actor="users/ada", seed=1) as opened:
        await opened.create_tenant(TENANT, display_name="Acme", timeout_s=10)
        yield opened


class Store:
    """The fleet's store, in the hands of an operator: stopped, copied, put back, started."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._folder = fleet.folder / STORE
        self._kept = fleet.folder / "backup"
        self._process = HostedProcess("control_plane.io.store_process", fleet.topology.store_endpoint)

    async def take_over(self) -> None:
        """End the process that the fleet started, make a backup, and start it by hand from now on."""
        os.kill(self._fleet.pids[STORE], signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            while self._fleet.state()[STORE] is not State.DEAD:
                await asyncio.sleep(0.02)
        shutil.copytree(self._folder, self._kept)
        await self._start()

    async def put_back(self) -> None:
        """Stop it, put the backup's database in place, and start it."""
        assert self._process.terminate() == 0
        shutil.copy(self._kept / DATABASE, self._folder / DATABASE)
        await self._start()

    def end(self) -> None:
        self._process.kill()

    async def _start(self) -> None:
        self._process.start(lambda life_fd: StoreConfig(self._fleet.topology, self._folder, life_fd))
        await self._process.ready()


@pytest_asyncio.fixture
async def store(fleet: Fleet) -> AsyncIterator[Store]:
    held = Store(fleet)
    yield held
    held.end()


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


async def until(
    answer: Callable[[], Awaitable[tuple[int, str, str]]], holds: Callable[[int, str], bool]
) -> tuple[str, str]:
    """Repeat a command until its answer is as it should be; returns its data and progress."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            code, out, err = await answer()
            if holds(code, out):
                return out, err


async def test_a_restored_store_is_left_alone_then_adopted_and_nothing_is_lost(
    fleet: Fleet, client: Client, store: Store, twinhold: Twinhold
) -> None:
    await post(client, "before the backup")
    await store.take_over()
    held = client.locate(TENANT)
    code, _, err = await twinhold("shard", "switchover", str(held.shard), "--yes")
    assert code == Exit.DONE, err
    await post(client, "in the lost time")
    switched = client.locate(TENANT)
    assert switched.primary == held.standby

    await store.put_back()
    await until(lambda: twinhold("status"), lambda _, out: "twinhold store adopt" in out)
    shown = json.loads((await twinhold("store", "status", "-o", "json"))[1])
    assert "twinhold store adopt" in shown["restored"]
    await post(client, "while it is frozen")
    code, _, err = await twinhold("dc", "cordon", dc_of(held.primary.node))
    assert code == Exit.UNREACHABLE, err

    code, out, err = await twinhold("store", "adopt", "--plan")
    assert code == Exit.CHANGES_PENDING, err
    assert "0 shards stay frozen" in err
    code, _, err = await twinhold("store", "adopt")
    assert (code, f"--confirm {fleet.topology.fleet}" in err) == (Exit.USAGE, True)
    adopt = ("store", "adopt", "--yes", "--reason", "an old disk was put in")
    out, _ = await until(lambda: twinhold(*adopt), lambda code, _: code == Exit.DONE)
    assert f"{fleet.topology.shards} records are rebuilt" in out
    assert "store.adopted" in (await twinhold("events", "--type", "store."))[1]
    assert "nothing is to be adopted" in (await twinhold(*adopt))[2]

    await post(client, "adopted")
    await fleet.kill(dc_of(client.locate(TENANT).primary.node))
    await post(client, "failed over")
    assert await texts(client) == [
        "before the backup",
        "in the lost time",
        "while it is frozen",
        "adopted",
        "failed over",
    ]
