"""How an attempt is made: a command over a session, a command by itself, a query."""

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

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, tuple):
                failed(*outcome)
            else:
                answered(outcome)

        try:
            session = self.sessions.to(self.endpoints(send.node))
        except NotFoundError as error:
            return _refuse(error, failed)
        ticket = session.submit(command_of(self.tenant, self.body, send), done)
        return lambda: session.abandon(ticket)


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
            request = pb.SubmitRequest(command=command_of(self.tenant, self.body, send))
            response = await stub.Submit(request, metadata=self.dialler.metadata)
            return response.answer

        return _in_task(call(), answered, failed)


@dataclass(frozen=True, slots=True)
class Reading:
    """A query; its answer's parts are concatenated, which for protobuf means: the bytes are."""

    tenant: str
    body: AnyMessage
    dialler: Dialler
    endpoints: Endpoints

    def begin(self, send: Send, answered: Answered[Part], failed: Refused) -> Callable[[], None]:
        """Ask."""
        return _in_task(self._read(send), answered, failed)

    async def _read(self, send: Send) -> Part:
        endpoint = self.endpoints(send.node)
        stub = rpc.CommandServiceStub(self.dialler.channel(endpoint))
        stream = stub.Query(pb.QueryRequest(tenant=self.tenant, body=self.body), metadata=self.dialler.metadata)
        parts: list[bytes] = []
        async for response in stream:
            parts.append(response.body.value)
            if response.last:
                return Part(b"".join(parts), response.position.shard, response.position.lsn)
        raise UnavailableError(f"{endpoint} ended a query before its last part")


def command_of(tenant: str, body: AnyMessage, send: Send) -> pb.Command:
    """Build the command of one attempt."""
    return pb.Command(tenant=tenant, body=body, request_id=send.request_id, epoch=send.epoch)


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
