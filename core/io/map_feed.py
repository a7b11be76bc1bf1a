"""AssignmentService for whoever holds a map: control planes, and every node from its last good one.

A step of the map is encoded once and the same bytes go to every watcher, so that 200 of them cost little more than one.
A watcher that is too slow for the steps gets a fresh snapshot instead: nothing waits for it, and nothing is skipped.
"""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast

import grpc

from core.assignments import Assignment
from core.errors import MalformedError
from core.fleet_map import NO_REVISION, Delta, FleetMap, Revision, joined
from core.io.loop_grpc.server import LoopContext
from core.io.serve import Context
from core.names import shard_id, tenant_name
from core.wire import assignment_to_pb, delta_to_pb, revision_from_pb, revision_to_pb, snapshot_to_pb
from twinhold.v1 import assignment_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["AssignmentService"].full_name
AGE_EVERY_S = 1.0
GAP_S = 0.05
"""Between two steps that a control plane tells: the first goes at once, what follows closely goes together, because
every step wakes every node of the fleet."""
CALM_GAP_S = 0.3
"""The same where every shard of a step stands on two copies: whoever must act on a planned change has heard of it from
the shard's primary, and a caller with an older map is sent on by the owner before."""
QUEUE_MAX = 256
"""Steps that wait for one watcher."""
LOG_MAX = 1024
"""Steps kept for watchers that resume."""


class _Watcher:
    """One stream: the steps that wait for it, or the fact that it must start anew."""

    def __init__(self, write_now: Callable[[bytes], bool]) -> None:
        self.rests = False
        """Everything is written; the next step may pass the stream's task by, for which waking costs more."""
        self._write_now = write_now
        self.steps: deque[bytes] = deque()
        self.behind = True
        self.changed = asyncio.Event()

    def push(self, step: bytes) -> None:
        if self.behind or (self.rests and not self.steps and self._write_now(step)):
            return
        if len(self.steps) >= QUEUE_MAX:
            self.restart()
            return
        self.steps.append(step)
        self.changed.set()

    def restart(self) -> None:
        self.steps.clear()
        self.behind = True
        self.changed.set()


