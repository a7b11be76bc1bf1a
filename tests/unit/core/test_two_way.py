"""What is said on a stream leaves in order, at once where there is room, and never piles up."""

import asyncio
from collections.abc import Callable

from core.io.two_way import WAITING_MAX, TwoWay


class Narrow:
    """A way with room for so many messages; ``widen`` makes more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written: list[int] = []
        self.over = asyncio.Event()
        self._widened = asyncio.Condition()

    async def hear(self, take: Callable[[str], None]) -> None:
        take("hello")
        await self.over.wait()

    async def write(self, message: int) -> None:
        async with self._widened:
            await self._widened.wait_for(lambda: self.room > 0)
        self.write_now(message)

    def write_now(self, message: int) -> bool:
        if self.room > 0:
            self.room -= 1
            self.written.append(message)
            return True
        return False

    async def widen(self, room: int) -> None:
        async with self._widened:
            self.room = room
            self._widened.notify_all()


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_finds_no_room_waits_and_keeps_its_order() -> None:
    async def play() -> list[int]:
        way = Narrow(2)
        stream = TwoWay[str, int](way)
        for number in range(5):
            stream.say(number)
        await way.widen(10)
        stream.say(5)
        await _turns()
        return way.written

    assert asyncio.run(play()) == [0, 1, 2, 3, 4, 5]


def test_whoever_takes_nothing_is_sent_a_bounded_number_and_loses_it_with_the_stream() -> None:
    async def play() -> tuple[list[str], list[int], int]:
        way, heard = Narrow(0), list[str]()
        stream = TwoWay[str, int](way)
        hearing = asyncio.ensure_future(stream.hear(heard.append))
        for number in range(WAITING_MAX + 10):
            stream.say(number)
        await _turns()
        waited = len(asyncio.all_tasks()) - 2
        way.over.set()
        await hearing
        await way.widen(1)
        await _turns()
        return heard, way.written, waited

    assert asyncio.run(play()) == (["hello"], [], WAITING_MAX)
