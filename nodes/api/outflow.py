"""The answers of one stream on their way out: at once after a quiet moment, together when more follow closely."""

import asyncio
from collections import deque
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
        write_now: sends one message if the caller takes it at once; says whether it did.
        write: sends one message, and waits while the caller takes none.
        written: told how many answers a message that was sent had.
        now: the time in seconds.
        soon: calls a function at the end of this turn.
        later: calls a function after a number of seconds.
    """

    def __init__(
        self,
        *,
        write_now: Callable[[pb.SessionResponse], bool],
        write: Callable[[pb.SessionResponse], Awaitable[None]],
        written: Callable[[int], None],
        now: Callable[[], float],
        soon: Callable[[Callable[[], None]], object],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.waiting_bytes = 0
        """Of answers that are not sent yet."""
        self._write_now = write_now
        self._write = write
        self._written = written
        self._now = now
        self._soon = soon
        self._later = later
        self._messages: deque[_Message] = deque()
        self._called = False
        """``_turn_over`` will be called."""
        self._written_at = -inf
        self._blocked = asyncio.Event()
        """The caller takes nothing at once: ``run`` writes until nothing is left."""

    def result(self, ticket: int, *, size_bytes: int) -> pb.SessionResult:
        """Make room for one answer of about this size, to be filled in before it leaves."""
        messages = self._messages
        if not messages or messages[-1].size_bytes >= MESSAGE_BYTES_FULL:
            messages.append(_Message())
        message = messages[-1]
        message.size_bytes += size_bytes
        self.waiting_bytes += size_bytes
        result = message.response.results.add()
        result.ticket = ticket
        return result

    def leave_soon(self) -> None:
        """Let what is ready leave at the end of this turn, with what is ready by then."""
        if not self._called:
            self._called = True
            self._soon(self._turn_over)

    def leave(self) -> None:
        """Let what is ready leave: now, unless something left a moment ago."""
        if not self._messages or self._called or self._blocked.is_set():
            return
        now = self._now()
        rest_s = self._written_at + PACE_S - now
        if rest_s > 0:
            self._called = True
            self._later(rest_s, self._rested)
        else:
            self._flush(now)

    async def run(self) -> None:
        """Write what the caller does not take at once, for ever."""
        while True:
            await self._blocked.wait()
            while self._messages:
                message = self._messages.popleft()
                await self._write(message.response)
                self._sent(message)
            self._blocked.clear()

    def _turn_over(self) -> None:
        self._called = False
        self.leave()

    def _rested(self) -> None:
        self._called = False
        if not self._blocked.is_set():
            self._flush(self._now())

    def _flush(self, now: float) -> None:
        messages, self._written_at = self._messages, now
        while messages:
            if not self._write_now(messages[0].response):
                self._blocked.set()
                return
            self._sent(messages.popleft())

    def _sent(self, message: _Message) -> None:
        self.waiting_bytes -= message.size_bytes
        self._written(len(message.response.results))
