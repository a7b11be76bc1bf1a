"""The generator against real servers on loopback: every operation is counted once, from its intended time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from chaos.history import parsed
from chaos.io.chatter import Chatter, clock_ns
from chaos.io.load_process import Generator
from chaos.io.recorder import Recorder
from chaos.load import LATE_S, Intended
from client.io import Client, connect
from tests.unit.client.pocket_fleet import PocketFleet

TENANT = "tenants/eu/acme"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    fleet = PocketFleet()
    doors = [await fleet.start(name) for name in ("control plane", "left", "right")]
    async with connect(doors[:1], actor="load", seed=1) as opened:
        await opened.ready(timeout_s=5)
        yield opened
    await fleet.close()


def intended(number: int, at_s: float) -> Intended:
    return Intended(number, at_s, TENANT, "general", number % 2 and 20, "" if number % 2 else f"m{number}")


async def test_what_is_sent_is_answered_counted_and_recorded(client: Client, tmp_path: Path) -> None:
    with Recorder(tmp_path / "history.jsonl") as recorder:
        generator = Generator(Chatter(client, recorder, "load"))
        await generator.run([intended(number, 0.002 * number) for number in range(10)], clock_ns())
        await generator.drained()
        assert (generator.sent, generator.late) == (10, 0)
        assert generator.total_p99_ms() < LATE_S * 1e3
    lines = [parsed(line, 1) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line.outcome for line in lines] == ["ok"] * 10
    assert len({line.request_id for line in lines}) == 10


async def test_an_operation_counts_from_its_intended_time(client: Client, tmp_path: Path) -> None:
    with Recorder(tmp_path / "history.jsonl") as recorder:
        generator = Generator(Chatter(client, recorder, "load"))
        await generator.run([intended(0, 0.0)], clock_ns() - 3_000_000_000)
        await generator.drained()
    assert (generator.late, generator.total_p99_ms() >= 3_000) == (1, True)


async def test_what_can_not_even_be_sent_is_recorded_as_failed(client: Client, tmp_path: Path) -> None:
    with Recorder(tmp_path / "history.jsonl") as recorder:
        line = await Chatter(client, recorder, "load").post("no tenant", "general", "hello", timeout_s=5)
    assert (line.outcome, line.completed_ns is None) == ("failed", False)
