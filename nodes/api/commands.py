"""CommandService: what tenants use.

A stock client needs reflection only: it reads ``twinhold.v1.CommandService``, packs the app's own message (found by its
full name, e.g. ``twinhold.v1.ChatCommand``, which reflection serves as well) into ``Command.body`` and calls Submit at
the endpoint that ``AssignmentService.Resolve`` names.
"""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar, assert_never, cast

from core.errors import TwinholdError, UnknownOutcomeError
from core.io.serve import Context, principal_of
from core.names import ShardId
from nodes.api.answers import write_answer
from nodes.api.intake import Intake, asking
from nodes.api.session import Session, Stream
from nodes.door import Door, Visitor
from nodes.driver import NodeDriver
from nodes.errands import WAIT_MAX_S
from nodes.shedding import Work
from nodes.subscription import Subscription
from nodes.views import CaughtUpStep, EndedStep, EntryStep, GapStep, Outcome, QueryAnswer, QueryOutcome, Step
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as pb_grpc
from twinhold.v1 import journal_pb2

SERVICE = pb.DESCRIPTOR.services_by_name["CommandService"].full_name
Answer = TypeVar("Answer")


class CommandService(pb_grpc.CommandServiceServicer):
    """Passes calls to the driver and its answers back.

    Args:
        driver: runs them.
        intake: reads them.
        door: lets them in, in fair turns.
        shard_of: finds a tenant's shard in the map.
    """

    def __init__(self, driver: NodeDriver, intake: Intake, door: Door, shard_of: Callable[[str], ShardId]) -> None:
        self._driver = driver
        self._shard_of = shard_of
        self._intake = intake
        self._door = door

    async def Submit(self, request: pb.SubmitRequest, context: Context) -> pb.SubmitResponse:
        """Run one command."""
        submitted = self._intake.submitted(request.command, principal_of(context).name)
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            self._door.leave(Work.COMMAND)
            if not waiting.done():
                waiting.set_result(outcome)

        visitor = Visitor(Work.COMMAND, partial(self._driver.submit, submitted, done), done)
        self._door.enter(submitted.tenant, visitor, size_bytes=len(submitted.body))
        response = pb.SubmitResponse()
        outcome = await _in_time(waiting)
        if isinstance(outcome, TwinholdError):
            raise self._intake.pointed(outcome)
        write_answer(response.answer, outcome)
        return response

    async def Session(self, request_iterator: object, context: Context) -> None:  # type: ignore[override]  # as above
        """Run many commands and small reads."""
        stream = cast(Stream, context)  # every server of ours has the loop's contexts, which can do more than gRPC's
        await Session(
            stream, principal_of(context).name, served=self._driver, intake=self._intake, door=self._door
        ).run()

    async def Query(self, request: pb.QueryRequest, context: Context) -> AsyncIterator[pb.QueryResponse]:
        """Read."""
        answer = await self._asked(request, principal_of(context).name)
        position = pb.Position(shard=answer.shard, lsn=answer.lsn)
        last = len(answer.parts) - 1
        for number, (type_url, body) in enumerate(answer.parts):
            response = pb.QueryResponse(position=position, last=number == last)
            response.body.type_url, response.body.value = type_url, body
            yield response

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.SubscribeResponse]:
        """Follow a tenant's committed entries."""
        after_lsn = request.after_lsn if request.HasField("after_lsn") else None
        shard = self._shard_of(request.tenant)
        more = asyncio.Event()
        self._door.subscribe(request.tenant)
        try:
            subscription = self._subscribed_to(request.tenant, after_lsn, more.set)
            try:
                while True:
                    more.clear()
                    while steps := subscription.take():
                        for step in steps:
                            yield self._subscribed(shard, step)
                    await more.wait()
            finally:
                subscription.close()
        finally:
            self._door.unsubscribe(request.tenant)

    def _subscribed_to(self, tenant: str, after_lsn: int | None, wake: Callable[[], None]) -> Subscription:
        try:
            return self._driver.subscribe(tenant, after_lsn, wake)
        except TwinholdError as error:
            raise self._intake.pointed(error) from error

    def _subscribed(self, shard: ShardId, step: Step) -> pb.SubscribeResponse:
        match step:
            case EntryStep(lsn, body):
                return pb.SubscribeResponse(entry=self._entry(shard, lsn, body))
            case CaughtUpStep(lsn):
                return pb.SubscribeResponse(caught_up=pb.Position(shard=shard, lsn=lsn))
            case GapStep(first_lsn, last_lsn):
                first, last = pb.Position(shard=shard, lsn=first_lsn), pb.Position(shard=shard, lsn=last_lsn)
                return pb.SubscribeResponse(gap=pb.Gap(first=first, last=last))
            case EndedStep(error):
                raise self._intake.pointed(error)
            case _:
                assert_never(step)

    def _entry(self, shard: ShardId, lsn: int, body: bytes) -> pb.SubscribedEntry:
        entry = journal_pb2.JournalEntry.FromString(body)
        return pb.SubscribedEntry(
            position=pb.Position(shard=shard, lsn=lsn),
            app=entry.app,
            events=[self._intake.event(entry.app, event) for event in entry.events],
            actor=entry.actor,
            at_ms=entry.at_ms,
        )

    async def _asked(self, request: pb.QueryRequest, actor: str) -> QueryAnswer:
        waiting: asyncio.Future[QueryOutcome] = asyncio.get_running_loop().create_future()

        def done(outcome: QueryOutcome) -> None:
            self._door.leave(Work.QUERY)
            if not waiting.done():
                waiting.set_result(outcome)

        begin = asking(self._driver, request, actor, done)
        size_bytes = len(request.body.value)
        self._door.enter(request.tenant, Visitor(Work.QUERY, begin, done), size_bytes=size_bytes)
        outcome = await _in_time(waiting)
        if isinstance(outcome, TwinholdError):
            raise self._intake.pointed(outcome)
        return outcome


async def _in_time(waiting: Awaitable[Answer]) -> Answer:
    try:
        async with asyncio.timeout(WAIT_MAX_S):
            return await waiting
    except TimeoutError as cause:
        raise UnknownOutcomeError(
            f"no answer within {WAIT_MAX_S:.0f} s: it may have happened, try again under the same request id"
        ) from cause
