"""What waits to be written to one stream: bounded, and taken in batches."""

import asyncio
from collections import deque

LIMIT_BYTES = 16 * 1024 * 1024
"""About one silence's worth of a busy pair; a peer that falls further behind starts anew."""
BATCH_BYTES = 512 * 1024
BATCH_FRAMES = 256


class Outbox:
    """A queue of serialized messages; one reader.

    Args:
        limit_bytes: what may wait at most.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self.waiting: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    def put(self, message: bytes) -> bool:
        """Add a message; False when it no longer fits."""
        self._bytes += len(message)
        if self._bytes > self._limit_bytes:
            return False
        self.waiting.append(message)
        self._filled.set()
        return True

    async def filled(self) -> None:
        """Wait until there is something to take."""
        if not self.waiting:
            self._filled.clear()
            await self._filled.wait()

    async def take(self) -> bytes:
        """Wait for messages and return as many as make a batch, joined.

        Serialized messages that consist of repeated fields merge by concatenation, which costs less than any parsing.
        """
        await self.filled()
        batch: list[bytes] = []
        size = 0
        while self.waiting and len(batch) < BATCH_FRAMES and (not batch or size < BATCH_BYTES):
            batch.append(self.waiting.popleft())
            size += len(batch[-1])
        self._bytes -= size
        return batch[0] if len(batch) == 1 else b"".join(batch)
