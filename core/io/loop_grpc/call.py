"""A call as its caller sees it; in the place of grpc.aio's calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from grpc import aio

from core.io.loop_grpc.connection import Connection
from core.io.loop_grpc.exchange import Exchange
from core.io.loop_grpc.headers import END, Ending, metadata_of, request_headers

_CANCELLED = Ending(grpc.StatusCode.CANCELLED, "cancelled here")
_LATE = Ending(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")


class Line(Protocol):
    """What a call needs of its channel."""

    endpoint: str

    def now(self) -> Connection | None:
        """Return the connection if it stands."""
        ...

    async def connection(self) -> Connection:
        """Return the connection, made anew if need be; raises AioRpcError."""
        ...

    async def channel_ready(self) -> None:
        """Wait until the peer has answered."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything that opens a call. Messages have no common type in gRPC's interface, hence Any."""

    line: Line
    method: str
    serialize: Callable[[Any], bytes]
    parse: Callable[[bytes], Any]
    metadata: Iterable[tuple[str, str | bytes]] = ()
    wait_for_ready: bool = False
    due_at: float | None = None
    """When the call must have ended, on the loop's clock."""


class Call:
    """One call; it opens with the first read or write.

    Args:
        opening: how.
        request: its only request; None: requests are written.
    """

    def __init__(self, opening: Opening, request: Any | None) -> None:
        self._opening = opening
        self._request = request
        self._exchange: Exchange | None = None
        self._gone: Ending | None = None
        self._turn = asyncio.Lock()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the answers."""
        return self._answers()

    async def read(self) -> Any:
        """Wait for an answer; grpc.aio.EOF after the last one.

        Raises:
            AioRpcError: the call failed.
        """
        exchange = self._exchange or await self._open()
        body = await (exchange.receive() if self._opening.due_at is None else self._in_time(exchange.receive()))
        if body is not None:
            return self._opening.parse(body)
        _judge(await self._ending(exchange))
        return END

    async def hear(self, take: Callable[[Any], None]) -> None:
        """Hand every answer to ``take`` in the turn in which it arrives, until the call has ended well.

        Raises:
            AioRpcError: the call failed.
            Exception: what ``take`` raised; the call goes on, and whoever hears decides what becomes of it.
        """
        exchange = self._exchange or await self._open()
        await self._in_time(exchange.hear(take, self._opening.parse))
        _judge(await self._ending(exchange))

    async def write(self, message: Any) -> None:
        """Send a request.

        Raises:
            AioRpcError: the call is over.
        """
        exchange = self._exchange or await self._open()
        body = self._opening.serialize(message)
        if not exchange.send_now(body):
            await self._in_time(exchange.send(body))
            if exchange.ending is not None:
                raise failure(exchange.ending)

    def write_now(self, message: Any) -> bool:
        """Send a request if it can leave at once; False: ``write`` must wait for room, or tell how the call ended."""
        return self._exchange is not None and self._exchange.send_now(self._opening.serialize(message))

    async def done_writing(self) -> None:
        """Tell the peer that no more requests come."""
        (await self._open()).said_all()

    async def initial_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Wait for what the answer begins with; empty if the call fails first."""
        return metadata_of(await self._in_time((await self._open()).head()))

    async def code(self) -> grpc.StatusCode:
        """Wait for the end, and say which."""
        return (await self._ending(await self._open())).code

    def cancel(self) -> bool:
        """End the call; says whether it was not over yet."""
        if self._gone is not None or (self._exchange is not None and self._exchange.ending is not None):
            return False
        self._abandon(_CANCELLED)
        return True

    async def _answers(self) -> AsyncIterator[Any]:
        while (answer := await self.read()) is not END:
            yield answer

    async def _open(self) -> Exchange:
        if self._exchange is None:
            async with self._turn:
                if self._exchange is None:
                    await self._really_open()
        assert self._exchange is not None
        return self._exchange

    async def _really_open(self) -> None:
        opening = self._opening
        connection = opening.line.now() or await self._in_time(self._connection())
        if self._gone is not None:
            raise failure(self._gone)
        left_s = float("inf") if opening.due_at is None else opening.due_at - asyncio.get_running_loop().time()
        headers = request_headers(opening.method, opening.line.endpoint, opening.metadata, left_s)
        if self._request is None:
            self._exchange = connection.open(headers)
            return
        body = opening.serialize(self._request)
        connection.hold()
        try:
            exchange = self._exchange = connection.open(headers)
            has_left = exchange.send_now(body)
            if has_left:
                exchange.said_all()
        finally:
            connection.release()
        if not has_left:
            await self._in_time(exchange.send(body))
            exchange.said_all()

    async def _connection(self) -> Connection:
        if self._opening.wait_for_ready:
            await self._opening.line.channel_ready()
        return await self._opening.line.connection()

    async def _ending(self, exchange: Exchange) -> Ending:
        while await self._in_time(exchange.receive()) is not None:
            pass
        assert exchange.ending is not None, "only the ending stops the answers"
        return exchange.ending

    async def _in_time(self, step: Awaitable[Any]) -> Any:
        if self._opening.due_at is None:
            return await step
        try:
            async with asyncio.timeout_at(self._opening.due_at):
                return await step
        except TimeoutError:
            self._abandon(_LATE)
            raise failure(_LATE) from None

    def _abandon(self, ending: Ending) -> None:
        self._gone = ending
        if self._exchange is not None:
            self._exchange.abandon(ending)


async def unary(opening: Opening, request: Any) -> Any:
    """Make a call of one request and one answer.

    Raises:
        AioRpcError: it failed, or ended without an answer.
    """
    call = Call(opening, request)
    try:
        answer = await call.read()
        if answer is END:
            raise failure(Ending(grpc.StatusCode.INTERNAL, "the call ended without an answer"))
        ending = await call.code()
    finally:
        call.cancel()
    if ending is not grpc.StatusCode.OK:
        raise failure(Ending(ending, "the call failed after its answer"))
    return answer


def _judge(ending: Ending) -> None:
    if not ending.is_good:
        raise failure(ending)


def failure(ending: Ending) -> aio.AioRpcError:
    """Make gRPC's own error of an ending."""
    metadata = aio.Metadata(*ending.metadata)
    return aio.AioRpcError(ending.code, aio.Metadata(), metadata, details=ending.details, debug_error_string="")
