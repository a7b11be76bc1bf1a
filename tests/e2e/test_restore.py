"""A tenant of a whole small fleet is brought back from the archive, a data center lost in between."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.exits import Exit
from client.io import Client, connect
from core.engines import Engines
from core.names import DcId, dc_of
from nodes.archive_chain import moment
from nodes.archive_machine import USUAL_PACE
from nodes.driver import SNAPSHOT_ENTRIES
from nodes.shipping import HELD_SNAPSHOTS
from regions.io.fleet import Fleet
from regions.io.load import load
from twinhold.v1 import chat_pb2

pytestmark = pytest.mark.e2e

TENANT = "tenants/eu/acme"
TWINHOLD = str(Path(sys.executable).parent / "twinhold")
ENTRIES = HELD_SNAPSHOTS * SNAPSHOT_ENTRIES + 1_000
"""So many, and a journal no longer holds the first of them one by one."""
SLICE = 5_000
AT_ONCE = 500
WAIT_S = 60.0


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    engines = Engines(archive_dir=str(tmp_path / "archive"))
    running = await Fleet.up(
        load("small", address_base=41), tmp_path / "fleet", profile="default", seed=1, engines=engines
    )
    yield running
    await running.down()


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
    async with connect(doors, actor="users/ada", seed=1) as opened:
        await opened.create_tenant(TENANT, display_name="Acme", timeout_s=10)
        yield opened


async def command(client: Client, **action: chat_pb2.PostMessage | chat_pb2.EditPost | chat_pb2.DeletePost) -> None:
    wanted = chat_pb2.ChatCommand(**action)  # type: ignore[arg-type]  # one of its actions, by its name
    await client.submit(TENANT, wanted, chat_pb2.ChatAnswer, timeout_s=30)


async def post(client: Client, text: str) -> None:
    await command(client, post=chat_pb2.PostMessage(channel="general", text=text))


async def texts(client: Client, channel: str = "general") -> list[str]:
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel=channel, limit=100))
    answered = await client.query(TENANT, query, chat_pb2.ChatQueryAnswer, timeout_s=15)
    return [it.text for it in answered.answer.posts]


async def twinhold(tmp_path: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        TWINHOLD,
        *arguments,
        *("--fleet", str(tmp_path / "fleet"), "-o", "json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
    return process.returncode, out.decode(), err.decode()


async def a_moment() -> int:
    """Let the clock move on between what was and what comes, and say when that is, in milliseconds since 1970."""
    await asyncio.sleep(0.01)
    at_ms = time.time_ns() // 1_000_000
    await asyncio.sleep(0.01)
    return at_ms


async def flood(client: Client, archive: Path) -> None:
    """Write so much that the journal's first entries go, no faster than the archive takes them."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turns:
            wanted = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="flood", text=f"post {number}"))
            await client.submit(TENANT, wanted, chat_pb2.ChatAnswer, timeout_s=60)

    for first in range(0, ENTRIES, SLICE):
        posts = range(first, min(first + SLICE, ENTRIES))
        await asyncio.gather(*map(one, posts))
        await archived(archive, posts.stop - USUAL_PACE.seal_entries)


async def archived(archive: Path, lsn: int) -> None:
    """Wait until the archive has come so far: what a journal drops before is a gap, which no restore crosses."""
    async with asyncio.timeout(WAIT_S):
        while max((int(it.name[:16]) for it in archive.glob("eu/shard-*/*.piece")), default=0) < lsn:
            await asyncio.sleep(0.1)


def flip(path: Path) -> None:
    """Change one bit near the end of a file; doing it again changes it back."""
    body = bytearray(path.read_bytes())
    body[-9] ^= 1
    path.write_bytes(body)


@pytest.mark.xfail(
    strict=False,
    reason="an archiver that was refused while it lags begins a new chain, and older pieces are lost to it",
)
async def test_a_tenant_is_brought_back_from_the_archive_although_a_data_center_is_lost(
    fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    for text in ("one", "two", "three"):
        await post(client, text)
    at_ms = await a_moment()
    await command(client, delete=chat_pb2.DeletePost(channel="general", seq=1))
    await command(client, edit=chat_pb2.EditPost(channel="general", seq=2, text="spoilt"))
    await post(client, "four")
    await flood(client, tmp_path / "archive")
    await post(client, "five")
    await archived(tmp_path / "archive", ENTRIES)
    await fleet.kill(DcId(dc_of(client.locate(TENANT).primary.node)))
    assert (await texts(client))[1:] == ["spoilt", "three", "four", "five"]

    code, out, err = await twinhold(tmp_path, "tenant", "restore", TENANT, "--at", moment(at_ms), "--plan")
    assert code == Exit.CHANGES_PENDING, err
    counts = {it["kind"]: it for it in json.loads(out)["counts"]}
    assert (counts["channels"]["removed"], counts["posts"]["added"], counts["posts"]["changed"]) == (1, 1, 1)
    assert counts["posts"]["removed"] == ENTRIES + 2
    assert len(await texts(client)) == 5

    first = min((tmp_path / "archive" / "eu").glob("shard-*/*.piece"))
    flip(first)
    code, out, err = await twinhold(tmp_path, "tenant", "restore", TENANT, "--at", moment(at_ms), "--yes")
    assert (code, out, len(err.splitlines())) == (Exit.FAILED, "", 1)
    assert f"{first.name.removesuffix('.piece')} of shard" in err
    assert "bring it back from a backup" in err
    flip(first)

    again = ("tenant", "restore", TENANT, "--at", moment(at_ms), "--yes", "--request-id", str(uuid.uuid4()))
    code, out, err = await twinhold(tmp_path, *again)
    assert code == Exit.DONE, err
    assert await texts(client) == ["one", "two", "three"]
    assert await texts(client, "flood") == []

    await post(client, "after")
    code, out_again, _ = await twinhold(tmp_path, *again)
    assert (code, json.loads(out_again)["lsn"], json.loads(out_again)["replayed"]) == (
        Exit.DONE,
        json.loads(out)["lsn"],
        True,
    )
    assert await texts(client) == ["one", "two", "three", "after"]


async def test_what_can_not_be_restored_is_told_on_one_line_with_its_code(
    fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    await post(client, "one")
    now_ms = await a_moment()
    for name, at, code, says in (
        (TENANT, moment(now_ms + 3_600_000), Exit.USAGE, "expected one in the past; it is"),
        (TENANT, "2020-01-01", Exit.NOT_FOUND, "it was created after that time"),
        ("tenants/eu/nobody", moment(now_ms), Exit.NOT_FOUND, "does not exist"),
    ):
        ended = await twinhold(tmp_path, "tenant", "restore", name, "--at", at, "--yes")
        assert (ended[0], ended[1], len(ended[2].splitlines())) == (code, "", 1)
        assert says in ended[2]
    assert await texts(client) == ["one"]
