"""The answering end: serves ordinary grpc.aio handlers on connections of its own."""

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeAlias, cast

import grpc

from core.errors import UnavailableError
from core.io.json_log import warn
from core.io.loop_grpc.connection import LOOKS, Connection
from core.io.loop_grpc.exchange import Exchange
from core.io.loop_grpc.headers import (
    END,
    GOOD,
    Ending,
    Headers,
    Metadata,
    metadata_of,
    response_headers,
    timeout_of,
)

# Messages have no common type in gRPC's interface: everything with Any below is the shape that grpc.aio itself passes.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Gate: TypeAlias = Callable[[str, Handler], Handler]
"""Puts the gate before a method."""


class _Details(NamedTuple):
    """What a handler is found by."""

    method: str
    invocation_metadata: Metadata


class LoopServer:
    """A server on one address.

    Args:
        gate: put before every method.
        bytes_max: of a message.
    """

    def __init__(self, gate: Gate, bytes_max: int) -> None:
        self._gate = gate
        self._bytes_max = bytes_max
        self._generic: list[grpc.GenericRpcHandler[Any, Any]] = []
        self._found: dict[str, Handler] = {}
        self._connections: set[Connection] = set()
        self._calls: dict[Exchange, asyncio.Task[None]] = {}
        self._listening: asyncio.Server | None = None

    def add_generic_rpc_handlers(self, handlers: "Iterable[grpc.GenericRpcHandler[Any, Any]]") -> None:
        """Add services, as to a server of grpc.aio."""
        self._generic.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Do nothing: generated code calls it beside ``add_generic_rpc_handlers``, for servers that look up faster."""

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            UnavailableError: the port is in use.
        """
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(self._connection, host, port, backlog=1024)
        except OSError as cause:
            raise UnavailableError(
                f"{host}:{port} is in use: end the process that listens there, or choose another address base",
                endpoint=f"{host}:{port}",
            ) from cause

    async def stop(self, grace_s: float) -> None:
        """Admit no more calls, let those in flight end for at most ``grace_s``, close."""
        if self._listening is not None:
            self._listening.close()
        for connection in self._connections:
            connection.leave()
        if self._calls:
            await asyncio.wait(self._calls.values(), timeout=grace_s)
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()

    def _connection(self) -> Connection:
        connection = Connection(self._bytes_max, self._opened, self._connections.discard, LOOKS)
        self._connections.add(connection)
        return connection

    def _opened(self, exchange: Exchange, headers: Headers) -> None:
        task = asyncio.ensure_future(self._serve(exchange, headers))
        self._calls[exchange] = task
        exchange.on_over = lambda: self._over(exchange)
        task.add_done_callback(lambda _: self._calls.pop(exchange, None))

    def _over(self, exchange: Exchange) -> None:
        task = self._calls.get(exchange)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _serve(self, exchange: Exchange, headers: Headers) -> None:
        told = dict(headers)
        context = LoopContext(exchange, metadata_of(headers))
        deadline: asyncio.Timeout | None = None
        try:
            handler = self._handler(told.get(":path", ""), context)
            async with asyncio.timeout(timeout_of(headers)) as deadline:
                await _handled(handler, context)
            exchange.conclude(GOOD)
        except _AbortError as abort:
            exchange.conclude(abort.ending)
        except asyncio.CancelledError:
            exchange.conclude(Ending(grpc.StatusCode.UNAVAILABLE, "the server is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - a failing method must not end the server; the log has the trace
            if deadline is not None and deadline.expired():
                exchange.conclude(Ending(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"))
                return
            warn("call.failed", method=told.get(":path", ""), trace="".join(traceback.format_exception(error)))
            exchange.conclude(Ending(grpc.StatusCode.UNKNOWN, f"{type(error).__name__} in the server; see its log"))

    def _handler(self, path: str, context: "LoopContext") -> Handler:
        if path not in self._found:
            details = _Details(path, context.invocation_metadata())
            bare = next(
                (
                    found
                    for one in self._generic
                    if (found := one.service(cast(grpc.HandlerCallDetails, details))) is not None
                ),
                None,
            )
            if bare is None:
                raise _AbortError(Ending(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {path!r}"))
            self._found[path] = self._gate(path, bare)
        return self._found[path]


class _AbortError(Exception):
    """A method ended its call with a status."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.details)
        self.ending = ending


class LoopContext:
    """A call as its handler sees it; what handlers use of grpc.aio's ServicerContext.

    Args:
        exchange: the call.
        metadata: that it came with.
    """

    def __init__(self, exchange: Exchange, metadata: Metadata) -> None:
        self.parse: Callable[[bytes], Any] = bytes
        self.serialize: Callable[[Any], bytes] = bytes
        self._exchange = exchange
        self._metadata = metadata

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the requests."""
        return self

    async def __anext__(self) -> Any:
        """Wait for a request."""
        request = await self.read()
        if request is END:
            raise StopAsyncIteration
        return request

    def invocation_metadata(self) -> Metadata:
        """Return what the caller put in."""
        return self._metadata

    async def read(self) -> Any:
        """Wait for a request; grpc.END after the last one."""
        body = await self._exchange.receive()
        return END if body is None else self.parse(body)

    async def hear(self, take: Callable[[Any], None]) -> None:
        """Hand every request to ``take`` in the turn in which it arrives, until no more will come.

        Raises:
            Exception: what ``take`` raised.
        """
        await self._exchange.hear(take, self.parse)

    async def write(self, message: Any) -> None:
        """Send an answer."""
        exchange = self._exchange
        if not exchange.said_head:
            exchange.say_head(response_headers(()))
        body = self.serialize(message)
        if not exchange.send_now(body):
            await exchange.send(body)

    async def answer(self, message: Any) -> None:
        """Send the only answer; the call has ended with it if it could leave at once."""
        body = self.serialize(message)
        if not self._exchange.answer_now(body):
            await self._exchange.send(body)

    def write_now(self, message: Any) -> bool:
        """Send an answer, but not the first one, if it can leave at once; False: ``write`` must wait for room."""
        return self._exchange.said_head and self._exchange.send_now(self.serialize(message))

    async def send_initial_metadata(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Begin the answer; does nothing if it has begun."""
        self._exchange.say_head(response_headers(metadata))

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """End the call with a status."""
        raise _AbortError(Ending(code, details, tuple(trailing_metadata)))

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with a rich status."""
        await self.abort(status.code, status.details, status.trailing_metadata)


async def _handled(handler: Any, context: LoopContext) -> None:
    context.parse, context.serialize = handler.request_deserializer or bytes, handler.response_serializer or bytes
    request = context if handler.request_streaming else await context.read()
    if request is END:
        raise _AbortError(Ending(grpc.StatusCode.INVALID_ARGUMENT, "the call ended without a request"))
    if handler.response_streaming:
        method = handler.stream_stream or handler.unary_stream
        if inspect.isasyncgenfunction(method):
            async for answer in method(request, context):
                await context.write(answer)
        else:
            await method(request, context)
    else:
        await context.answer(await (handler.stream_unary or handler.unary_unary)(request, context))
