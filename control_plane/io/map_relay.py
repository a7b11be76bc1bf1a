"""A follower's map: it watches the leader as anybody would, and serves what it sees, with its age."""

import asyncio
from typing import Protocol

from grpc import aio

from control_plane.io.lines import Lines
from core.errors import FixRequestError, PositionGoneError, TwinholdError
from core.fleet_map import NO_REVISION, Delta, FleetMap
from core.io.clock import LoopClock
from core.io.delay import DelayLine, trip_s
from core.io.json_log import warn
from core.names import ControlPlaneId, DcId
from core.wire import delta_from_pb, revision_from_pb, revision_to_pb, snapshot_from_pb
from twinhold.v1 import assignment_service_pb2 as pb
from twinhold.v1 import assignment_service_pb2_grpc as pb_grpc

AGAIN_S = 0.2
"""Between two attempts to watch the same leader."""
SILENCE_MAX_S = 3.0
"""A leader tells its map's age every second: after this much silence the stream is dialled anew."""


class Feed(Protocol):
    """Who is told every change of the map."""

    def replaced(self) -> None:
        """Hear that the whole map is another one."""
        ...

    def stepped(self, delta: Delta) -> None:
        """Hear a step that the map has just taken."""
        ...


class MapRelay:
    """Follows one leader at a time; used on one event loop.

    Args:
        fleet_map: filled from what the leader says; a bad map is refused and the last good one kept.
        feed: told every change.
        home: the data center in which this control plane stands.
        lines: channels to the other control planes.
        clock: for the trip between data centers, and for the map's age.
    """

    def __init__(self, fleet_map: FleetMap, feed: Feed, *, home: DcId, lines: Lines, clock: LoopClock) -> None:
        self._map = fleet_map
        self._feed = feed
        self._home = home
        self._lines = lines
        self._clock = clock
        self._leader: ControlPlaneId | None = None
        self._task: asyncio.Task[None] | None = None
        self._fresh_at = float("-inf")
        self._whole_wanted = False

    def follow(self, leader: ControlPlaneId | None) -> None:
        """Watch this leader from now on; None: nobody, or this control plane itself leads."""
        if leader == self._leader:
            return
        self._leader = leader
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if leader is not None:
            self._task = asyncio.ensure_future(self._follow(leader))

    def age_ms(self) -> int:
        """Say how old the map is: milliseconds since the leader last vouched for it."""
        age_s = self._clock.now() - self._fresh_at
        return round(age_s * 1000) if age_s < float("inf") else 2**40

    async def close(self) -> None:
        """Stop watching."""
        task = self._task
        self.follow(None)
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, leader: ControlPlaneId) -> None:
        while True:
            try:
                await self._watch(leader)
            except aio.AioRpcError:
                await asyncio.sleep(AGAIN_S)
            except PositionGoneError:
                self._whole_wanted = True
            except TwinholdError as error:
                warn("map.refused", leader=leader, message=error.message)
                self._whole_wanted = True
                await asyncio.sleep(AGAIN_S)

    async def _watch(self, leader: ControlPlaneId) -> None:
        topology = self._map.topology
        away = topology.control_plane(leader)
        trip = trip_s(topology, self._home, away.dc)
        await asyncio.sleep(trip)
        anew = self._whole_wanted or self._map.revision == NO_REVISION
        known = None if anew else revision_to_pb(self._map.revision, topology.fleet)
        stream = pb_grpc.AssignmentServiceStub(self._lines.to(away.endpoint)).Watch(
            pb.WatchRequest(since=known), wait_for_ready=True
        )
        broken: asyncio.Future[TwinholdError] = asyncio.get_running_loop().create_future()
        arriving = DelayLine[pb.WatchResponse](self._clock, trip, lambda step: self._arrived(step, broken))
        try:
            while not broken.done():
                step = await asyncio.wait_for(stream.read(), SILENCE_MAX_S)
                if not isinstance(step, pb.WatchResponse):
                    await asyncio.sleep(AGAIN_S)
                    return
                arriving.put(step)
            raise broken.result()
        except TimeoutError:
            return
        finally:
            arriving.clear()
            stream.cancel()

    def _arrived(self, step: pb.WatchResponse, broken: "asyncio.Future[TwinholdError]") -> None:
        if broken.done():
            return
        try:
            self._take(step)
        except TwinholdError as error:
            broken.set_result(error)

    def _take(self, step: pb.WatchResponse) -> None:
        fleet = self._map.topology.fleet
        match step.WhichOneof("step"):
            case "snapshot":
                assignments, overrides = snapshot_from_pb(step.snapshot)
                self._map.replace_all(revision_from_pb(step.snapshot.revision, fleet), assignments, overrides)
                self._feed.replaced()
                self._whole_wanted = False
            case "delta":
                delta = delta_from_pb(step.delta, fleet)
                self._map.apply(delta)
                self._feed.stepped(delta)
            case "age" if revision_from_pb(step.age.revision, fleet) != self._map.revision:
                raise PositionGoneError("the leader's map is another one")
            case "age":
                self._fresh_at = self._clock.now() - step.age.age_ms / 1000
                return
            case _:
                raise FixRequestError("a step of the map that this code does not know")
        self._fresh_at = self._clock.now()
