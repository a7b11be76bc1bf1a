"""A follower's map: it watches the leader as anybody would, and serves what it sees, with its age."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from grpc import aio

from control_plane.io.lines import Lines
from core.assignments import Assignment
from core.errors import FixRequestError, PositionGoneError, TwinholdError
from core.fleet_map import NO_REVISION, Delta, FleetMap, Revision
from core.io.clock import LoopClock
from core.io.delay import DelayLine, trip_s
from core.io.json_log import warn
from core.names import ControlPlaneId, DcId, ShardId, TenantName
from core.wire import delta_from_pb, revision_from_pb, revision_to_pb, snapshot_from_pb
from twinhold.v1 import assignment_service_pb2 as pb
from twinhold.v1 import assignment_service_pb2_grpc as pb_grpc

AGAIN_S = 0.2
"""Between two attempts to watch the same leader."""
SILENCE_MAX_S = 3.0
"""A leader tells its map's age every second: after this much silence the stream is dialled anew."""


class Taker(Protocol):
    """Whose map this is: it refuses what would make the map worse, and stays on the last good one."""

    fleet_map: FleetMap

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        """Take a snapshot; raises MalformedError."""
        ...

    def map_stepped(self, delta: Delta) -> None:
        """Take a step; raises PositionGoneError or MalformedError."""
        ...


class MapRelay:
    """Follows one leader at a time; used on one event loop.

    Args:
        taker: given what the leader says.
        home: the data center in which this control plane stands.
        lines: channels to the other control planes.
        clock: for the trip between data centers.
    """

    def __init__(self, taker: Taker, *, home: DcId, lines: Lines, clock: LoopClock) -> None:
        self._taker = taker
        self._home = home
        self._lines = lines
        self._clock = clock
        self._leader: ControlPlaneId | None = None
        self._task: asyncio.Task[None] | None = None
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
        held = self._taker.fleet_map
        topology = held.topology
        away = topology.control_plane(leader)
        trip = trip_s(topology, self._home, away.dc)
        await asyncio.sleep(trip)
        anew = self._whole_wanted or held.revision == NO_REVISION
        known = None if anew else revision_to_pb(held.revision, topology.fleet)
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
        held = self._taker.fleet_map
        fleet = held.topology.fleet
        match step.WhichOneof("step"):
            case "snapshot":
                assignments, overrides = snapshot_from_pb(step.snapshot)
                revision = revision_from_pb(step.snapshot.revision, fleet)
                self._taker.map_replaced(revision, assignments, overrides)
                self._whole_wanted = False
            case "delta":
                self._taker.map_stepped(delta_from_pb(step.delta, fleet))
            case "age":
                if revision_from_pb(step.age.revision, fleet) != held.revision:
                    raise PositionGoneError("the leader's map is another one")
            case _:
                raise FixRequestError("a step of the map that this code does not know")
