"""When answers leave: at once after a quiet moment, together when they follow closely."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from nodes.api.outflow import PACE_S, Outflow
from twinhold.v1 import command_service_pb2 as pb


class Desk:
    """An outflow whose time the test tells."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []
        self.rested, self.resting = asyncio.Event(), asyncio.Event()
        self.messages: asyncio.Queue[list[int]] = asyncio.Queue()
        self.written = 0
        self.outflow = Outflow(self.write, self.count, now=lambda: self.now, rest=self.rest)
        self.running = asyncio.create_task(self.outflow.run())

    async def write(self, message: pb.SessionResponse) -> None:
        self.messages.put_nowait([result.ticket for result in message.results])

    def count(self, answers: int) -> None:
        self.written += answers

    async def rest(self, s: float) -> None:
        self.rests.append(s)
        self.resting.set()
        await self.rested.wait()

    def put(self, *tickets: int) -> None:
        for ticket in tickets:
            self.outflow.result(ticket, size_bytes=10)

    async def message(self) -> list[int]:
        async with asyncio.timeout(10):
            return await self.messages.get()


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


async def test_after_a_quiet_moment_an_answer_leaves_without_a_timer(desk: Desk) -> None:
    desk.put(1, 2)
    assert await desk.message() == [1, 2]
    desk.now += PACE_S
    desk.put(3)
    assert await desk.message() == [3]
    assert desk.rests == []
    assert (desk.written, desk.outflow.waiting_bytes) == (3, 0)


async def test_what_follows_closely_waits_for_the_rest_of_the_pace_and_leaves_together(desk: Desk) -> None:
    desk.put(1)
    await desk.message()
    desk.now += PACE_S / 4
    desk.put(2)
    await desk.resting.wait()
    desk.put(3)
    assert desk.messages.empty()
    desk.now += PACE_S
    desk.rested.set()
    assert await desk.message() == [2, 3]
    assert abs(desk.rests[0] - PACE_S * 3 / 4) < 1e-9
