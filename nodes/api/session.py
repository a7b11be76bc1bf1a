"""One session: many commands in flight on one stream, their answers written in batches, one write per turn.

This is the hot path: a command costs no task, no future and no message of its own.
"""

import asyncio
from functools import partial

from core.errors import MalformedError, TwinholdError
from core.io.serve import Context
from core.wire import command_error
from nodes.api.answers import write_answer
from nodes.api.intake import Intake
from nodes.door import Door, Visitor
from nodes.driver import NodeDriver
from nodes.shedding import Work
from nodes.views import Outcome
from twinhold.v1 import command_service_pb2 as pb

MESSAGE_COMMANDS_MAX = 256
IN_FLIGHT_MAX = 1024
PACE_S = 0.001
"""Between two writes: what is ready first goes at once, what follows closely goes together."""


class Session:
    """The commands in flight of one stream, and the answers that wait to be written.

    Args:
        context: the stream.
        actor: who calls, as the transport says.
        driver: runs the commands.
        intake: reads them.
        door: lets them in, in fair turns.
    """

    def __init__(self, context: Context, actor: str, *, driver: NodeDriver, intake: Intake, door: Door) -> None:
        self._context = context
        self._actor = actor
        self._driver = driver
        self._intake = intake
        self._door = door
        self._in_flight = 0
        self._ready = pb.SessionResponse()
        self._any_ready = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Serve until the caller stops sending and everything is answered.

        Raises:
            MalformedError: a message holds too many commands.
        """
        writer = asyncio.ensure_future(self._write())
        try:
            while isinstance(request := await self._context.read(), pb.SessionRequest):
                self._take(request)
                await self._below(IN_FLIGHT_MAX)
            await self._below(1)
            await self._flush()
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def _take(self, request: pb.SessionRequest) -> None:
        commands = request.commands
        if len(commands) > MESSAGE_COMMANDS_MAX:
            raise MalformedError(
                "session message", f"of {len(commands)} commands", expected=f"at most {MESSAGE_COMMANDS_MAX}"
            )
        for item in commands:
            ticket = item.ticket
            try:
                submitted = self._intake.submitted(item.command, self._actor)
                done = partial(self._done, ticket)
                visitor = Visitor(Work.COMMAND, partial(self._driver.submit, submitted, done), done)
                self._door.enter(submitted.tenant, visitor, size_bytes=len(submitted.body), stored_bytes=0)
            except TwinholdError as error:
                self._put(ticket, error)
            else:
                self._in_flight += 1

    def _done(self, ticket: int, outcome: Outcome) -> None:
        self._in_flight -= 1
        self._door.leave(Work.COMMAND)
        self._put(ticket, outcome)
        self._room.set()

    def _put(self, ticket: int, outcome: Outcome) -> None:
        result = self._ready.results.add()
        result.ticket = ticket
        if isinstance(outcome, TwinholdError):
            result.result.error.CopyFrom(command_error(self._intake.pointed(outcome)))
        else:
            write_answer(result.result.answer, outcome)
        self._any_ready.set()

    async def _below(self, limit: int) -> None:
        while self._in_flight >= limit:
            self._room.clear()
            await self._room.wait()

    async def _write(self) -> None:
        while True:
            await self._any_ready.wait()
            self._any_ready.clear()
            await self._flush()
            await asyncio.sleep(PACE_S)

    async def _flush(self) -> None:
        ready, self._ready = self._ready, pb.SessionResponse()
        if ready.results:
            await self._context.write(ready)
