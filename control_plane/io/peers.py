"""Streams to the other control planes: heartbeats out, answers back, over the distance between them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from grpc import aio

from control_plane.driver import ControlPlaneDriver
from control_plane.io.node_wire import confer_answer_from_pb, confer_to_pb
from control_plane.views import ConferView
from core.errors import TwinholdError
from core.io.clock import LoopClock
from core.io.delay import DelayLine, trip_s
from core.io.dial import channel
from core.io.json_log import warn
from core.io.knock import gone
from core.io.two_way import TwoWay
from core.names import ControlPlaneId
from core.timers import Timers
from core.topology import ControlPlane, Topology
from twinhold.v1 import control_plane_service_pb2 as pb
from twinhold.v1 import control_plane_service_pb2_grpc as pb_grpc

AGAIN_S = 0.2
"""Between two attempts to open a stream."""


class PeerStreams:
    """The port ``Peers``: one stream per other control plane; used on one event loop.

    Args:
        topology: who the others are.
        control_plane: this one.
        timers: how a refusal is judged.
        clock: this process's clock.
    """

    def __init__(self, topology: Topology, control_plane: ControlPlaneId, *, timers: Timers, clock: LoopClock) -> None:
        here = topology.control_plane(control_plane).dc
        self._streams = {
            peer.id: _PeerStream(topology.fleet, peer, trip=trip_s(topology, here, peer.dc), timers=timers, clock=clock)
            for peer in topology.control_planes
            if peer.id != control_plane
        }

    def confer(self, peer: ControlPlaneId, beat: ConferView) -> None:
        """Send a heartbeat; where no stream stands, the next one begins with it unless a newer one is sent by then."""
        self._streams[peer].send(beat)

    async def run(self, driver: ControlPlaneDriver, awake: Callable[[], None]) -> None:
        """Keep the streams up until cancelled; answers and losses go to the driver, each after a look at the clock."""
        async with asyncio.TaskGroup() as streams:
            for stream in self._streams.values():
                streams.create_task(stream.run(driver, awake))


class _PeerStream:
    """The stream to one peer."""

    def __init__(self, fleet: str, peer: ControlPlane, *, trip: float, timers: Timers, clock: LoopClock) -> None:
        self._fleet = fleet
        self._peer = peer
        self._trip = trip
        self._timers = timers
        self._clock = clock
        self._leaving = DelayLine[ConferView](clock, trip, self._say)
        self._way: TwoWay[pb.ConferResponse, pb.ConferRequest] | None = None
        self._unsaid: ConferView | None = None
        """The last heartbeat that found no stream; the next stream begins with it."""
        self._answered = False
        """Whether the peer ever answered on the stream that stands."""

    def send(self, beat: ConferView) -> None:
        self._leaving.put(beat)

    async def run(self, driver: ControlPlaneDriver, awake: Callable[[], None]) -> None:
        line = channel(self._peer.endpoint)
        try:
            while True:
                if await self._once(line, driver, awake):
                    refused = await gone(self._peer.host, self._peer.port, timers=self._timers, trip=self._trip)
                    awake()
                    driver.peer_down(self._peer.id, refused)
                await asyncio.sleep(AGAIN_S)
        finally:
            await line.close(None)

    async def _once(self, line: aio.Channel, driver: ControlPlaneDriver, awake: Callable[[], None]) -> bool:
        await line.channel_ready()  # a call that waited by itself would deliver a heartbeat as old as the wait
        arriving = DelayLine[ConferView](self._clock, self._trip, driver.conferred)
        call = pb_grpc.ControlPlaneServiceStub(line).Confer(None)
        self._way, self._answered = TwoWay(call), False
        if self._unsaid is not None:
            self._say(self._unsaid)

        def take(answer: pb.ConferResponse) -> None:
            self._answered = True
            awake()
            arriving.put(confer_answer_from_pb(answer))

        try:
            with suppress(aio.AioRpcError):
                await self._way.hear(take)
        except TwinholdError as error:
            warn("peer.malformed", peer=self._peer.id, message=error.message)
        finally:
            self._way = None
            arriving.clear()
            call.cancel()
        return self._answered

    def _say(self, beat: ConferView) -> None:
        if self._way is None:
            self._unsaid = beat
        else:
            self._way.say(confer_to_pb(beat, self._fleet))
            self._unsaid = None
