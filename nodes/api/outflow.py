"""The answers of one stream on their way out: at once after a quiet moment, together when more follow closely."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

from twinhold.v1 import command_service_pb2 as pb

PACE_S = 0.001
"""Between two writes; waking up to write costs far more than an answer more in the message."""
MESSAGE_BYTES_FULL = 256 * 1024
"""A message takes no more answers beyond this, so that each stays well below 1 MiB."""
WAITING_BYTES_MAX = 4 * 1024 * 1024
"""Of answers that a caller does not take."""


@dataclass(slots=True)
class _Message:
    """Answers that leave together."""

    response: pb.SessionResponse = field(default_factory=pb.SessionResponse)
    size_bytes: int = 0


class Outflow:
    """Collects answers and writes them.

    Args:
        write: sends one message, and waits while the caller takes none.
        written: told how many answers a message that was sent had.
        now: the time in seconds.
        rest: waits for a number of seconds.
    """

    def __init__(
        self,
        write: Callable[[pb.SessionResponse], Awaitable[None]],
        written: Callable[[int], None],
        *,
        now: Callable[[], float],
        rest: Callable[[float], Awaitable[None]],
    ) -> None:
        self.waiting_bytes = 0
        """Of answers that are not sent yet."""
        self._write = write
        self._written = written
        self._now = now
        self._rest = rest
        self._messages = [_Message()]
        self._any = asyncio.Event()

    def result(self, ticket: int, *, size_bytes: int) -> pb.SessionResult:
        """Make room for one answer of about this size, to be filled in before the turn ends."""
        message = self._messages[-1]
        if message.size_bytes >= MESSAGE_BYTES_FULL:
            message = _Message()
            self._messages.append(message)
        message.size_bytes += size_bytes
        self.waiting_bytes += size_bytes
        self._any.set()
        result = message.response.results.add()
        result.ticket = ticket
        return result

    async def run(self) -> None:
        """Write whatever is ready, for ever."""
        written_at = -inf
        while True:
            await self._any.wait()
            rest_s = written_at + PACE_S - self._now()
            if rest_s > 0:
                await self._rest(rest_s)
            await self._flush()
            written_at = self._now()

    async def _flush(self) -> None:
        messages, self._messages = self._messages, [_Message()]
        self._any.clear()
        for message in messages:
            await self._write(message.response)
            self.waiting_bytes -= message.size_bytes
            self._written(len(message.response.results))
