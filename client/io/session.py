"""Many commands and reads over one stream to one node: batched on the way out, answered in any order.

Whatever is asked for in one turn of the loop leaves at its end, in one message.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeAlias, cast

from grpc import aio

from client.call import without_effect
from client.io.dialler import Dialler
from client.io.outcome import judged
from core.errors import OverloadedError, TwinholdError, UnavailableError
from core.io.dial import MESSAGE_BYTES_MAX
from core.wire import error_of_command
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

BATCH_MAX = 256
IN_FLIGHT_MAX = 1024
"""The contract's bounds, per message and per stream."""
QUEUE_MAX = 8192
CALM_S = 0.05

Outcome: TypeAlias = "pb.CommandResult | tuple[TwinholdError, bool]"
"""What was answered or read; or an error, and whether the command certainly had no effect."""
Done: TypeAlias = Callable[[Outcome], None]


class _Queued(NamedTuple):
    ticket: int
    size_bytes: int
    write: Callable[[pb.SessionCommand], None]
    done: Done


class _Call(Protocol):
    """The stream, as the loop's own calls have it."""

    def hear(self, take: Callable[[pb.SessionResponse], None]) -> Awaitable[None]:
        """Hand every answer to ``take`` when it arrives; raises AioRpcError when the call fails."""
        ...

    def write_now(self, message: pb.SessionRequest) -> bool:
        """Send a message if it can leave at once; says whether it did."""
        ...

    def write(self, message: pb.SessionRequest) -> Awaitable[None]:
        """Send a message; raises AioRpcError when the call is over."""
        ...

    def cancel(self) -> bool:
        """End the call."""
        ...


class Session:
    """One stream; when it breaks, everything in flight is unknown and the session is over."""

    def __init__(self, endpoint: str, dialler: Dialler) -> None:
        self.over = False
        self._endpoint = endpoint
        self._dialler = dialler
        self._ticket = 0
        self._waiting: dict[int, Done | None] = {}
        """By ticket, everything sent and not answered; None: nobody waits for it any more."""
        self._queue: deque[_Queued] = deque()
        self._loop = asyncio.get_running_loop()
        self._stream: _Call | None = None
        self._called = False
        """``_turn_over`` will be called."""
        self._unsent: pb.SessionRequest | None = None
        """Has to wait for room: ``_write`` sends it, and what is queued meanwhile."""
        self._blocked = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the stream."""
        self._reader = asyncio.create_task(self._run())

    def send(self, write: Callable[[pb.SessionCommand], None], done: Done, *, size_bytes: int) -> int:
        """Send a command or a read.

        Args:
            write: fills it in, in place: building nested messages would copy them.
            done: called once, never before this returns.
            size_bytes: about what it takes in a message.

        Returns:
            The ticket.
        """
        self._ticket += 1
        if len(self._queue) >= QUEUE_MAX:
            error = OverloadedError(f"{QUEUE_MAX} commands wait for {self._endpoint}", retry_after_s=CALM_S)
            self._loop.call_soon(done, (error, True))
        else:
            self._queue.append(_Queued(self._ticket, size_bytes, write, done))
            self._leave_soon()
        return self._ticket

    def abandon(self, ticket: int) -> None:
        """Stop waiting for an answer."""
        if ticket in self._waiting:
            self._waiting[ticket] = None
        else:
            self._queue = deque(item for item in self._queue if item.ticket != ticket)

    async def close(self) -> None:
        """End the stream; whoever still waits is told that the outcome is unknown."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _run(self) -> None:
        stub = rpc.CommandServiceStub(self._dialler.channel(self._endpoint))
        call = stub.Session(metadata=self._dialler.metadata)  # type: ignore[call-arg]  # None: we write ourselves
        stream = self._stream = cast(_Call, call)  # our channels make the loop's own calls, which can do more
        writer = asyncio.create_task(self._write(stream))
        try:
            await stream.hear(self._answered)
            self._broken(UnavailableError(f"{self._endpoint} ended the session"), unsent=False)
        except aio.AioRpcError as error:
            cause, certain = judged(error)
            self._broken(cause, unsent=certain)
        except asyncio.CancelledError:
            self._broken(UnavailableError("the client was closed"), unsent=False)
            raise
        finally:
            writer.cancel()
            stream.cancel()

    async def _write(self, stream: _Call) -> None:
        while True:
            await self._blocked.wait()
            while self._unsent is not None:
                try:
                    await stream.write(self._unsent)
                except (aio.AioRpcError, asyncio.InvalidStateError):
                    return  # the reader sees why
                self._unsent = self._batch()
            self._blocked.clear()

    def _leave_soon(self) -> None:
        if not self._called:
            self._called = True
            self._loop.call_soon(self._turn_over)

    def _turn_over(self) -> None:
        """Send what is queued; what can't leave at once waits for room."""
        self._called = False
        while self._unsent is None and (request := self._batch()) is not None:
            if self._stream is None or not self._stream.write_now(request):
                self._unsent = request
                self._blocked.set()

    def _batch(self) -> pb.SessionRequest | None:
        """Take what fits a message out of the queue; None: nothing, or as much is in flight as may be."""
        count, room = min(len(self._queue), BATCH_MAX, IN_FLIGHT_MAX - len(self._waiting)), MESSAGE_BYTES_MAX
        if count <= 0:
            return None
        request = pb.SessionRequest()
        while count > 0 and room > 0:
            queued = self._queue.popleft()
            self._waiting[queued.ticket] = queued.done
            item = request.commands.add()
            item.ticket = queued.ticket
            queued.write(item)
            count, room = count - 1, room - queued.size_bytes
        return request

    def _answered(self, response: pb.SessionResponse) -> None:
        for result in response.results:
            done = self._waiting.pop(result.ticket, None)
            if done is not None:
                done(_outcome(result.result))
        if self._queue:
            self._leave_soon()

    def _broken(self, cause: TwinholdError, *, unsent: bool) -> None:
        self.over = True
        sent, queued = list(self._waiting.values()), list(self._queue)
        self._waiting.clear()
        self._queue.clear()
        for done in sent:
            if done is not None:
                done((cause, unsent))
        for item in queued:
            item.done((cause, True))


def _outcome(result: pb.CommandResult) -> Outcome:
    if not result.HasField("error"):
        return result
    error = error_of_command(result.error)
    return error, without_effect(error)
