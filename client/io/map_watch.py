"""Keeps a client's map fresh from any control plane or node, two at a time, and the last good one when all are dead."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from grpc import aio

from client.io.dialler import Dialler
from client.io.outcome import judged
from core.errors import PositionGoneError, TwinholdError, UnavailableError
from core.fleet_map import NO_REVISION, FleetMap
from core.wire import delta_from_pb, revision_from_pb, revision_to_pb, snapshot_from_pb, topology_from_pb
from twinhold.v1 import assignment_pb2 as assignment_pb
from twinhold.v1 import assignment_service_pb2 as pb
from twinhold.v1 import assignment_service_pb2_grpc as rpc

STREAMS = 2
"""One server that freezes must not hide a change until its silence is noticed."""
SILENT_S = 2.5
"""Servers say something every second."""
STALE_MS = 4_000
"""A server that has not heard the leader for this long is left for another one."""
PAUSE_S = 0.1
STALE_PAUSE_S = 1.0


class MapWatch:
    """Follows the map.

    Args:
        doors: endpoints to begin with, control planes or nodes.
        dialler: opens channels.
        rng: chooses among endpoints, so that clients spread.
        changed: called after every change, with the map.
    """

    def __init__(
        self, doors: Sequence[str], dialler: Dialler, rng: Random, changed: Callable[[FleetMap], None]
    ) -> None:
        self.map: FleetMap | None = None
        self.last_error: TwinholdError = UnavailableError("nothing was tried yet")
        self._doors = list(doors)
        self._dialler = dialler
        self._rng = rng
        self._changed = changed
        self._in_use: set[str] = set()
        self._turn = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(self._follow()) for _ in range(STREAMS)]

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _follow(self) -> None:
        while True:
            door = self._next_door()
            pause_s = PAUSE_S
            if door is not None:
                self._in_use.add(door)
                try:
                    pause_s = await self._listen(door)
                except aio.AioRpcError as error:
                    self.last_error, _ = judged(error)
                except TimeoutError:
                    self.last_error = UnavailableError(f"{door} has been silent for {SILENT_S} s")
                except TwinholdError as error:
                    self.last_error = error
                finally:
                    self._in_use.discard(door)
            await asyncio.sleep(pause_s * (0.5 + self._rng.random()))

    def _next_door(self) -> str | None:
        for _ in self._doors:
            door = self._doors[self._turn % len(self._doors)]
            self._turn += 1
            if door not in self._in_use:
                return door
        return None

    async def _listen(self, door: str) -> float:
        """Follow one server until it fails, raising, or turns stale; returns how long to pause then."""
        stub = rpc.AssignmentServiceStub(self._dialler.channel(door))
        stream = stub.Watch(self._request(), metadata=self._dialler.metadata)
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    step = await stream.read()
                if not isinstance(step, pb.WatchResponse):
                    return PAUSE_S
                if step.HasField("age") and step.age.age_ms > STALE_MS and len(self._doors) > STREAMS:
                    return STALE_PAUSE_S
                self._take(step)
        finally:
            stream.cancel()

    def _request(self) -> pb.WatchRequest:
        held = self.map
        if held is None or held.revision == NO_REVISION:
            return pb.WatchRequest()
        return pb.WatchRequest(since=revision_to_pb(held.revision, held.topology.fleet))

    def _take(self, step: pb.WatchResponse) -> None:
        """Take a step; two streams bring each step twice, so what is known already is passed over."""
        held = self.map
        if step.HasField("snapshot"):
            self._replace(step.snapshot)
        elif step.HasField("delta"):
            if held is None:
                raise PositionGoneError("a delta came before a snapshot")
            delta = delta_from_pb(step.delta, held.topology.fleet)
            if delta.revision <= held.revision:
                return
            held.apply(delta)
            self._changed(held)

    def _replace(self, message: assignment_pb.MapSnapshot) -> None:
        """Take a whole map, with the fleet that it describes; one of another fleet, or an older one, is refused."""
        held = self.map
        revision = revision_from_pb(message.revision, message.fleet.fleet if held is None else held.topology.fleet)
        if held is not None and revision <= held.revision:
            return
        fresh = FleetMap(topology_from_pb(message.fleet))
        if held is not None:
            fresh.revision, fresh.shards = held.revision, held.shards
        assignments, overrides = snapshot_from_pb(message)
        fresh.replace_all(revision, assignments, overrides)
        self.map = fresh
        self._learn_doors(fresh)
        self._changed(fresh)

    def _learn_doors(self, held: FleetMap) -> None:
        """Know every way in: control planes first, each group in an order of this client's own."""
        control_planes = [c.endpoint for c in held.topology.control_planes]
        nodes = [n.endpoint for n in held.topology.nodes]
        self._rng.shuffle(control_planes)
        self._rng.shuffle(nodes)
        self._doors = [*control_planes, *nodes]
