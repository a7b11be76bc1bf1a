"""One call on a connection, seen from either end: messages in, messages out, and how it ended."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import grpc

from core.errors import TwinholdError
from core.io.loop_grpc.headers import GOOD, Ending, Headers, response_headers, trailers
from core.io.loop_grpc.messages import Unframer, framed

WAITING_BYTES_MAX = 256 * 1024
"""Received and not yet read: above this, the sender gets no more room."""
SETTLE_BYTES = 1024 * 1024
"""Room is given back in pieces of at least this, so that a small message costs no answer."""


class Carrier(Protocol):
    """What a call needs of its connection."""

    def room(self, exchange: "Exchange") -> int:
        """Say how many bytes may go out now in one piece."""
        ...

    async def more_room(self) -> None:
        """Wait until there may be more room, or a call is over."""
        ...

    def push(self, exchange: "Exchange", data: bytes | memoryview) -> None:
        """Send data; there must be room."""
        ...

    def push_message(self, exchange: "Exchange", message: bytes) -> bool:
        """Send a message in one frame if there is room for it; says whether there was."""
        ...

    def hold(self) -> None:
        """Keep back what is sent, to let it leave in one piece."""
        ...

    def release(self) -> None:
        """Let it leave."""
        ...

    def push_headers(self, exchange: "Exchange", headers: Headers, *, end: bool) -> None:
        """Send headers."""
        ...

    def push_end(self, exchange: "Exchange") -> None:
        """Say that no more data comes."""
        ...

    def settle(self, exchange: "Exchange", size: int) -> None:
        """Give room on a call back to the peer."""
        ...

    def reset(self, exchange: "Exchange", *, code: int) -> None:
        """End the call at once."""
        ...

    def forget(self, exchange: "Exchange") -> None:
        """Keep nothing about a call that is over."""
        ...


class Exchange:
    """A call; one task reads or hears at a time, any task writes.

    Args:
        carrier: the connection.
        stream: its number there.
        bytes_max: of a message.
        window: bytes that may be sent at first.
        answers: the peer has opened the call, and this end answers it.
    """

    def __init__(self, carrier: Carrier, stream: int, bytes_max: int, window: int, *, answers: bool) -> None:
        self.ending: Ending | None = None
        """Set once the call is over at this end."""
        self.said_head = False
        """Set once the answer has begun."""
        self.on_over: Callable[[], None] | None = None
        """Called then."""
        self.stream = stream
        self.window = window
        """Bytes that may be sent now, as far as this call goes."""
        self.owed = 0
        """Bytes received for which the peer has not got room back."""
        self.is_amid = False
        """A message has arrived in part."""
        self._answers = answers
        self._carrier = carrier
        self._unframer = Unframer(bytes_max)
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._no_more = False
        self._said_all = False
        self._head: Headers | None = None
        self._news: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self._sending = 0
        """How many messages wait for room, or for those that do."""
        self._parse: Callable[[bytes], Any] = bytes  # messages have no common type in gRPC's interface
        self._take: Callable[[Any], None] | None = None
        self._failure: Exception | None = None

    async def receive(self) -> bytes | None:
        """Wait for a message; None: no more will come."""
        while not self._arrived:
            if self._no_more or self.ending is not None:
                return None
            await self._wait()
        return self._taken()

    async def hear(self, take: Callable[[Any], None], parse: Callable[[bytes], Any]) -> None:
        """Hand every message to ``take`` in the turn in which it arrives, until no more will come.

        For streams that live long: a task that waits for each message costs a turn of the loop more.

        Raises:
            Exception: what ``take`` or ``parse`` raised; the messages after that one wait to be received.
        """
        while self._arrived:
            take(parse(self._taken()))
        self._take, self._parse = take, parse
        try:
            while self._failure is None and not self._no_more and self.ending is None:
                await self._wait()
        finally:
            self._take = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def head(self) -> Headers:
        """Wait for the headers of the answer; empty if the call ended without."""
        while self._head is None and self.ending is None:
            await self._wait()
        return self._head or []

    async def send(self, message: bytes) -> None:
        """Send a message, or nothing once the call is over; waits while the peer gives no room."""
        if self.send_now(message):
            return
        self._sending += 1
        try:
            async with self._turn:
                await self._send_in_pieces(memoryview(framed(message)))
        finally:
            self._sending -= 1

    def send_now(self, message: bytes) -> bool:
        """Send a message if it can leave at once, in its turn and whole; says whether it did."""
        return not self._sending and self.ending is None and self._carrier.push_message(self, message)

    def answer_now(self, message: bytes) -> bool:
        """Give the only answer and end the call well, in one piece, if it can leave at once; says whether it did."""
        self._carrier.hold()
        try:
            self.say_head(response_headers(()))
            if not self.send_now(message):
                return False
            self.conclude(GOOD)
        finally:
            self._carrier.release()
        return True

    def say_head(self, headers: Headers) -> None:
        """Begin the answer; does nothing if it has begun."""
        if self.ending is None and not self.said_head:
            self.said_head = True
            self._carrier.push_headers(self, headers, end=False)

    def said_all(self) -> None:
        """Tell the peer that no more messages come."""
        if self.ending is None and not self._said_all:
            self._said_all = True
            self._carrier.push_end(self)

    def conclude(self, ending: Ending) -> None:
        """End the call from the answering side, with trailers."""
        if self.ending is not None:
            return
        head = [] if self.said_head else response_headers(())
        self._carrier.push_headers(self, [*head, *trailers(ending)], end=True)
        if not self._no_more:
            self._carrier.reset(self, code=0)
        self._over(ending)

    def abandon(self, ending: Ending, *, code: int = 8) -> None:
        """End the call from this side without an answer; 8 is HTTP/2's CANCEL."""
        if self.ending is None:
            self._carrier.reset(self, code=code)
            self._over(ending)

    def heard_head(self, headers: Headers) -> None:
        """Take the headers of the answer."""
        self._head = headers
        self._wake()

    def heard(self, data: bytes, size: int) -> None:
        """Take data; ``size`` is what it counts against the room that the sender has."""
        self.owed += size
        try:
            found = self._unframer.feed(data)
        except TwinholdError as error:
            (self.conclude if self._answers else self.abandon)(
                Ending(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
            )
            return
        self.is_amid = self._unframer.is_amid
        for message in found:
            self.heard_message(message, 0)
        self._settle()

    def heard_message(self, message: bytes, size: int) -> None:
        """Take a whole message; ``size`` is what it counts against the room that the sender has."""
        self.owed += size
        if self._take is None:
            self._arrived.append(message)
            self._arrived_bytes += len(message)
            self._wake()
        else:
            try:
                self._take(self._parse(message))
            except Exception as error:  # noqa: BLE001 - raised again for whoever hears; the connection goes on
                self._failure, self._take = error, None
                self._wake()
        if self.owed >= SETTLE_BYTES:
            self._settle()

    def heard_all(self) -> None:
        """Learn that no more messages come."""
        self._no_more = True
        self._wake()

    def heard_ending(self, ending: Ending, headers: Headers) -> None:
        """Learn how the call ended at the other side; what arrived before can still be read."""
        if self.ending is not None:
            return
        if self._head is None:
            self._head = headers
        if not self._said_all:
            self._carrier.reset(self, code=0)
        self._over(ending)

    def broke(self, ending: Ending) -> None:
        """Learn that the call is gone."""
        if self.ending is None:
            self._over(ending)

    def _taken(self) -> bytes:
        message = self._arrived.popleft()
        self._arrived_bytes -= len(message)
        if self.owed >= SETTLE_BYTES:
            self._settle()
        return message

    async def _send_in_pieces(self, rest: memoryview) -> None:
        while rest and self.ending is None:
            room = self._carrier.room(self)
            if room <= 0:
                await self._carrier.more_room()
                continue
            self._carrier.push(self, rest[:room])
            rest = rest[room:]

    def _settle(self) -> None:
        if self.owed >= SETTLE_BYTES and self._arrived_bytes <= WAITING_BYTES_MAX:
            self._carrier.settle(self, self.owed)
            self.owed = 0

    def _over(self, ending: Ending) -> None:
        self.ending = ending
        self._carrier.forget(self)
        self._wake()
        if self.on_over is not None:
            self.on_over()

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)
