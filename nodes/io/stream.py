"""One life of a link: frames out as fast as the peer takes them, frames in as they come, until either side ends it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from core.errors import TwinholdError
from core.io.dial import BROKEN, channel
from core.io.json_log import warn
from core.names import NodeId
from core.topology import Node
from nodes.io.outbox import Outbox
from nodes.io.replication_calls import bulk_over, bulk_request, first_bulk
from twinhold.v1 import replication_pb2 as pb

Read: TypeAlias = Callable[[], Awaitable[pb.Frame | None]]
"""Waits for the next frame; None: the other side has ended the stream."""
Write: TypeAlias = Callable[[bytes], Awaitable[None]]
Accepted: TypeAlias = Callable[[], Awaitable[None]]
"""Tells the peer that the stream it opened is taken."""

PACE_S = 0.001
"""Between two writes: what is ready first goes at once, what follows closely goes together."""
ENDED: tuple[type[Exception], ...] = (*BROKEN, TimeoutError)


class Stream:
    """What waits for one stream, and its end.

    Args:
        here: this node.
        peer: the other one.
        hear: takes what comes in.
    """

    def __init__(self, here: NodeId, peer: Node, hear: Callable[["Stream", pb.Frame], None]) -> None:
        self.over = asyncio.Event()
        self._here = here
        self._peer = peer
        self._hear = hear
        self._outbox = Outbox()
        self._bulk = Outbox()

    def post(self, frame: bytes, *, bulk: bool) -> None:
        """Queue a serialized frame; a queue that is full ends the stream."""
        if not (self._bulk if bulk else self._outbox).put(frame):
            warn("link.full", peer=self._peer.id, bulk=bulk)
            self.over.set()

    async def carry(self, read: Read, write: Write, accepted: Accepted | None) -> None:
        """Carry frames until the stream is over; the bulk channel lives and dies with it."""
        pumps = [
            asyncio.ensure_future(work)
            for work in (self._read(read, accepted), _write(self._outbox, write), self._carry_bulk())
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

    def _judge(self, end: BaseException | None) -> None:
        if isinstance(end, TwinholdError):
            warn("link.refused", peer=self._peer.id, message=end.message)
        elif isinstance(end, Exception) and not isinstance(end, ENDED):
            raise end

    async def _read(self, read: Read, accepted: Accepted | None) -> None:
        if accepted is not None:
            await accepted()
        while (frame := await read()) is not None:
            self._hear(self, frame)

    async def _carry_bulk(self) -> None:
        frame = await self._bulk.take()
        line = channel(self._peer.endpoint)
        call = bulk_over(line)
        try:
            await call.write(first_bulk(self._here))
            while True:
                await call.write(bulk_request(frame))
                frame = await self._bulk.take()
        finally:
            call.cancel()
            await line.close(None)


async def _write(outbox: Outbox, write: Write) -> None:
    loop, next_at = asyncio.get_running_loop(), 0.0
    while True:
        await outbox.filled()
        wait_s = next_at - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        next_at = loop.time() + PACE_S
        await write(await outbox.take())
