"""A node's map over real servers: the leader is preferred, bad maps are refused, the last good one is kept on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random

import grpc
import pytest

from core.assignments import Assignment, Copy
from core.fleet_map import NO_REVISION, Delta, FleetMap, Revision
from core.gate import LoopbackPolicy
from core.io.clock import LoopClock
from core.io.map_feed import SERVICE, MapFeed, handlers
from core.io.serve import Context, Server
from core.names import CopyId, NodeId, ShardId, TenantName
from core.topology import ControlPlane, Kind
from core.wire import snapshot_to_pb
from nodes.io.control_planes import ControlPlanes
from nodes.io.map_file import MAP_FILE
from nodes.io.map_follower import BACKOFF_S, MapFollower
from tests.fleets import small_fleet
from twinhold.v1 import assignment_service_pb2 as pb

FLEET = small_fleet(145)
HERE = NodeId("fra1-c1")
FIRST, SECOND = FLEET.control_planes[:2]
FRA, AMS = Copy(HERE, CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1"))
ALONE_IN_ONE_DC = replace(AMS, node=NodeId("fra1-c2"))
PATIENCE_S = 10.0


def held(shard: int, *, epoch: int, standby: Copy = AMS) -> Assignment:
    return Assignment(ShardId(shard), Kind.COLLAB, 1, epoch, FRA, standby)


class Source:
    """A control plane that serves a map."""

    def __init__(self, here: ControlPlane) -> None:
        self.here = here
        self.map = FleetMap(FLEET)
        self.feed = MapFeed(self.map, lambda: 0, gap_s=0)
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = Server(self.here.host, self.here.port, LoopbackPolicy())
        self._server.server.add_generic_rpc_handlers((handlers(self.feed),))
        await self._server.start([SERVICE])

    def place(self, revision: Revision, *, epoch: int = 1) -> None:
        self.map.replace_all(revision, [held(shard, epoch=epoch) for shard in range(3)], {})
        self.feed.replaced()

    def step(self, *, epoch: int) -> None:
        base = self.map.revision
        delta = Delta(base, replace(base, n=base.n + 1), (held(0, epoch=epoch),))
        self.map.apply(delta)
        self.feed.stepped(delta)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None
        await self.feed.close()


class Follower:
    """A follower that runs, and what it passed on."""

    def __init__(self, folder: Path, *, pauses_s: tuple[float, float] = BACKOFF_S) -> None:
        self.changes: list[list[Assignment]] = []
        self.control_planes = ControlPlanes(replace(FLEET, control_planes=(FIRST, SECOND)), HERE)
        self.follower = MapFollower(
            FLEET,
            self.control_planes,
            data_dir=folder,
            clock=LoopClock(asyncio.get_running_loop()),
            chance=Random(1),
            changed=self._changed,
            pauses_s=pauses_s,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def run(self) -> None:
        self._tasks = [asyncio.ensure_future(self.follower.run()), asyncio.ensure_future(self.follower.keep())]

    @property
    def revision(self) -> Revision:
        return self.follower.map.revision

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.control_planes.close()

    def _changed(self, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId] | None) -> None:
        self.changes.append(list(assignments))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
async def sources() -> AsyncIterator[tuple[Source, Source]]:
    made = (Source(FIRST), Source(SECOND))
    for source in made:
        await source.start()
    yield made
    for source in made:
        await source.stop()


@pytest.fixture
async def following(tmp_path: Path) -> AsyncIterator[Follower]:
    made = Follower(tmp_path)
    yield made
    await made.close()


async def test_a_snapshot_and_every_step_after_it_are_passed_on(
    sources: tuple[Source, Source], following: Follower
) -> None:
    leader = sources[0]
    following.control_planes.heard(FIRST.id, 1)
    leader.place(Revision(1, 1, 1))
    following.run()
    await until(lambda: following.revision == Revision(1, 1, 1))
    leader.step(epoch=2)
    await until(lambda: following.revision == Revision(1, 1, 2))
    assert [[one.epoch for one in change] for change in following.changes] == [[1, 1, 1], [2]]


async def test_a_new_leader_is_followed_at_once(sources: tuple[Source, Source], following: Follower) -> None:
    old, new = sources
    following.control_planes.heard(FIRST.id, 1)
    old.place(Revision(1, 1, 1))
    following.run()
    await until(lambda: following.revision == Revision(1, 1, 1))
    new.place(Revision(1, 2, 0), epoch=3)
    following.control_planes.heard(SECOND.id, 2)
    await until(lambda: following.revision == Revision(1, 2, 0))


async def test_a_dead_leader_is_left_for_another_control_plane(
    sources: tuple[Source, Source], following: Follower
) -> None:
    old, other = sources
    following.control_planes.heard(FIRST.id, 1)
    old.place(Revision(1, 1, 1))
    other.place(Revision(1, 1, 2))
    following.run()
    await until(lambda: following.revision == Revision(1, 1, 1))
    await old.stop()
    await until(lambda: following.revision == Revision(1, 1, 2))


async def test_a_leader_that_becomes_known_ends_the_pause(sources: tuple[Source, Source], tmp_path: Path) -> None:
    source = sources[0]
    await source.stop()
    following = Follower(tmp_path, pauses_s=(100 * PATIENCE_S, 100 * PATIENCE_S))
    following.control_planes.heard(FIRST.id, 1)
    following.run()
    await until(lambda: following.follower.lost)
    await source.start()
    source.place(Revision(1, 2, 1))
    terms = count(2)

    def followed() -> bool:
        following.control_planes.heard(FIRST.id, next(terms))  # again: a channel remembers a refusal for a moment
        return following.revision == Revision(1, 2, 1)

    await until(followed)
    await following.close()


async def test_an_older_map_is_refused_and_the_last_good_one_kept(
    sources: tuple[Source, Source], following: Follower
) -> None:
    good, stale = sources
    following.control_planes.heard(FIRST.id, 1)
    good.place(Revision(1, 1, 5), epoch=7)
    stale.place(Revision(1, 1, 2), epoch=2)
    following.run()
    await until(lambda: following.revision == Revision(1, 1, 5))
    following.control_planes.heard(SECOND.id, 2)
    await good.stop()
    stale.step(epoch=3)
    await good.start()
    following.control_planes.heard(FIRST.id, 3)
    good.step(epoch=8)
    await until(lambda: following.revision == Revision(1, 1, 6))
    assert following.follower.map.shards[ShardId(0)].epoch == 8


async def test_a_map_with_both_copies_in_one_data_center_is_refused(tmp_path: Path, following: Follower) -> None:
    asked = asyncio.Event()
    bad = [held(0, epoch=9, standby=ALONE_IN_ONE_DC)]

    async def watch(request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        yield pb.WatchResponse(snapshot=snapshot_to_pb(Revision(1, 9, 9), bad, {}, FLEET))
        if asked.is_set():
            return
        asked.set()
        await asyncio.Event().wait()

    server = Server(FIRST.host, FIRST.port, LoopbackPolicy())
    method = grpc.unary_stream_rpc_method_handler(
        watch,
        request_deserializer=pb.WatchRequest.FromString,
        response_serializer=pb.WatchResponse.SerializeToString,
    )
    server.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Watch": method}),))
    await server.start([SERVICE])
    following.control_planes.heard(FIRST.id, 1)
    following.run()
    await asyncio.wait_for(asked.wait(), PATIENCE_S)
    await until(lambda: following.revision == NO_REVISION)
    assert following.changes == []
    await server.stop(0)


async def test_the_last_good_map_outlives_the_process_and_all_control_planes(
    sources: tuple[Source, Source], following: Follower, tmp_path: Path
) -> None:
    following.control_planes.heard(FIRST.id, 1)
    sources[0].place(Revision(1, 1, 1))
    following.run()
    await until(lambda: (tmp_path / MAP_FILE).exists())
    for source in sources:
        await source.stop()
    reborn = Follower(tmp_path)
    reborn.follower.load()
    assert reborn.revision == Revision(1, 1, 1)
    assert len(reborn.changes[0]) == 3
    await reborn.close()


async def test_a_damaged_file_is_as_good_as_none(following: Follower, tmp_path: Path) -> None:
    (tmp_path / MAP_FILE).write_bytes(b"anything")
    following.follower.load()
    assert following.revision == NO_REVISION
