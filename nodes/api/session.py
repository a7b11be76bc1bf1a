"""One session: many commands and reads in flight on one stream, their answers written in batches.

This is the hot path: a command or a read costs no task, no future, no timer and no message of its own. A message is
taken in the turn in which it arrives; a read that nothing is in the way of is answered in that turn.
"""

import asyncio
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

    def hear(self, take: Callable[[pb.SessionRequest], None]) -> Awaitable[None]:
        """Hand every message to ``take`` when it arrives, until no more will come, or ``take`` raises."""
        ...

    def write_now(self, message: pb.SessionResponse) -> bool:
        """Send a message if it can leave at once; says whether it did."""
        ...

    def write(self, message: pb.SessionResponse) -> Awaitable[None]:
        """Send a message; one at a time."""
        ...


class _FullError(Exception):
    """As much is in flight as may be: no more is heard for now."""


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
        self._loop = loop = asyncio.get_running_loop()
        self._outflow = Outflow(
            write_now=stream.write_now,
            write=stream.write,
            written=self._written,
            now=loop.time,
            soon=loop.call_soon,
            later=loop.call_later,
        )
        self._errands = Errands(leave=door.leave, answered=self._answered)
        self._timer: asyncio.TimerHandle | None = None
        """For the first deadline, or for one that was met meanwhile: to move it with every answer would cost more."""
        self._timer_at = NEVER

    async def run(self) -> None:
        """Serve until the caller stops sending and everything is answered.

        Raises:
            MalformedError: a message holds too many commands.
        """
        writer = asyncio.ensure_future(self._outflow.run())
        writer.add_done_callback(lambda _: self._room.set())
        try:
            while not await self._hears_all():
                await self._below(IN_FLIGHT_MAX, writer)
            await self._below(1, writer)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _hears_all(self) -> bool:
        try:
            await self._stream.hear(self._take)
        except _FullError:
            return False
        return True

    def _take(self, request: pb.SessionRequest) -> None:
        items = request.commands
        count = len(items)
        if count > MESSAGE_ITEMS_MAX:
            raise MalformedError("session message", f"of {count} commands", expected=f"at most {MESSAGE_ITEMS_MAX}")
        self._in_flight += count
        now = self._loop.time()
        for item in items:
            try:
                if item.HasField("query"):
                    self._take_read(item, now)
                else:
                    self._take_command(item, now)
            except TwinholdError as error:
                self._put(item.ticket, error)
        self._outflow.leave()
        if self._in_flight >= IN_FLIGHT_MAX:
            raise _FullError

    def _take_read(self, item: pb.SessionCommand, now: float) -> None:
        if item.HasField("command"):
            raise MalformedError("session command", item.ticket, expected="a command or a query, not both")
        query = item.query
        if self._door.reads_straight():
            body = query.body
            found = self._served.read(query.tenant, body.type_url, body.value, self._actor)
            if found is not None:
                self._put(item.ticket, found)
                return
        errand = Errand(item.ticket, Work.QUERY, now + patience_s(item.wait_ms), self._errands)
        run = asking(self._served, query, self._actor, errand.done)
        self._wait_for_turn(query.tenant, errand, run, len(query.body.value))

    def _take_command(self, item: pb.SessionCommand, now: float) -> None:
        submitted = self._intake.submitted(item.command, self._actor)
        tenant, size_bytes = submitted.tenant, len(submitted.body)
        errand = Errand(item.ticket, Work.COMMAND, now + patience_s(item.wait_ms), self._errands)
        if self._door.enters_straight(tenant, size_bytes=size_bytes):
            self._owe(errand)
            errand.begun = True
            self._served.submit(submitted, errand.done)
        else:
            self._wait_for_turn(tenant, errand, partial(self._served.submit, submitted, errand.done), size_bytes)

    def _wait_for_turn(self, tenant: str, errand: Errand, run: Callable[[], None], size_bytes: int) -> None:
        visitor = Visitor(errand.work, partial(errand.begin, run), errand.done)
        self._door.enter(tenant, visitor, size_bytes=size_bytes)
        self._owe(errand)

    def _owe(self, errand: Errand) -> None:
        self._errands.open.add(errand)
        if errand.until < self._timer_at:
            self._wake_at(errand.until)

    def _answered(self, ticket: int, result: Result) -> None:
        self._put(ticket, result)
        self._outflow.leave_soon()

    def _put(self, ticket: int, result: Result) -> None:
        if isinstance(result, Answered):
            write_answer(self._outflow.result(ticket, size_bytes=len(result.body)).result.answer, result)
        elif isinstance(result, QueryAnswer):
            self._put_read(ticket, result)
        else:
            error = command_error(self._intake.pointed(result))
            self._outflow.result(ticket, size_bytes=len(error.message)).result.error.CopyFrom(error)

    def _put_read(self, ticket: int, answer: QueryAnswer) -> None:
        try:
            type_url, body = only_part(answer, limit_bytes=READ_BYTES_MAX)
            size_bytes = len(body)
            if self._outflow.waiting_bytes + size_bytes > WAITING_BYTES_MAX:
                raise OverloadedError("the answers of this session are not taken", retry_after_s=OVERLOADED_RETRY_S)
        except TwinholdError as error:
            self._put(ticket, error)
        else:
            read = self._outflow.result(ticket, size_bytes=size_bytes).result.read
            write_read(read, answer, type_url=type_url, body=body)

    def _written(self, count: int) -> None:
        self._in_flight -= count
        self._room.set()

    async def _below(self, limit: int, writer: "asyncio.Future[None]") -> None:
        while self._in_flight >= limit and not writer.done():
            self._room.clear()
            await self._room.wait()

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = None if when == NEVER else self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._wake_at(self._errands.wake(self._loop.time() + EARLY_S))
