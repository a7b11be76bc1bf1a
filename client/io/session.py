"""Many commands over one stream to one node: batched on the way out, answered in any order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

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

Outcome: TypeAlias = "pb.CommandAnswer | tuple[TwinholdError, bool]"
"""An answer; or an error, and whether the command certainly had no effect."""
Done: TypeAlias = Callable[[Outcome], None]


class Session:
    """One stream; when it breaks, everything in flight is unknown and the session is over."""

    def __init__(self, endpoint: str, dialler: Dialler) -> None:
        self.over = False
        self._endpoint = endpoint
        self._dialler = dialler
        self._ticket = 0
        self._waiting: dict[int, Done | None] = {}
        """By ticket, everything sent and not answered; None: nobody waits for it any more."""
        self._queue: deque[tuple[int, pb.Command, Done]] = deque()
        self._more = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the stream."""
        self._reader = asyncio.create_task(self._run())

    def submit(self, command: pb.Command, done: Done) -> int:
        """Send a command; ``done`` is called once, never before this returns. Returns the ticket."""
        self._ticket += 1
        if len(self._queue) >= QUEUE_MAX:
            error = OverloadedError(f"{QUEUE_MAX} commands wait for {self._endpoint}", retry_after_s=CALM_S)
            asyncio.get_running_loop().call_soon(done, (error, True))
        else:
            self._queue.append((self._ticket, command, done))
            self._more.set()
        return self._ticket

    def abandon(self, ticket: int) -> None:
        """Stop waiting for an answer."""
        if ticket in self._waiting:
            self._waiting[ticket] = None
        else:
            self._queue = deque(item for item in self._queue if item[0] != ticket)

    async def close(self) -> None:
        """End the stream; whoever still waits is told that the outcome is unknown."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _run(self) -> None:
        stub = rpc.CommandServiceStub(self._dialler.channel(self._endpoint))
        stream = stub.Session(metadata=self._dialler.metadata)  # type: ignore[call-arg]  # None: we write ourselves
        writer = asyncio.create_task(self._write(stream))
        try:
            while isinstance(response := await stream.read(), pb.SessionResponse):
                self._answered(response)
            await stream.code()
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

    async def _write(self, stream: "aio.StreamStreamCall[pb.SessionRequest, pb.SessionResponse]") -> None:
        while True:
            await self._more.wait()
            commands = self._batch()
            if not commands:
                self._more.clear()
                continue
            try:
                await stream.write(pb.SessionRequest(commands=commands))
            except (aio.AioRpcError, asyncio.InvalidStateError):
                return  # the reader sees why

    def _batch(self) -> list[pb.SessionCommand]:
        size = min(len(self._queue), BATCH_MAX, IN_FLIGHT_MAX - len(self._waiting))
        commands: list[pb.SessionCommand] = []
        room = MESSAGE_BYTES_MAX
        while len(commands) < size and room > 0:
            ticket, command, done = self._queue.popleft()
            self._waiting[ticket] = done
            commands.append(pb.SessionCommand(ticket=ticket, command=command))
            room -= command.ByteSize()
        return commands

    def _answered(self, response: pb.SessionResponse) -> None:
        for result in response.results:
            done = self._waiting.pop(result.ticket, None)
            if done is not None:
                done(_outcome(result.result))
        if self._queue:
            self._more.set()

    def _broken(self, cause: TwinholdError, *, unsent: bool) -> None:
        self.over = True
        sent, queued = list(self._waiting.values()), list(self._queue)
        self._waiting.clear()
        self._queue.clear()
        for done in sent:
            if done is not None:
                done((cause, unsent))
        for _, _, done in queued:
            done((cause, True))


def _outcome(result: pb.CommandResult) -> Outcome:
    if result.HasField("answer"):
        return result.answer
    error = error_of_command(result.error)
    return error, without_effect(error)
