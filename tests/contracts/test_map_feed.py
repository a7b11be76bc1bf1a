"""AssignmentService over a real server: snapshot, steps in order, resumption, slow watchers, many watchers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from grpc import aio

from core.assignments import Assignment, Copy
from core.fleet_map import Delta, FleetMap, Revision
from core.gate import LoopbackPolicy
from core.io.dial import channel
from core.io.map_feed import QUEUE_MAX, SERVICE, MapFeed, handlers
from core.io.serve import Server
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from core.wire import revision_to_pb
from tests.fleets import small_fleet
from twinhold.v1 import assignment_service_pb2 as pb
from twinhold.v1 import assignment_service_pb2_grpc as pb_grpc

FLEET = replace(small_fleet(143), control_planes=())
HOST, PORT = "127.143.9.1", 7410
WATCHERS = 200
PATIENCE_S = 10.0


def held(shard: int, *, epoch: int) -> Assignment:
    pair = (Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1")))
    return Assignment(ShardId(shard), Kind.COLLAB, 1, epoch, *pair)


def never(step: bytes) -> bool:
    """Have no room."""
    return False


class Leader:
    """A map that changes, and its feed."""

    def __init__(self) -> None:
        self.map = FleetMap(FLEET)
        self.feed = MapFeed(self.map, lambda: 0, gap_s=0)

    def place(self) -> None:
        """Give the map its first content."""
        self.map.replace_all(Revision(1, 1, 1), [held(shard, epoch=1) for shard in range(4)], {})
        self.feed.replaced()

    def step(self, *, epoch: int, alone: bool = False) -> None:
        """Change shard 0."""
        base = self.map.revision
        changed = held(0, epoch=epoch)
        delta = Delta(base, replace(base, n=base.n + 1), (replace(changed, standby=None) if alone else changed,))
        self.map.apply(delta)
        self.feed.stepped(delta)


@pytest.fixture
async def leader() -> AsyncIterator[Leader]:
    made = Leader()
    server = Server(HOST, PORT, LoopbackPolicy())
    server.server.add_generic_rpc_handlers((handlers(made.feed),))
    await server.start([SERVICE])
    yield made
    await made.feed.close()
    await server.stop(0)


@pytest.fixture
async def line(leader: Leader) -> AsyncIterator[aio.Channel]:
    opened = channel(f"{HOST}:{PORT}")
    yield opened
    await opened.close(None)


class Watch:
    """One watcher's stream, read step by step; ages are left out."""

    def __init__(self, line: aio.Channel, since: Revision | None = None) -> None:
        stub = pb_grpc.AssignmentServiceStub(line)
        known = None if since is None else revision_to_pb(since, FLEET.fleet)
        self._call = stub.Watch(pb.WatchRequest(since=known))

    async def step(self) -> pb.WatchResponse:
        """Read the next step."""
        while True:
            step = await asyncio.wait_for(self._call.read(), PATIENCE_S)
            assert isinstance(step, pb.WatchResponse), "the stream ended"
            if step.WhichOneof("step") != "age":
                return step

    async def age(self) -> pb.MapAge:
        """Read the next step, which must be an age."""
        step = await asyncio.wait_for(self._call.read(), PATIENCE_S)
        assert isinstance(step, pb.WatchResponse), "the stream ended"
        assert step.WhichOneof("step") == "age"
        return step.age


async def test_a_watcher_gets_the_whole_map_and_then_every_step(leader: Leader, line: aio.Channel) -> None:
    leader.place()
    watch = Watch(line)
    assert list((await watch.step()).snapshot.shards) == [0, 1, 2, 3]
    for epoch in (2, 3):
        leader.step(epoch=epoch)
        assert (await watch.step()).delta.changed[0].epoch == epoch
    assert (await watch.age()).revision.n == 3


async def test_steps_of_one_turn_are_told_as_one(leader: Leader, line: aio.Channel) -> None:
    leader.place()
    watch = Watch(line)
    await watch.step()
    for epoch in (2, 3, 4):
        leader.step(epoch=epoch)
    told = (await watch.step()).delta
    assert (told.base.n, told.revision.n, [one.epoch for one in told.changed]) == (1, 4, [4])


async def test_a_watcher_that_came_before_the_first_map_gets_it(leader: Leader, line: aio.Channel) -> None:
    watch = Watch(line)
    waiting = asyncio.ensure_future(watch.step())
    leader.place()
    assert (await waiting).snapshot.revision.n == 1