class MapFeed:
    """A map and its watchers; used on one event loop.

    The owner changes the map and then calls ``replaced`` or ``stepped``.

    Args:
        fleet_map: the map that is served.
        age_ms: milliseconds since the leader was last heard; 0 at the leader.
        gap_s: between two steps told; 0: all steps of one loop turn are told as one.
        calm_gap_s: the same for steps that leave no shard on one copy.
    """

    def __init__(
        self, fleet_map: FleetMap, age_ms: Callable[[], int], *, gap_s: float, calm_gap_s: float = 0.0
    ) -> None:
        self.map = fleet_map
        self._age_ms = age_ms
        self._gap_s = gap_s
        self._calm_gap_s = max(gap_s, calm_gap_s)
        self._watchers: set[_Watcher] = set()
        self._log: deque[tuple[Revision, bytes]] = deque(maxlen=LOG_MAX)
        self._untold: list[Delta] = []
        self._told_at = 0.0
        self._telling: asyncio.Handle | None = None
        self._telling_at = 0.0
        self._snapshot: tuple[Revision, bytes] | None = None
        self._ages: asyncio.Task[None] | None = None

    def replaced(self) -> None:
        """Tell everybody that the whole map is another one."""
        self._untold.clear()
        self._log.clear()
        for watcher in self._watchers:
            watcher.restart()

    def stepped(self, delta: Delta) -> None:
        """Tell everybody a step that the map has just taken; steps that come closely are told as one."""
        self._untold.append(delta)
        exposed = any(assignment.solo for assignment in delta.changed)
        at = self._told_at + (self._gap_s if exposed else self._calm_gap_s)
        if self._telling is not None:
            if self._telling_at <= at:
                return
            self._telling.cancel()
        loop = asyncio.get_running_loop()
        tell = self._tell_steps
        self._telling = loop.call_soon(tell) if at <= loop.time() else loop.call_at(at, tell)
        self._telling_at = at

    async def watch(self, since: Revision | None, write_now: Callable[[bytes], bool]) -> AsyncGenerator[bytes, None]:
        """Yield serialized WatchResponses: a snapshot or what follows ``since``, then every step, an age when quiet.

        Args:
            since: what the watcher has.
            write_now: takes a step at once when everything yielded is written, or returns False: it is yielded then.
        """
        watcher = _Watcher(write_now)
        self._tell_steps()
        self._resume(watcher, since)
        self._watchers.add(watcher)
        self._start_ages()
        try:
            while True:
                if watcher.behind and self.map.revision != NO_REVISION:
                    whole = self._whole()
                    watcher.behind = False
                    yield whole
                while watcher.steps:
                    yield watcher.steps.popleft()
                if not watcher.behind or self.map.revision == NO_REVISION:
                    watcher.changed.clear()
                    watcher.rests = True
                    await watcher.changed.wait()
                    watcher.rests = False
        finally:
            self._watchers.discard(watcher)

    def age(self) -> pb.MapAge:
        """Say how fresh the map is."""
        return pb.MapAge(
            revision=revision_to_pb(self.map.revision, self.map.topology.fleet), age_ms=max(0, self._age_ms())
        )

    def resolve(self, request: pb.ResolveRequest) -> pb.ResolveResponse:
        """Find who holds a tenant or a shard.

        Raises:
            MalformedError: neither is asked for, or the name has the wrong form.
            NotFoundError: there is no such geography or shard.
        """
        found = self._located(request)
        topology = self.map.topology
        return pb.ResolveResponse(
            assignment=assignment_to_pb(found),
            primary_endpoint=topology.node(found.primary.node).endpoint,
            standby_endpoint="" if found.standby is None else topology.node(found.standby.node).endpoint,
            age=self.age(),
        )

    async def close(self) -> None:
        """Stop telling."""
        if self._telling is not None:
            self._telling.cancel()
        if self._ages is not None:
            self._ages.cancel()
            await asyncio.gather(self._ages, return_exceptions=True)

    def _located(self, request: pb.ResolveRequest) -> Assignment:
        match request.WhichOneof("target"):
            case "tenant":
                return self.map.locate(tenant_name(request.tenant))
            case "shard":
                return self.map.shard(shard_id(request.shard))
            case _:
                raise MalformedError("target", "", expected="a tenant or a shard")

    def _resume(self, watcher: _Watcher, since: Revision | None) -> None:
        missed = self._missed(since)
        if missed is not None:
            watcher.behind = False
            watcher.steps.extend(missed)

    def _missed(self, since: Revision | None) -> list[bytes] | None:
        if since is None or since == NO_REVISION:
            return None
        if since == self.map.revision:
            return [self._age_step()]
        bases = [base for base, _ in self._log]
        missed = [step for _, step in self._log][bases.index(since) :] if since in bases else None
        return missed if missed is not None and len(missed) < QUEUE_MAX else None

    def _tell_steps(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if not self._untold:
            return
        self._told_at = asyncio.get_running_loop().time()
        delta = joined(self._untold)
        self._untold.clear()
        step = pb.WatchResponse(delta=delta_to_pb(delta, self.map.topology.fleet)).SerializeToString()
        self._log.append((delta.base, step))
        for watcher in self._watchers:
            watcher.push(step)

    def _whole(self) -> bytes:
        self._tell_steps()
        if self._snapshot is None or self._snapshot[0] != self.map.revision:
            whole = snapshot_to_pb(self.map.revision, self.map.shards.values(), self.map.overrides, self.map.topology)
            self._snapshot = (self.map.revision, pb.WatchResponse(snapshot=whole).SerializeToString())
        return self._snapshot[1]

    def _age_step(self) -> bytes:
        return pb.WatchResponse(age=self.age()).SerializeToString()

    def _start_ages(self) -> None:
        if self._ages is None or self._ages.done():
            self._ages = asyncio.ensure_future(self._tell_ages())

    async def _tell_ages(self) -> None:
        while self._watchers:
            await asyncio.sleep(AGE_EVERY_S)
            self._tell_steps()
            step = self._age_step()
            for watcher in self._watchers:
                if not watcher.steps:
                    watcher.push(step)


def handlers(feed: MapFeed) -> "grpc.GenericRpcHandler[Any, Any]":
    """Make AssignmentService for ``add_generic_rpc_handlers``; Watch sends bytes as they are.

    ``Any``: the handler speaks two methods of different messages.
    """

    async def Watch(request: pb.WatchRequest, context: Context) -> None:
        way = cast(LoopContext, context)  # every server is ours; grpc.aio's type cannot write at once
        fleet = feed.map.topology.fleet
        since = revision_from_pb(request.since, fleet) if request.HasField("since") else None
        async with aclosing(feed.watch(since, way.write_now)) as steps:
            async for step in steps:
                await way.write(step)

    async def Resolve(request: pb.ResolveRequest, context: Context) -> pb.ResolveResponse:
        return feed.resolve(request)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Watch": grpc.unary_stream_rpc_method_handler(
                Watch,
                request_deserializer=pb.WatchRequest.FromString,
                response_serializer=None,
            ),
            "Resolve": grpc.unary_unary_rpc_method_handler(
                Resolve,
                request_deserializer=pb.ResolveRequest.FromString,
                response_serializer=pb.ResolveResponse.SerializeToString,
            ),
        },
    )
