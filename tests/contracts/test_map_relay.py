"""A follower's map over a real server: it follows, survives the leader's restart, and refuses a bad map."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from control_plane.io.lines import Lines
from control_plane.io.map_relay import MapRelay
from core.assignments import Assignment, Copy
from core.fleet_map import Delta, FleetMap, Revision
from core.gate import LoopbackPolicy
from core.io.clock import LoopClock
from core.io.map_feed import SERVICE, MapFeed, handlers
from core.io.serve import Server
from core.names import ControlPlaneId, CopyId, DcId, NodeId, ShardId, TenantName
from core.topology import Kind
from tests.fleets import small_fleet

FLEET = small_fleet(142)
LEADER = ControlPlaneId("fra1-cp")
PATIENCE_S = 10.0


def held(shard: int, *, epoch: int, standby: str = "ams1-c1") -> Assignment:
    pair = (Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId(standby), CopyId("b.1")))
    return Assignment(ShardId(shard), Kind.COLLAB, 1, epoch, *pair)


class Served:
    """A leader's map on a real server."""

    def __init__(self) -> None:
        self.map = FleetMap(FLEET)
        self.map.replace_all(Revision(1, 1, 1), [held(0, epoch=1), held(1, epoch=1)], {})
        self.feed = MapFeed(self.map, lambda: 0, gap_s=0)

    async def start(self) -> None:
        at = FLEET.control_plane(LEADER)
        self.server = Server(at.host, at.port, LoopbackPolicy())
        self.server.server.add_generic_rpc_handlers((handlers(self.feed),))
        await self.server.start([SERVICE])

    async def stop(self) -> None:
        await self.feed.close()
        await self.server.stop(0)

    def step(self, *changed: Assignment) -> None:
        base = self.map.revision
        delta = Delta(base, replace(base, n=base.n + 1), changed)
        self.map.apply(delta)
        self.feed.stepped(delta)

    def lie(self, *changed: Assignment) -> None:
        """Tell a step that the leader's own map would refuse."""
        base = self.map.revision
        self.feed.stepped(Delta(base, replace(base, n=base.n + 1), changed))


class Follower:
    """A follower's map; ``until`` waits for what it comes to hold."""

    def __init__(self, lines: Lines) -> None:
        self.fleet_map = FleetMap(FLEET)
        self._changed = asyncio.Event()
        clock = LoopClock(asyncio.get_running_loop())
        self.relay = MapRelay(self, home=DcId("ams1"), lines=lines, clock=clock)

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        self.fleet_map.replace_all(revision, assignments, overrides)
        self._changed.set()

    def map_stepped(self, delta: Delta) -> None:
        self.fleet_map.apply(delta)
        self._changed.set()

    async def until(self, true: Callable[[FleetMap], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true(self.fleet_map):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def leader() -> AsyncIterator[Served]:
    served = Served()
    await served.start()
    yield served
    await served.stop()


@pytest.fixture
async def follower() -> AsyncIterator[Follower]:
    lines = Lines()
    made = Follower(lines)
    made.relay.follow(LEADER)
    yield made
    await made.relay.close()
    await lines.close()


async def test_a_follower_holds_what_the_leader_holds(leader: Served, follower: Follower) -> None:
    await follower.until(lambda held: held.revision == Revision(1, 1, 1))
    leader.step(held(0, epoch=2))
    await follower.until(lambda held: held.shards[ShardId(0)].epoch == 2)
    assert follower.fleet_map.shards == leader.map.shards


async def test_a_follower_goes_on_when_the_leader_returns(leader: Served, follower: Follower) -> None:
    await follower.until(lambda held: held.revision == Revision(1, 1, 1))
    await leader.stop()
    leader.step(held(1, epoch=5))
    await leader.start()
    await follower.until(lambda held: held.shards[ShardId(1)].epoch == 5)


async def test_a_bad_map_is_refused_and_the_last_good_one_kept(leader: Served, follower: Follower) -> None:
    await follower.until(lambda held: held.revision == Revision(1, 1, 1))
    leader.lie(held(0, epoch=2, standby="fra1-c2"))
    leader.step(held(1, epoch=3))
    await follower.until(lambda held: held.shards[ShardId(1)].epoch == 3)
    assert follower.fleet_map.shards[ShardId(0)] == held(0, epoch=1)
