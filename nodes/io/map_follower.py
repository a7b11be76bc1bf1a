"""Keeps the node's map: watches a control plane, the leader if it is known, and goes on from the last good map.

A bad map is refused and said; the node stays on what it has, and asks another control plane.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TypeAlias

import grpc

from core.assignments import Assignment
from core.backoff import Backoff
from core.errors import MalformedError, PositionGoneError, TwinholdError
from core.fleet_map import NO_REVISION, FleetMap
from core.io.clock import LoopClock
from core.io.delay import DelayLine
from core.io.json_log import tell, warn
from core.io.map_feed import MapFeed
from core.io.status import error_of
from core.names import ControlPlaneId, ShardId, TenantName
from core.topology import Topology
from core.wire import delta_from_pb, revision_from_pb, revision_to_pb, snapshot_from_pb
from nodes.io.control_planes import ControlPlanes
from nodes.io.map_file import MAP_FILE, SavedMap, load_map, save_map
from twinhold.v1 import assignment_pb2
from twinhold.v1 import assignment_service_pb2 as pb
from twinhold.v1 import assignment_service_pb2_grpc as pb_grpc

Changed: TypeAlias = Callable[[Iterable[Assignment], Mapping[TenantName, ShardId] | None], None]
"""Takes new records; None: the overrides are as before."""

SILENCE_S = 3.0
"""A feed tells its age every second; one that does not for so long is left."""
BACKOFF_S = (0.2, 2.0)
"""A leader that becomes known ends the pause."""
AVOID_S = 1.0
"""After a failure at the leader, others are asked for so long."""
SAVE_AFTER_S = (2.0, 4.0)
"""From a change until the map is written with all that came meanwhile: a failover brings many steps in a second, and
leaves no time for a file per node. A node that starts with a map that is so much older is as safe as with any (C8)."""


class MapFollower:
    """The map, its feed for others, and its file.

    Args:
        topology: the fleet on paper.
        control_planes: whom to watch, and who leads.
        data_dir: where the last good map is kept.
        clock: this process's clock.
        chance: jitter, and the order in which control planes are tried.
        changed: where new records go.
        pauses_s: bounds of the first and of every later pause while no control plane tells the map.
    """

    def __init__(
        self,
        topology: Topology,
        control_planes: ControlPlanes,
        *,
        data_dir: Path,
        clock: LoopClock,
        chance: Random,
        changed: Changed,
        pauses_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.map = FleetMap(topology)
        self.feed = MapFeed(self.map, self.age_ms, gap_s=0)
        self._topology = topology
        self._control_planes = control_planes
        self._path = data_dir / MAP_FILE
        self._clock = clock
        self._chance = chance
        self._changed = changed
        self._backoff = Backoff(*pauses_s, chance)
        self.lost: set[ControlPlaneId] = set()
        """Whose feed was lost, or never stood, since the last step from anybody: said once."""
        self._fresh_ms = clock.wall_ms()
        self._avoided: dict[ControlPlaneId, float] = {}
        self._dirty = asyncio.Event()
        self._whole = False

    def age_ms(self) -> int:
        """Say how many milliseconds ago the leader was heard, as far as this map goes."""
        return max(0, self._clock.wall_ms() - self._fresh_ms)

    def load(self) -> None:
        """Go on from the map on disk, if there is a good one."""
        try:
            saved = load_map(self._path, self._topology)
            if saved is None:
                return
            self.map.replace_all(saved.revision, saved.assignments, saved.overrides)
        except TwinholdError as error:
            warn("map.file_refused", message=error.message)
            return
        self._fresh_ms = saved.fresh_ms
        self.feed.replaced()
        self._changed(saved.assignments, saved.overrides)
        tell("map.loaded", revision=str(saved.revision), shards=len(saved.assignments))

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            target = self._target()
            watching = asyncio.ensure_future(self._watch(target))
            change = asyncio.ensure_future(self._better_than(target))
            try:
                await asyncio.wait((watching, change), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (watching, change):
                    task.cancel()
                await asyncio.gather(watching, change, return_exceptions=True)
            if self._control_planes.leader in (None, target):
                self._avoided[target] = self._clock.now() + AVOID_S
                await self._pause()

    async def keep(self) -> None:
        """Write the map to disk whenever it changed, at a bounded pace, until cancelled."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._chance.uniform(*SAVE_AFTER_S))
            self._dirty.clear()
            await self.save()

    async def save(self) -> None:
        """Write the map to disk now."""
        saved = SavedMap(
            self.map.revision, list(self.map.shards.values()), dict(self.map.overrides), fresh_ms=self._fresh_ms
        )
        if saved.revision == NO_REVISION:
            return
        try:
            await asyncio.to_thread(save_map, self._path, self._topology, saved)
        except OSError as error:
            warn("map.not_saved", cause=str(error))

    def _target(self) -> ControlPlaneId:
        now = self._clock.now()
        usable = [one.id for one in self._control_planes.all if self._avoided.get(one.id, 0.0) <= now]
        leader = self._control_planes.leader
        if leader in usable:
            return leader
        return self._chance.choice(usable or [one.id for one in self._control_planes.all])

    async def _better_than(self, target: ControlPlaneId) -> None:
        while self._control_planes.leader in (None, target) or self._avoids(self._control_planes.leader):
            await self._control_planes.change()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next_s()):
                await self._control_planes.change()
                self._avoided.clear()  # who leads has just been heard

    def _avoids(self, control_plane: ControlPlaneId | None) -> bool:
        return control_plane is not None and self._avoided.get(control_plane, 0.0) > self._clock.now()

    async def _watch(self, target: ControlPlaneId) -> None:
        trip = self._control_planes.trip_s(target)
        await asyncio.sleep(trip)
        line = DelayLine[pb.WatchResponse](self._clock, trip, lambda step: self._take(step, call.cancel))
        call = pb_grpc.AssignmentServiceStub(self._control_planes.line(target)).Watch(self._since())
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    step = await call.read()
                if not isinstance(step, pb.WatchResponse):
                    return
                self.lost.clear()
                self._backoff.reset()
                line.put(step)
        except grpc.RpcError as error:
            self._feed_lost(target, error_of(error).message)
        except TimeoutError:
            self._feed_lost(target, "silent")
        finally:
            line.clear()
            call.cancel()

    def _feed_lost(self, target: ControlPlaneId, cause: str) -> None:
        if target not in self.lost:
            self.lost.add(target)
            tell("map.feed_lost", control_plane=target, cause=cause)

    def _since(self) -> pb.WatchRequest:
        whole, self._whole = self._whole, False
        if whole or self.map.revision == NO_REVISION:
            return pb.WatchRequest()
        return pb.WatchRequest(since=revision_to_pb(self.map.revision, self._topology.fleet))

    def _take(self, step: pb.WatchResponse, refuse: Callable[[], bool]) -> None:
        try:
            self._apply(step)
        except PositionGoneError:
            self._whole = True
            refuse()
        except TwinholdError as error:
            warn("map.refused", message=error.message)
            refuse()

    def _apply(self, step: pb.WatchResponse) -> None:
        match step.WhichOneof("step"):
            case "snapshot":
                self._replace(step.snapshot)
                self._fresh_ms = self._clock.wall_ms()
            case "delta":
                self._step(step.delta)
                self._fresh_ms = self._clock.wall_ms()
            case "age":
                self._fresh_ms = max(self._fresh_ms, self._clock.wall_ms() - step.age.age_ms)
            case _:
                raise MalformedError("map", "step", expected="a snapshot, a delta or an age")

    def _replace(self, snapshot: assignment_pb2.MapSnapshot) -> None:
        revision = revision_from_pb(snapshot.revision, self._topology.fleet)
        if revision == self.map.revision:
            return
        assignments, overrides = snapshot_from_pb(snapshot)
        self.map.replace_all(revision, assignments, overrides)
        self.feed.replaced()
        self._dirty.set()
        self._changed(assignments, overrides)

    def _step(self, message: assignment_pb2.MapDelta) -> None:
        delta = delta_from_pb(message, self._topology.fleet)
        if delta.revision <= self.map.revision:
            return
        self.map.apply(delta)
        self.feed.stepped(delta)
        self._dirty.set()
        self._changed(delta.changed, self.map.overrides if delta.overrides else None)
