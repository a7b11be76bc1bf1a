"""One stream to one peer, whoever opened it; lost whole, made anew.

The lower node id opens the stream as soon as either wants it; the higher one waits a little first, because only it may
know of a learner. A newer stream takes the place of an older one: whoever opens one has lost the other. After a reset
the peer is knocked at, so that a process that is gone is told from one that is frozen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeAlias

from core.backoff import Backoff
from core.errors import ConflictError
from core.io.clock import LoopClock
from core.io.dial import channel
from core.io.json_log import tell
from core.io.knock import gone
from core.timers import Timers
from core.topology import Node
from nodes.frames import Frame, Heartbeat, HeartbeatReply
from nodes.io.replication_calls import ACCEPTED, Carrying, OpenedWay, Way, first_request, replicate_over
from nodes.io.stream import ENDED, Accepted, Stream
from nodes.ports import Inbox
from nodes.wire import frame_from_pb
from twinhold.v1 import replication_pb2 as pb

Read: TypeAlias = Callable[[], Awaitable[pb.BulkRequest | None]]
"""Waits for the next message of a bulk stream; None: the other side has ended it."""

BACKOFF_S = (0.4, 2.0)
"""Bounds of the first and of every later pause before a peer is dialled again; one that returns dials by itself."""
PATIENCE_S = 0.15
"""How much longer the higher id waits, for the lower one to open the stream."""
OPEN_S = 1.0
"""An opened stream must be accepted within this, plus the round trip; a frozen process never accepts."""


class Link:
    """The way to one peer.

    Args:
        here: this node.
        peer: the other one.
        trip: seconds one way between their data centers.
        timers: how a peer that is gone is told.
        clock: this process's clock.
        chance: jitter.
        inbox: where frames and link changes go.
    """

    def __init__(
        self,
        *,
        here: Node,
        peer: Node,
        trip: float,
        timers: Timers,
        clock: LoopClock,
        chance: Random,
        inbox: Inbox[Frame],
    ) -> None:
        self.peer = peer
        self._here = here
        self._trip = trip
        self._timers = timers
        self._clock = clock
        self._backoff = Backoff(*BACKOFF_S, chance)
        self._inbox = inbox
        self._patience_s = 0.0 if here.id < peer.id else PATIENCE_S
        self._wanted = False
        self._used_at = clock.now()
        self._stream: Stream | None = None
        self._told_up = False
        self._news = asyncio.Event()
        self._attempt: OpenedWay | None = None
        self._task = asyncio.ensure_future(self._tend())

    def want(self) -> None:
        """Open the stream if there is none, and keep it open."""
        if not self._wanted:
            self._wanted = True
            self._news.set()
        self._used_at = self._clock.now()

    def spare(self, idle_s: float) -> None:
        """Stop keeping it open; end it once nothing has passed for ``idle_s``."""
        self._wanted = False
        if self._stream is not None and self._clock.now() - self._used_at > idle_s:
            tell("link.idle", peer=self.peer.id)
            self.drop()

    def send(self, frame: Frame, *, bulk: bool) -> None:
        """Send, or lose; a stream that is not there is opened for the next time."""
        stream = self._stream
        if stream is None:
            self.want()
        else:
            self._used_at = self._clock.now()
            stream.send(frame, bulk=bulk, slack_s=self._slack_s(frame))

    def drop(self) -> None:
        """End the present stream; a new one is made if it is wanted."""
        if self._stream is not None:
            self._stream.over.set()

    async def close(self) -> None:
        """Stop for good."""
        self.drop()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def accept(self, way: Way, accepted: Accepted) -> None:
        """Be a stream that the peer opened, until it ends.

        Raises:
            ConflictError: both are opening one; the lower id's stands.
        """
        if self._attempt is not None and self._here.id < self.peer.id:
            raise ConflictError(f"{self._here.id} is opening the stream itself")
        await self._carry(way, pb.ReplicateResponse, accepted)

    async def accept_bulk(self, read: Read) -> None:
        """Take what comes on a bulk stream that the peer opened."""
        async with asyncio.timeout(OPEN_S):
            while self._stream is None:
                self._news.clear()
                await self._news.wait()
        stream = self._stream
        while not stream.over.is_set() and (message := await read()) is not None:
            self._hear(stream, message)

    def _hear(self, stream: Stream, message: Carrying | pb.BulkRequest) -> None:
        if self._stream is stream:
            self._used_at = self._clock.now()
            self._inbox.message(self.peer.id, frame_from_pb(message.frame))

    def _adopt(self, kind: type[Carrying]) -> Stream:
        if self._stream is not None:
            self._lose(self._stream)
        self._say_down(refused=False)
        self._stream = Stream(self._here.id, self.peer, trip=self._trip, clock=self._clock, kind=kind, hear=self._hear)
        self._told_up = True
        self._backoff.reset()
        if self._attempt is not None:
            self._attempt.cancel()
        self._news.set()
        tell("link.up", peer=self.peer.id)
        self._inbox.up(self.peer.id)
        return self._stream

    def _slack_s(self, frame: Frame) -> float:
        """Say how late a frame may be: nobody waits for a heartbeat."""
        for message in frame.messages:
            if type(message) is not Heartbeat and type(message) is not HeartbeatReply:
                return 0.0
        return self._timers.slack_s

    def _lose(self, stream: Stream) -> None:
        stream.lose()
        if self._stream is stream:
            self._stream = None

    def _say_down(self, *, refused: bool) -> None:
        if self._told_up:
            self._told_up = False
            tell("link.down", peer=self.peer.id, refused=refused)
            self._inbox.down(self.peer.id, refused)

    async def _tend(self) -> None:
        pause_s = self._patience_s
        while True:
            await self._rest(pause_s)
            if self._stream is None:
                await self._open()
            while self._stream is not None:
                await self._stream.over.wait()
                await asyncio.sleep(0)
            await self._mourn()
            pause_s = self._backoff.next_s() + self._patience_s

    async def _rest(self, pause_s: float) -> None:
        while self._stream is None:
            self._news.clear()
            try:
                async with asyncio.timeout(pause_s if self._wanted else None):
                    await self._news.wait()
            except TimeoutError:
                return

    async def _mourn(self) -> None:
        if self._told_up:
            refused = await gone(self.peer.host, self.peer.port, timers=self._timers, trip=self._trip)
            if self._stream is None:
                self._say_down(refused=refused)

    async def _open(self) -> None:
        line = channel(self.peer.endpoint)
        try:
            await self._ride(replicate_over(line))
        except ENDED:
            return
        finally:
            await line.close(None)

    async def _ride(self, call: OpenedWay) -> None:
        self._attempt = call
        try:
            async with asyncio.timeout(OPEN_S + 2 * self._trip):
                await call.write(first_request(self._here.id))
                accepted = ACCEPTED in dict(await call.initial_metadata())
        finally:
            self._attempt = None
        if accepted:
            await self._carry(call, pb.ReplicateRequest)
        call.cancel()

    async def _carry(self, way: Way, kind: type[Carrying], accepted: Accepted | None = None) -> None:
        stream = self._adopt(kind)
        try:
            await stream.carry(way, accepted)
        finally:
            self._lose(stream)
