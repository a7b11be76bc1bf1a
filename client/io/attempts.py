"""How an attempt is made: a command or a read over a session, a command or a read by itself."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from grpc import aio

from client.call import Send
from client.io.dialler import Dialler
from client.io.outcome import judged
from client.io.session import Outcome, Session
from core.errors import NotFoundError, TwinholdError, UnavailableError
from core.names import NodeId
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

Got = TypeVar("Got")
Answered = Callable[[Got], None]
Refused = Callable[[TwinholdError, bool], None]
Endpoints = Callable[[NodeId], str]
ENVELOPE_BYTES = 256
"""About what a command has around its body: names, the request id, the message's type."""


@dataclass(frozen=True, slots=True)
class Part:
    """The whole answer to a query: its parts concatenated, and the position that they reflect."""

    body: bytes
    shard: int
    lsn: int


def packed(message: Message) -> AnyMessage:
    """Put an app's message into an Any, without the copy that ``Pack`` makes."""
    return AnyMessage(type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}", value=message.SerializeToString())


class Sessions:
    """One session per node; a broken one is replaced at the next attempt."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._open: dict[str, Session] = {}

    def to(self, endpoint: str) -> Session:
        """Find or open the session to an endpoint."""
        found = self._open.get(endpoint)
        if found is None or found.over:
            found = self._open[endpoint] = Session(endpoint, self._dialler)
            found.start()
        return found

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(session.close() for session in self._open.values()))


@dataclass(frozen=True, slots=True)
class OverSession:
    """A command over the node's session."""

    tenant: str
    body: AnyMessage
    sessions: Sessions
    endpoints: Endpoints

    def begin(self, send: Send, answered: Answered[pb.CommandAnswer], failed: Refused) -> Callable[[], None]:
        """Send the command."""

        def write(item: pb.SessionCommand) -> None:
            item.wait_ms = _wait_ms(send)
            write_command(item.command, self.tenant, self.body, send)

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, tuple):
                failed(*outcome)
            else:
                answered(outcome.answer)

        return _share(self.sessions, self.endpoints, send.node, write, done, failed, size_bytes=len(self.body.value))


@dataclass(frozen=True, slots=True)
class ByItself:
    """A command as a unary call."""

    tenant: str
    body: AnyMessage
    dialler: Dialler
    endpoints: Endpoints

    def begin(self, send: Send, answered: Answered[pb.CommandAnswer], failed: Refused) -> Callable[[], None]:
        """Send the command."""

        async def call() -> pb.CommandAnswer:
            stub = rpc.CommandServiceStub(self.dialler.channel(self.endpoints(send.node)))
            request = pb.SubmitRequest()
            write_command(request.command, self.tenant, self.body, send)
            response = await stub.Submit(request, metadata=self.dialler.metadata)
            return response.answer

        return _in_task(call(), answered, failed)


@dataclass(frozen=True, slots=True)
class Reading:
    """A read: over the node's session, or as a stream of its own."""

    tenant: str
    body: AnyMessage
    sessions: Sessions
    dialler: Dialler
    endpoints: Endpoints

    def begin(self, send: Send, answered: Answered[Part], failed: Refused) -> Callable[[], None]:
        """Ask."""
        if send.streamed:
            return _in_task(self._stream(send), answered, failed)

        def write(item: pb.SessionCommand) -> None:
            item.wait_ms = _wait_ms(send)
            item.query.tenant = self.tenant
            item.query.body.type_url, item.query.body.value = self.body.type_url, self.body.value

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, tuple):
                failed(*outcome)
            else:
                read = outcome.read
                answered(Part(read.body.value, read.position.shard, read.position.lsn))

        return _share(self.sessions, self.endpoints, send.node, write, done, failed, size_bytes=len(self.body.value))

    async def _stream(self, send: Send) -> Part:
        """Take the parts one by one; concatenated, which for protobuf means that the bytes are, they are the answer."""
        endpoint = self.endpoints(send.node)
        stub = rpc.CommandServiceStub(self.dialler.channel(endpoint))
        stream = stub.Query(pb.QueryRequest(tenant=self.tenant, body=self.body), metadata=self.dialler.metadata)
        parts: list[bytes] = []
        async for response in stream:
            parts.append(response.body.value)
            if response.last:
                return Part(b"".join(parts), response.position.shard, response.position.lsn)
        raise UnavailableError(f"{endpoint} ended a query before its last part")


def write_command(message: pb.Command, tenant: str, body: AnyMessage, send: Send) -> None:
    """Write the command of one attempt."""
    message.tenant, message.request_id, message.epoch = tenant, send.request_id, send.epoch
    message.body.type_url, message.body.value = body.type_url, body.value


def _wait_ms(send: Send) -> int:
    return max(1, round(send.wait_s * 1000))


def _share(
    sessions: Sessions,
    endpoints: Endpoints,
    node: NodeId,
    write: Callable[[pb.SessionCommand], None],
    done: Callable[[Outcome], None],
    failed: Refused,
    *,
    size_bytes: int,
) -> Callable[[], None]:
    """Make an attempt over a node's session; returns how to abandon it."""
    try:
        session = sessions.to(endpoints(node))
    except NotFoundError as error:
        return _refuse(error, failed)
    ticket = session.send(write, done, size_bytes=size_bytes + ENVELOPE_BYTES)
    return lambda: session.abandon(ticket)


def _refuse(error: TwinholdError, failed: Refused) -> Callable[[], None]:
    """Fail an attempt that could not even begin; it certainly had no effect."""
    handle = asyncio.get_running_loop().call_soon(failed, UnavailableError(error.message), True)
    return handle.cancel


def _in_task(work: Coroutine[None, None, Got], answered: Answered[Got], failed: Refused) -> Callable[[], None]:
    """Run an attempt as a task of its own; abandoning cancels it."""
    task = asyncio.create_task(work)

    def ended(task: asyncio.Task[Got]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        match error:
            case None:
                answered(task.result())
            case aio.AioRpcError():
                failed(*judged(error))
            case NotFoundError():
                failed(UnavailableError(error.message), True)
            case TwinholdError():
                failed(error, False)
            case _:
                raise error

    task.add_done_callback(ended)
    return lambda: _drop(task, ended)


def _drop(task: "asyncio.Task[Got]", ended: "Callable[[asyncio.Task[Got]], None]") -> None:
    task.remove_done_callback(ended)
    task.cancel()
