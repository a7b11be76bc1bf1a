"""One life of a link: frames out as fast as the peer takes them, frames in as they come, until either side ends it."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from core.errors import TwinholdError
from core.io.delay import DelayLine
from core.io.dial import BROKEN, channel
from core.io.json_log import warn
from core.names import NodeId
from core.ports import Clock
from core.topology import Node
from nodes.frames import Frame
from nodes.io.outbox import Outbox
from nodes.io.replication_calls import Carrying, Way, bulk_over, first_bulk
from nodes.link import TRIPS_MEASURED
from nodes.wire import write_frame
from twinhold.v1 import replication_pb2 as pb

Accepted: TypeAlias = Callable[[], Awaitable[None]]
"""Tells the peer that the stream it opened is taken."""

PACE_S = 0.001
"""Between two writes: what is ready first goes at once, what follows closely goes together."""
EXACT_FRAMES = 4 * TRIPS_MEASURED
"""The link's round trip is measured with the heartbeats and answers among a stream's first frames."""
ENDED: tuple[type[Exception], ...] = (*BROKEN, TimeoutError)


class Stream:
    """What is on its way to a peer, what waits to be written, and the stream's end.

    Args:
        here: this node.
        peer: the other one.
        trip: seconds one way between their data centers.
        clock: this process's clock.
        kind: the message that frames travel in from this side.
        hear: takes what comes in.
    """

    def __init__(
        self,
        here: NodeId,
        peer: Node,
        *,
        trip: float,
        clock: Clock,
        kind: type[Carrying],
        hear: Callable[["Stream", Carrying], None],
    ) -> None:
        self.over = asyncio.Event()
        self._here = here
        self._peer = peer
        self._clock = clock
        self._kind = kind
        self._hear = hear
        self._line = DelayLine[bytes](clock, trip, self._post)
        self._bulk_line = DelayLine[bytes](clock, trip, self._post_bulk)
        self._exact = EXACT_FRAMES
        self._outbox = Outbox()
        self._bulk = Outbox()
        self._way: Way | None = None
        self._next_at = 0.0
        """When the pace allows the next write."""

    def send(self, frame: Frame, *, bulk: bool, slack_s: float = 0.0) -> None:
        """Put a frame on its way; it may arrive ``slack_s`` late, but the first ones may not."""
        message = pb.BulkRequest() if bulk else self._kind()
        write_frame(frame, message.frame)
        if bulk:
            self._bulk_line.put(message.SerializeToString())
            return
        if self._exact > 0:
            self._exact -= 1
            slack_s = 0.0
        self._line.put(message.SerializeToString(), slack_s=slack_s)

    def lose(self) -> None:
        """End the stream, and lose what is on its way."""
        self.over.set()
        self._line.clear()
        self._bulk_line.clear()

    async def carry(self, way: Way, accepted: Accepted | None) -> None:
        """Carry frames until the stream is over; the bulk channel lives and dies with it."""
        if accepted is not None:
            await accepted()
        self._way = way
        pumps = [
            asyncio.ensure_future(work)
            for work in (way.hear(partial(self._hear, self)), self._write(way), self._carry_bulk())
        ]
        over = asyncio.ensure_future(self.over.wait())
        try:
            await asyncio.wait([*pumps, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.over.set()
            for pump in (*pumps, over):
                pump.cancel()
            ends = await asyncio.gather(*pumps, return_exceptions=True)
        for end in ends:
            self._judge(end)

    def _post(self, message: bytes) -> None:
        """Write at once after a quiet moment, or queue; a queue that is full ends the stream."""
        now = self._clock.now()
        if now >= self._next_at and not self._outbox.waiting and self._way is not None and self._way.write_now(message):
            self._next_at = now + PACE_S
        elif not self._outbox.put(message):
            self._full(bulk=False)

    def _post_bulk(self, message: bytes) -> None:
        if not self._bulk.put(message):
            self._full(bulk=True)

    def _full(self, *, bulk: bool) -> None:
        warn("link.full", peer=self._peer.id, bulk=bulk)
        self.over.set()

    def _judge(self, end: BaseException | None) -> None:
        if isinstance(end, TwinholdError):
            warn("link.refused", peer=self._peer.id, message=end.message)
        elif isinstance(end, Exception) and not isinstance(end, ENDED):
            warn("link.failed", peer=self._peer.id, trace="".join(traceback.format_exception(end)))

    async def _write(self, way: Way) -> None:
        while True:
            await self._outbox.filled()
            wait_s = self._next_at - self._clock.now()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._next_at = self._clock.now() + PACE_S
            await way.write(await self._outbox.take())

    async def _carry_bulk(self) -> None:
        message = await self._bulk.take()
        line = channel(self._peer.endpoint)
        call = bulk_over(line)
        try:
            await call.write(first_bulk(self._here))
            while True:
                await call.write(message)
                message = await self._bulk.take()
        finally:
            call.cancel()
            await line.close(None)
