"""How an attempt is made: a command or a read over a session, a command or a read by itself."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import NamedTuple, TypeVar

from google.protobuf.message import Message
from grpc import aio

from client.call import Send
from client.io.dialler import Dialler
from client.io.outcome import judged
from client.io.running import Hearer
from client.io.session import Outcome, Session
from core.errors import NotFoundError, TwinholdError, UnavailableError
from core.names import NodeId
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

Got = TypeVar("Got")
Endpoints = Callable[[NodeId], str]
ENVELOPE_BYTES = 256
"""About what a command has around its body: names, the request id, the message's type."""


class Body(NamedTuple):
    """An app's message, as an Any has it."""

    type_url: str
    value: bytes


class Part(NamedTuple):
    """The whole answer to a query: its parts concatenated, and the position that they reflect."""

    body: bytes
    shard: int
    lsn: int


def packed(message: Message) -> Body:
    """Write an app's message."""
    return Body(f"type.googleapis.com/{message.DESCRIPTOR.full_name}", message.SerializeToString())


class Sessions:
    """One session per node; a broken one is replaced at the next attempt."""

    def __init__(self, dialler: Dialler, endpoints: Endpoints) -> None:
        self._dialler = dialler
        self._endpoints = endpoints
        self._open: dict[NodeId, Session] = {}

    def to(self, node: NodeId) -> Session:
        """Find or open the session to a node; raises NotFoundError for one that the map does not describe."""
        found = self._open.get(node)
        if found is None or found.over:
            found = self._open[node] = Session(self._endpoints(node), self._dialler)
            found.start()
        return found

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(session.close() for session in self._open.values()))


class OverSession(NamedTuple):
    """A command over the node's session."""

    tenant: str
    body: Body
    sessions: Sessions

    def begin(self, send: Send, hearer: Hearer[pb.CommandAnswer]) -> Callable[[], None]:
        """Send the command."""

        def write(item: pb.SessionCommand) -> None:
            item.wait_ms = int(send.wait_s * 1000) or 1
            write_command(item.command, self.tenant, self.body, send)

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, tuple):
                hearer.failed(send.attempt, *outcome)
            else:
                hearer.answered(send.attempt, outcome.answer)

        return _share(self.sessions, send, write, done, hearer, size_bytes=len(self.body.value))


class ByItself(NamedTuple):
    """A command as a unary call."""

    tenant: str
    body: Body
    dialler: Dialler
    endpoints: Endpoints

    def begin(self, send: Send, hearer: Hearer[pb.CommandAnswer]) -> Callable[[], None]:
        """Send the command."""

        async def call() -> pb.CommandAnswer:
            stub = rpc.CommandServiceStub(self.dialler.channel(self.endpoints(send.node)))
            request = pb.SubmitRequest()
            write_command(request.command, self.tenant, self.body, send)
            response = await stub.Submit(request, metadata=self.dialler.metadata)
            return response.answer

        return _in_task(call(), send.attempt, hearer)


class Reading(NamedTuple):
    """A read: over the node's session, or as a stream of its own."""

    tenant: str
    body: Body
    sessions: Sessions
    dialler: Dialler
    endpoints: Endpoints

    def begin(self, send: Send, hearer: Hearer[Part]) -> Callable[[], None]:
        """Ask."""
        if send.streamed:
            return _in_task(self._stream(send), send.attempt, hearer)

        def write(item: pb.SessionCommand) -> None:
            item.wait_ms = int(send.wait_s * 1000) or 1
            query = item.query
            query.tenant = self.tenant
            query.body.type_url, query.body.value = self.body

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, tuple):
                hearer.failed(send.attempt, *outcome)
            else:
                read = outcome.read
                hearer.answered(send.attempt, Part(read.body.value, read.position.shard, read.position.lsn))

        return _share(self.sessions, send, write, done, hearer, size_bytes=len(self.body.value))

    async def _stream(self, send: Send) -> Part:
        """Take the parts one by one; concatenated, which for protobuf means that the bytes are, they are the answer."""
        endpoint = self.endpoints(send.node)
        stub = rpc.CommandServiceStub(self.dialler.channel(endpoint))
        request = pb.QueryRequest(tenant=self.tenant)
        request.body.type_url, request.body.value = self.body
        stream = stub.Query(request, metadata=self.dialler.metadata)
        parts: list[bytes] = []
        async for response in stream:
            parts.append(response.body.value)
            if response.last:
                return Part(b"".join(parts), response.position.shard, response.position.lsn)
        raise UnavailableError(f"{endpoint} ended a query before its last part")


def write_command(message: pb.Command, tenant: str, body: Body, send: Send) -> None:
    """Write the command of one attempt."""
    message.tenant, message.request_id, message.epoch = tenant, send.request_id, send.epoch
    packed_body = message.body
    packed_body.type_url, packed_body.value = body


def _share(
    sessions: Sessions,
    send: Send,
    write: Callable[[pb.SessionCommand], None],
    done: Callable[[Outcome], None],
    hearer: Hearer[Got],
    *,
    size_bytes: int,
) -> Callable[[], None]:
    """Make an attempt over a node's session; returns how to abandon it."""
    try:
        session = sessions.to(send.node)
    except NotFoundError as error:
        # It could not even begin, so it certainly had no effect.
        refused = UnavailableError(error.message)
        return asyncio.get_running_loop().call_soon(hearer.failed, send.attempt, refused, True).cancel
    return partial(session.abandon, session.send(write, done, size_bytes=size_bytes + ENVELOPE_BYTES))


def _in_task(work: Coroutine[None, None, Got], attempt: int, hearer: Hearer[Got]) -> Callable[[], None]:
    """Run an attempt as a task of its own; abandoning cancels it."""
    task = asyncio.create_task(work)

    def ended(task: asyncio.Task[Got]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        match error:
            case None:
                hearer.answered(attempt, task.result())
            case aio.AioRpcError():
                hearer.failed(attempt, *judged(error))
            case NotFoundError():
                hearer.failed(attempt, UnavailableError(error.message), True)
            case TwinholdError():
                hearer.failed(attempt, error, False)
            case _:
                raise error

    task.add_done_callback(ended)
    return lambda: _drop(task, ended)


def _drop(task: "asyncio.Task[Got]", ended: "Callable[[asyncio.Task[Got]], None]") -> None:
    task.remove_done_callback(ended)
    task.cancel()
