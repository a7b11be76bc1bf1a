"""One session: many commands and reads in flight on one stream, their answers written in batches.

This is the hot path: a command or a read costs no task, no future, no timer and no message of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from core.errors import MalformedError, OverloadedError, TwinholdError
from core.machine import NEVER
from core.wire import command_error
from nodes.admission import OVERLOADED_RETRY_S
from nodes.api.answers import write_answer, write_read
from nodes.api.intake import Intake, Served, asking
from nodes.api.outflow import WAITING_BYTES_MAX, Outflow
from nodes.door import Door, Visitor
from nodes.errands import (
    IN_FLIGHT_MAX,
    MESSAGE_ITEMS_MAX,
    READ_BYTES_MAX,
    Errand,
    Errands,
    Result,
    only_part,
    patience_s,
)
from nodes.shedding import Work
from nodes.views import Answered, QueryAnswer
from twinhold.v1 import command_service_pb2 as pb

EARLY_S = 0.001
"""The loop rounds its timers to a millisecond; one that rings early must not be set again for nothing."""


class Stream(Protocol):
    """The two directions of a session."""

    def read(self) -> Awaitable[object]:
        """Wait for the next message; something else at the end."""
        ...

    def write(self, message: pb.SessionResponse) -> Awaitable[None]:
        """Send a message; one at a time."""
        ...


class Session:
    """The work in flight of one stream, and its answers.

    Args:
        stream: the stream.
        actor: who calls, as the transport says.
        served: runs the commands and reads.
        intake: reads them.
        door: lets them in, in fair turns.
    """

    def __init__(self, stream: Stream, actor: str, *, served: Served, intake: Intake, door: Door) -> None:
        self._stream = stream
        self._actor = actor
        self._served = served
        self._intake = intake
        self._door = door
        self._in_flight = 0
        """Taken and not answered yet, or answered and not written."""
        self._room = asyncio.Event()
        self._outflow = Outflow(stream.write, self._written, now=time.monotonic, rest=asyncio.sleep)
        self._errands = Errands(leave=door.leave, answered=self._put)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        """For the first deadline, or for one that was met meanwhile: to move it with every answer would cost more."""

    async def run(self) -> None:
        """Serve until the caller stops sending and everything is answered.

        Raises:
            MalformedError: a message holds too many commands.
        """
        writer = asyncio.ensure_future(self._outflow.run())
        writer.add_done_callback(lambda _: self._room.set())
        try:
            while isinstance(request := await self._stream.read(), pb.SessionRequest):
                self._take(request)
                await self._below(IN_FLIGHT_MAX, writer)
            await self._below(1, writer)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def _take(self, request: pb.SessionRequest) -> None:
        items = request.commands
        if len(items) > MESSAGE_ITEMS_MAX:
            raise MalformedError(
                "session message", f"of {len(items)} commands", expected=f"at most {MESSAGE_ITEMS_MAX}"
            )
        now, first = self._loop.time(), NEVER
        for item in items:
            until = now + patience_s(item.wait_ms)
            first = min(first, until)
            self._in_flight += 1
            try:
                self._enter(item, until)
            except TwinholdError as error:
                self._put(item.ticket, error)
        self._wake_at(first)

    def _enter(self, item: pb.SessionCommand, until: float) -> None:
        if item.HasField("query"):
            if item.HasField("command"):
                raise MalformedError("session command", item.ticket, expected="a command or a query, not both")
            errand = self._errands.fresh(item.ticket, Work.QUERY, until)
            tenant, size_bytes = item.query.tenant, len(item.query.body.value)
            run = asking(self._served, item.query, self._actor, errand.done)
        else:
            submitted = self._intake.submitted(item.command, self._actor)
            errand = self._errands.fresh(item.ticket, Work.COMMAND, until)
            tenant, size_bytes = submitted.tenant, len(submitted.body)
            run = partial(self._served.submit, submitted, errand.done)
        self._let_in(tenant, errand, run, size_bytes)

    def _let_in(self, tenant: str, errand: Errand, run: Callable[[], None], size_bytes: int) -> None:
        visitor = Visitor(errand.work, partial(errand.begin, run), errand.done)
        self._door.enter(tenant, visitor, size_bytes=size_bytes)
        self._errands.add(errand)

    def _put(self, ticket: int, result: Result) -> None:
        if isinstance(result, Answered):
            answer = self._outflow.result(ticket, size_bytes=len(result.body)).result.answer
            write_answer(answer, result)
        elif isinstance(result, QueryAnswer):
            self._put_read(ticket, result)
        else:
            error = command_error(self._intake.pointed(result))
            self._outflow.result(ticket, size_bytes=len(error.message)).result.error.CopyFrom(error)

    def _put_read(self, ticket: int, answer: QueryAnswer) -> None:
        try:
            type_url, body = only_part(answer, limit_bytes=READ_BYTES_MAX)
            if self._outflow.waiting_bytes + len(body) > WAITING_BYTES_MAX:
                raise OverloadedError("the answers of this session are not taken", retry_after_s=OVERLOADED_RETRY_S)
        except TwinholdError as error:
            self._put(ticket, error)
        else:
            read = self._outflow.result(ticket, size_bytes=len(body)).result.read
            write_read(read, answer, type_url=type_url, body=body)

    def _written(self, count: int) -> None:
        self._in_flight -= count
        self._room.set()

    async def _below(self, limit: int, writer: "asyncio.Future[None]") -> None:
        while self._in_flight >= limit and not writer.done():
            self._room.clear()
            await self._room.wait()

    def _wake_at(self, when: float) -> None:
        if when == NEVER or (self._timer is not None and self._timer.when() <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._wake_at(self._errands.wake(self._loop.time() + EARLY_S))
