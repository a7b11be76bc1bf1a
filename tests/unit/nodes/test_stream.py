"""When frames leave a stream: at once after a quiet moment, joined when they follow closely or there was no room."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from chaos.sim.time import Host, World
from core.names import NodeId, ShardId
from nodes.frames import Ack, Frame
from nodes.io.replication_calls import Carrying
from nodes.io.stream import EXACT_FRAMES, PACE_S, Stream
from nodes.records import Generation
from tests.fleets import small_fleet
from twinhold.v1 import replication_pb2 as pb

AMS, FRA = NodeId("ams1-c1"), NodeId("fra1-c1")
FLEET = small_fleet(148)


class Way:
    """A call that never ends; the test says whether it has room."""

    def __init__(self) -> None:
        self.has_room = True
        self.at_once: list[list[int]] = []
        self.waited: asyncio.Queue[list[int]] = asyncio.Queue()

    async def hear(self, take: Callable[[Carrying], None]) -> None:
        await asyncio.Event().wait()

    async def write(self, message: bytes) -> None:
        self.waited.put_nowait(shards(message))

    def write_now(self, message: bytes) -> bool:
        if self.has_room:
            self.at_once.append(shards(message))
        return self.has_room


def shards(message: bytes) -> list[int]:
    return [part.ack.shard for part in pb.ReplicateRequest.FromString(message).frame.messages]


class Desk:
    """A stream under way."""

    def __init__(self, trip: float = 0.0) -> None:
        self.world = World(seed=1)
        self.way = Way()
        self.stream = Stream(
            AMS,
            FLEET.node(FRA),
            trip=trip,
            clock=Host(self.world, "a"),
            kind=pb.ReplicateRequest,
            hear=lambda stream, message: None,
        )

    def send(self, *numbers: int, slack_s: float = 0.0) -> None:
        for number in numbers:
            frame = Frame((Ack(ShardId(number), Generation(1, 1, 0), 1),))
            self.stream.send(frame, bulk=False, slack_s=slack_s)


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    carrying = asyncio.ensure_future(made.stream.carry(made.way, None))
    await asyncio.sleep(0)
    yield made
    made.stream.lose()
    await carrying


async def test_after_a_quiet_moment_a_frame_leaves_at_once(desk: Desk) -> None:
    desk.send(1)
    desk.world.run(desk.world.now + PACE_S)
    desk.send(2)
    assert desk.way.at_once == [[1], [2]]


async def test_what_follows_closely_is_joined_and_keeps_its_order(desk: Desk) -> None:
    desk.send(1, 2, 3, 4)
    assert desk.way.at_once == [[1]]
    assert await desk.way.waited.get() == [2, 3, 4]


async def test_without_room_frames_wait_and_nothing_overtakes_them(desk: Desk) -> None:
    desk.way.has_room = False
    desk.send(1)
    desk.way.has_room = True
    desk.send(2)
    assert await desk.way.waited.get() == [1, 2]
    assert desk.way.at_once == []


async def test_what_is_sent_before_the_stream_is_carried_leaves_first() -> None:
    desk = Desk()
    desk.send(1, 2)
    carrying = asyncio.ensure_future(desk.stream.carry(desk.way, None))
    assert await desk.way.waited.get() == [1, 2]
    desk.stream.lose()
    await carrying


async def test_only_the_first_frames_of_a_stream_are_never_late() -> None:
    desk = Desk(trip=0.1)
    carrying = asyncio.ensure_future(desk.stream.carry(desk.way, None))
    await asyncio.sleep(0)
    for number in range(EXACT_FRAMES):
        desk.send(number, slack_s=5.0)
    desk.world.run(0.2)
    arrived = await desk.way.waited.get()
    assert [*desk.way.at_once[0], *arrived] == list(range(EXACT_FRAMES))
    desk.send(EXACT_FRAMES, slack_s=5.0)
    desk.world.run(4.9)
    assert len(desk.way.at_once) == 1
    desk.world.run(5.1)
    assert desk.way.at_once[1] == [EXACT_FRAMES]
    desk.stream.lose()
    await carrying
