"""The canary tells an answer from silence and from nobody, and the recorder keeps whole lines."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.faults import Canary
from chaos.history import Post, parsed
from chaos.io.faults import knock, knock_until_answered
from chaos.io.recorder import LINES_AT_ONCE, Recorder
from chaos.targets import Door, Tongue

POST = Post("tenants/eu/acme", "general", "ann", "1", "hello", None, 10, None, "unknown")


async def test_a_server_that_greets_answers() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await knock(Door(f"127.0.0.1:{port}")) is Canary.ANSWERED


@pytest.mark.parametrize(("tongue", "begins"), [(Tongue.GRPC, b"PRI"), (Tongue.CQL, b"\4"), (Tongue.HTTP, b"GET /")])
async def test_each_server_is_greeted_in_its_own_tongue(tongue: Tongue, begins: bytes) -> None:
    heard = b""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard = await reader.read(64)
        writer.write(b"\0")
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        assert await knock(Door(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", tongue)) is Canary.ANSWERED
    assert heard.startswith(begins)


async def test_a_door_that_nobody_opens_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        assert await knock(Door(f"127.0.0.1:{frozen.getsockname()[1]}")) is Canary.SILENT


async def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await knock(Door(f"127.0.0.1:{port}")) is Canary.REFUSED


async def test_one_that_was_started_is_knocked_at_until_it_answers() -> None:
    knocks = 0

    async def greet_the_third(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        if knocks == 3:
            writer.write(b"\0")
        writer.close()

    async with await asyncio.start_server(greet_the_third, "127.0.0.1", 0) as server:
        door = Door(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await knock_until_answered(door, within_s=10) is Canary.ANSWERED
        assert await knock_until_answered(door, within_s=0) is Canary.REFUSED


def test_what_is_under_way_when_a_run_is_cut_is_written_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        recorder.began(POST)
        recorder.began(replace(POST, request_id="2", text="world"))
        recorder.ended(replace(POST, request_id="2", text="world", seq=1, completed_ns=20, outcome="ok"))
    lines = [parsed(line, number) for number, line in enumerate(path.read_text().splitlines(), start=1)]
    assert [line.outcome for line in lines] == ["ok", "unknown"]


def test_lines_are_written_some_at_once_or_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        for number in range(LINES_AT_ONCE + 1):
            recorder.ended(replace(POST, request_id=str(number), seq=1, completed_ns=20, outcome="ok"))
        assert len(path.read_text().splitlines()) == LINES_AT_ONCE
        recorder.flush()
        assert len(path.read_text().splitlines()) == LINES_AT_ONCE + 1