async def test_a_watcher_resumes_where_it_stood(leader: Leader, line: aio.Channel) -> None:
    leader.place()
    stood = leader.map.revision
    leader.step(epoch=2)
    assert (await Watch(line, stood).step()).delta.changed[0].epoch == 2


@pytest.mark.parametrize("unknown", [Revision(1, 1, 0), Revision(1, 9, 9)], ids=["too old", "from another leader"])
async def test_a_watcher_with_a_revision_that_is_not_kept_gets_the_whole_map(
    leader: Leader, line: aio.Channel, unknown: Revision
) -> None:
    leader.place()
    assert (await Watch(line, unknown).step()).snapshot.revision.n == 1


async def test_a_watcher_that_is_too_slow_gets_the_whole_map_anew(leader: Leader) -> None:
    leader.place()
    steps = leader.feed.watch(None, never)
    assert pb.WatchResponse.FromString(await anext(steps)).HasField("snapshot")
    for epoch in range(2, QUEUE_MAX + 4):
        leader.step(epoch=epoch)
        await asyncio.sleep(0)
    late = pb.WatchResponse.FromString(await anext(steps))
    assert late.snapshot.revision.n == leader.map.revision.n
    await steps.aclose()


async def test_a_watcher_that_rests_gets_a_step_without_being_woken(leader: Leader) -> None:
    at_once: list[bytes] = []

    def write_now(step: bytes) -> bool:
        at_once.append(step)
        return len(at_once) == 1

    leader.place()
    steps = leader.feed.watch(None, write_now)
    await anext(steps)
    woken = asyncio.ensure_future(anext(steps))
    await asyncio.sleep(0)
    leader.step(epoch=2)
    while not at_once:
        await asyncio.sleep(0)
    assert not woken.done()
    leader.step(epoch=3)
    assert _epoch(await woken) == 3
    leader.step(epoch=4)
    assert _epoch(await anext(steps)) == 4
    assert [_epoch(step) for step in at_once] == [2, 3, 4]
    await steps.aclose()


def _epoch(step: bytes) -> int:
    return pb.WatchResponse.FromString(step).delta.changed[0].epoch


async def test_a_step_reaches_200_watchers(leader: Leader, line: aio.Channel) -> None:
    leader.place()
    watches = [Watch(line) for _ in range(WATCHERS)]
    await asyncio.gather(*(watch.step() for watch in watches))
    leader.step(epoch=2)
    steps = await asyncio.gather(*(watch.step() for watch in watches))
    assert {step.delta.changed[0].epoch for step in steps} == {2}


async def test_resolve_names_both_holders(leader: Leader, line: aio.Channel) -> None:
    leader.place()
    found = await pb_grpc.AssignmentServiceStub(line).Resolve(pb.ResolveRequest(shard="shards/2"), timeout=PATIENCE_S)
    assert (found.primary_endpoint, found.standby_endpoint) == (
        FLEET.node(NodeId("fra1-c1")).endpoint,
        FLEET.node(NodeId("ams1-c1")).endpoint,
    )


async def test_a_busy_leader_tells_the_first_step_at_once_and_those_that_follow_closely_together() -> None:
    leader = Leader()
    leader.feed = MapFeed(leader.map, lambda: 0, gap_s=0.2)
    leader.place()
    steps = leader.feed.watch(None, never)
    await anext(steps)
    told = []
    for epoch in (2, 3, 4):
        leader.step(epoch=epoch)
        if epoch == 2:
            told.append(pb.WatchResponse.FromString(await anext(steps)).delta)
        else:
            await asyncio.sleep(0)
    told.append(pb.WatchResponse.FromString(await anext(steps)).delta)
    assert [(delta.base.n, delta.revision.n) for delta in told] == [(1, 2), (2, 4)]
    await steps.aclose()
    await leader.feed.close()


async def test_planned_steps_wait_for_each_other_until_a_shard_stands_on_one_copy() -> None:
    leader = Leader()
    leader.feed = MapFeed(leader.map, lambda: 0, gap_s=0.001, calm_gap_s=PATIENCE_S)
    leader.place()
    steps = leader.feed.watch(None, never)
    await anext(steps)
    leader.step(epoch=2)
    first = pb.WatchResponse.FromString(await anext(steps)).delta
    leader.step(epoch=3)
    leader.step(epoch=4, alone=True)
    async with asyncio.timeout(PATIENCE_S / 2):
        second = pb.WatchResponse.FromString(await anext(steps)).delta
    assert [(delta.base.n, delta.revision.n) for delta in (first, second)] == [(1, 2), (2, 4)]
    leader.step(epoch=5)
    waiting = asyncio.ensure_future(anext(steps))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await leader.feed.close()
