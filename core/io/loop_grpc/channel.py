"""The calling end: a channel with one connection, made when it is needed and made anew when it is lost."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeAlias

import grpc
from grpc import aio

from core.io.loop_grpc.call import Call, Opening, failure, unary
from core.io.loop_grpc.connection import LOOKS, Connection
from core.io.loop_grpc.headers import Ending

CONNECT_S = 2.0
"""To a process on the same machine; distance is added by those who call."""
REFUSED_S = 0.05
"""After a connection that failed, calls fail the same way for so long without a new attempt: retries come in crowds."""
AGAIN_S = (0.05, 0.5)
"""Between attempts of ``channel_ready``: the first pause, and the longest."""

Serializer: TypeAlias = "Callable[[Any], bytes] | None"
"""As in gRPC's own interface, where None passes bytes through; messages have no common type there, hence every Any."""
Deserializer: TypeAlias = "Callable[[bytes], Any] | None"


class LoopChannel:
    """What generated stubs need of a channel; other methods of grpc.aio's Channel are not there.

    Args:
        endpoint: ``host:port``.
        bytes_max: of a message.
    """

    def __init__(self, endpoint: str, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.endpoint = endpoint
        self._host, _, port = endpoint.rpartition(":")
        self._port = int(port)
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._refused: tuple[float, str] = (0.0, "")
        """Until when calls fail at once, and what they are told."""
        self._is_closed = False

    async def __aenter__(self) -> "LoopChannel":
        """Return itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.close()

    async def connection(self) -> Connection:
        """Return the connection, made anew if need be.

        Raises:
            AioRpcError: nobody answers there, or the channel is closed.
        """
        found = self.now()
        if found is not None:
            return found
        if self._is_closed:
            raise _unavailable("the channel is closed")
        if asyncio.get_running_loop().time() < self._refused[0]:
            raise _unavailable(self._refused[1])
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._connected)
        try:
            return await asyncio.shield(self._connecting)
        except (OSError, TimeoutError) as cause:
            told = f"failed to connect to {self.endpoint}: {str(cause) or 'no word in time'}"
            self._refused = (asyncio.get_running_loop().time() + REFUSED_S, told)
            raise _unavailable(told) from cause

    def now(self) -> Connection | None:
        """Return the connection if it stands."""
        found = self._connection
        return None if found is None or found.is_leaving else found

    async def channel_ready(self) -> None:
        """Wait until the peer has answered."""
        pause_s, longest_s = AGAIN_S
        while True:
            try:
                await self.connection()
            except aio.AioRpcError:
                if self._is_closed:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(longest_s, 2 * pause_s)
            else:
                return

    async def close(self, grace: float | None = None) -> None:
        """Close; calls in flight are lost."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    def unary_unary(
        self, method: str, request_serializer: Serializer, response_deserializer: Deserializer, **_: bool
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Make a method of one request and one answer."""
        return partial(self._unary, method, request_serializer or bytes, response_deserializer or bytes)

    def stream_stream(
        self, method: str, request_serializer: Serializer, response_deserializer: Deserializer, **_: bool
    ) -> Callable[..., Call]:
        """Make a method of many answers; its calls are made with the one request, or with None and then write."""
        return partial(self._streaming, method, request_serializer or bytes, response_deserializer or bytes)

    unary_stream = stream_stream

    def _unary(
        self, method: str, serialize: Callable[[Any], bytes], parse: Callable[[bytes], Any], request: Any, **how: Any
    ) -> Coroutine[Any, Any, Any]:
        return unary(self._opening(method, serialize, parse, **how), request)

    def _streaming(
        self,
        method: str,
        serialize: Callable[[Any], bytes],
        parse: Callable[[bytes], Any],
        request: Any = None,
        **how: Any,
    ) -> Call:
        return Call(self._opening(method, serialize, parse, **how), request)

    def _opening(
        self,
        method: str,
        serialize: Callable[[Any], bytes],
        parse: Callable[[bytes], Any],
        *,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        wait_for_ready: bool | None = None,
    ) -> Opening:
        due_at = None if timeout is None else asyncio.get_running_loop().time() + timeout
        return Opening(self, method, serialize, parse, metadata or (), bool(wait_for_ready), due_at)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            _, connection = await loop.create_connection(
                lambda: Connection(self._bytes_max, None, self._lost, LOOKS), self._host, self._port
            )
            try:
                await connection.ready
            except BaseException:
                connection.close()
                raise
        return connection

    def _connected(self, connecting: "asyncio.Task[Connection]") -> None:
        self._connecting = None
        if connecting.cancelled() or connecting.exception() is not None:
            return
        self._connection = connecting.result()
        if self._is_closed:
            self._connection.close()

    def _lost(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None


def _unavailable(details: str) -> aio.AioRpcError:
    return failure(Ending(grpc.StatusCode.UNAVAILABLE, details))
