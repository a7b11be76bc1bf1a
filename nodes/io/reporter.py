"""Registers at every control plane and keeps a Report stream to each, so that a new leader can judge at once.

The leader is told every second probe interval, the others every fourth; what is seen otherwise than before is told to
all at once, how copies stand to the leader only.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from grpc import aio

from core.fleet_map import Revision
from core.io.beat import Beat
from core.io.clock import LoopClock
from core.io.delay import DelayLine, across
from core.io.two_way import TwoWay
from core.names import ControlPlaneId, NodeId
from core.timers import Timers
from core.topology import ControlPlane
from core.wire import report_brings_news
from nodes.io.control_planes import ControlPlanes
from nodes.io.heartbeat import Watched
from nodes.io.report_book import Page, ReportBook
from nodes.sighting import QUIET_BEATS, Sighting
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

REGISTER_S = 2.0
UNANSWERED_MAX = 16
"""Messages that may be on their way to a control plane; a frozen one gets no more."""
RECORD_VERSION = 1
FOLLOWER_BEATS = 4
"""Without news, a control plane that does not lead hears of this node only so often, and each answers only so often."""


@dataclass(slots=True, eq=False)
class _Stream:
    """One that stands: what waits for it, and how far it is."""

    control_plane: ControlPlaneId
    page: Page
    way: TwoWay[pb.ReportResponse, pb.ReportRequest]
    out: DelayLine[pb.ReportRequest]
    """What has news waits here for as long as the trip takes."""
    beats: int = 0
    answered: int = 0
    at_once: int = 0
    """The last message that did not wait."""


class Reporter:
    """All Report streams of one node.

    Args:
        endpoint: where this node listens.
        book: what is reported.
        control_planes: to whom.
        probed: what the probes see.
        revision: of the map that this node holds.
        beat: when to report.
        timers: how silence is judged.
        clock: this process's clock.
        chance: jitter.
    """

    def __init__(
        self,
        endpoint: str,
        book: ReportBook,
        control_planes: ControlPlanes,
        *,
        probed: Mapping[NodeId, Sighting],
        revision: Callable[[], Revision],
        beat: Beat,
        timers: Timers,
        clock: LoopClock,
        chance: Random,
    ) -> None:
        self._beat = beat
        self._endpoint = endpoint
        self._book = book
        self._control_planes = control_planes
        self._revision = revision
        self._timers = timers
        self._clock = clock
        self._collected_at = 0.0
        self._streams: list[_Stream] = []
        """Those that stand."""
        self._watched = {
            one.id: Watched(
                one.host,
                one.port,
                trip=control_planes.trip_s(one.id),
                timers=timers,
                clock=clock,
                chance=chance,
                beats=FOLLOWER_BEATS,
            )
            for one in control_planes.all
        }
        self._sightings: list[tuple[NodeId | ControlPlaneId, Sighting]] = [
            *probed.items(),
            *((one, watched.sighting) for one, watched in self._watched.items()),
        ]

    async def run(self) -> None:
        """Report until cancelled."""
        async with asyncio.TaskGroup() as streams:
            for one in self._control_planes.all:
                streams.create_task(self._keep(one))
            streams.create_task(self._pace())

    def forget(self) -> None:
        """Discard what was seen: this process was away."""
        now = self._clock.now()
        for _, sighting in self._sightings:
            sighting.forget(now)

    async def _keep(self, control_plane: ControlPlane) -> None:
        page = self._book.page()
        await self._watched[control_plane.id].look(lambda: self._once(control_plane.id, page))

    async def _once(self, control_plane: ControlPlaneId, page: Page) -> None:
        trip = self._control_planes.trip_s(control_plane)
        stub = pb_grpc.NodeServiceStub(self._control_planes.line(control_plane))
        async with asyncio.timeout(REGISTER_S + 2 * trip):
            registered = await across(trip, lambda: stub.Register(self._registration()))
        self._control_planes.heard(registered.leader, registered.term)
        page.restart()
        await self._report(control_plane, page, stub.Report(None))

    async def _report(
        self,
        control_plane: ControlPlaneId,
        page: Page,
        call: aio.StreamStreamCall[pb.ReportRequest, pb.ReportResponse],
    ) -> None:
        trip = self._control_planes.trip_s(control_plane)
        way = TwoWay[pb.ReportResponse, pb.ReportRequest](call)
        out = DelayLine[pb.ReportRequest](self._clock, trip, way.say)
        back = DelayLine[pb.ReportResponse](self._clock, trip, self._learn)
        stream = _Stream(control_plane, page, way, out)
        self._streams.append(stream)
        self._tell([stream])
        try:
            await way.hear(partial(self._answered, stream, back))
        finally:
            self._streams.remove(stream)
            out.clear()
            back.clear()
            call.cancel()

    async def _pace(self) -> None:
        """Report to everybody in one turn per beat: a task that wakes for each costs more than what it has to say."""
        while True:
            await self._beat.after(self._timers.probe_s)
            self._tell(self._streams)

    def _tell(self, streams: Iterable[_Stream]) -> None:
        """Write the messages that are due, or have something that can't wait."""
        self._collect()
        self._book.look(self._sightings)
        leader = self._control_planes.leader
        for stream in streams:
            quiet = QUIET_BEATS if stream.control_plane == leader else FOLLOWER_BEATS
            due = stream.beats % quiet == 0
            stream.beats += 1
            room = stream.page.sequence - stream.answered < UNANSWERED_MAX
            if room and (due or self._book.stirred(stream.page, leads=leader in (None, stream.control_plane))):
                self._say(stream)

    def _say(self, stream: _Stream) -> None:
        """Send a stream its next message.

        One without news goes at once: its control plane counts it from when it would have made the trip, so nothing
        has to wake for that moment, and those of many nodes arrive together.
        """
        message = self._book.compose(stream.page, self._revision())
        if report_brings_news(message) or not stream.out.idle:
            stream.out.put(message)
        else:
            stream.at_once = message.sequence
            stream.way.say(message)

    def _collect(self) -> None:
        """Ask the driver for news, once for all streams."""
        now = self._clock.now()
        if now - self._collected_at > self._timers.probe_s / 2:
            self._book.collect()
            self._collected_at = now

    def _answered(self, stream: _Stream, back: DelayLine[pb.ReportResponse], reply: pb.ReportResponse) -> None:
        """Take an answer: it is a sign of life; what is said about the leader makes the trip where it is news."""
        known = self._control_planes
        if reply.sequence > stream.answered:
            stream.answered = reply.sequence
        self._watched[stream.control_plane].heard(2 if reply.sequence == stream.at_once else 1)
        if reply.leader != (known.leader or "") or reply.term != known.term:
            back.put(reply)

    def _learn(self, reply: pb.ReportResponse) -> None:
        self._control_planes.heard(reply.leader, reply.term)

    def _registration(self) -> pb.RegisterRequest:
        book, highest = self._book, self._book.highest
        return pb.RegisterRequest(
            node=book.node,
            endpoint=self._endpoint,
            disk_id=book.disk_id,
            incarnation_max=highest.incarnation,
            epoch_max=highest.epoch,
            record_version=RECORD_VERSION,
            process_id=book.process_id,
        )
