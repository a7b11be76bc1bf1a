"""When answers leave: at once after a quiet moment, together when they follow closely."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from nodes.api.outflow import PACE_S, Outflow
from twinhold.v1 import command_service_pb2 as pb


class Desk:
    """An outflow whose turns and time the test tells."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []
        self.called: list[Callable[[], None]] = []
        self.taking = True
        self.messages: list[list[int]] = []
        self.room = asyncio.Event()
        self.written = 0
        self.outflow = Outflow(
            write_now=self.write_now,
            write=self.write,
            written=self.count,
            now=lambda: self.now,
            soon=self.called.append,
            later=self.later,
        )
        self.running = asyncio.create_task(self.outflow.run())

    def write_now(self, message: pb.SessionResponse) -> bool:
        if self.taking:
            self.messages.append([result.ticket for result in message.results])
        return self.taking

    async def write(self, message: pb.SessionResponse) -> None:
        await self.room.wait()
        self.messages.append([result.ticket for result in message.results])

    def count(self, answers: int) -> None:
        self.written += answers

    def later(self, s: float, function: Callable[[], None]) -> None:
        self.rests.append(s)
        self.called.append(function)

    def put(self, *tickets: int) -> None:
        for ticket in tickets:
            self.outflow.result(ticket, size_bytes=10)
            self.outflow.leave_soon()

    def turn(self) -> None:
        called, self.called[:] = list(self.called), []
        for function in called:
            function()


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


async def test_after_a_quiet_moment_what_one_turn_makes_ready_leaves_at_its_end(desk: Desk) -> None:
    desk.put(1, 2)
    assert desk.messages == []
    desk.turn()
    desk.now += PACE_S
    desk.put(3)
    desk.turn()
    assert desk.messages == [[1, 2], [3]]
    assert desk.rests == []
    assert (desk.written, desk.outflow.waiting_bytes) == (3, 0)


async def test_what_is_ready_may_leave_in_the_very_turn(desk: Desk) -> None:
    desk.outflow.result(1, size_bytes=10)
    desk.outflow.leave()
    desk.outflow.leave()
    assert desk.messages == [[1]]


async def test_what_follows_closely_waits_for_the_rest_of_the_pace_and_leaves_together(desk: Desk) -> None:
    desk.put(1)
    desk.turn()
    desk.now += PACE_S / 4
    desk.put(2)
    desk.turn()
    desk.put(3)
    desk.outflow.leave()
    assert desk.messages == [[1]]
    desk.now += PACE_S
    desk.turn()
    assert desk.messages == [[1], [2, 3]]
    assert abs(desk.rests[0] - PACE_S * 3 / 4) < 1e-9


async def test_what_a_caller_does_not_take_leaves_in_order_when_it_does(desk: Desk) -> None:
    desk.taking = False
    desk.put(1)
    desk.turn()
    await asyncio.sleep(0)
    desk.taking = True
    desk.put(2)
    desk.turn()
    assert (desk.messages, desk.outflow.waiting_bytes) == ([], 20)
    desk.room.set()
    async with asyncio.timeout(10):
        while desk.written < 2:
            await asyncio.sleep(0)
    desk.now += PACE_S
    desk.put(3)
    desk.turn()
    assert desk.messages == [[1], [2], [3]]
