"""EventService: the audit journal, read from the store."""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from control_plane.api.asking import answered
from control_plane.paging import number_of, page_size, token
from control_plane.ports import AssignmentStore, Unknown
from control_plane.reception import Reception
from core.errors import TwinholdError, UnavailableError
from core.io.serve import Context
from twinhold.v1 import event_pb2
from twinhold.v1 import event_service_pb2 as pb
from twinhold.v1 import event_service_pb2_grpc as pb_grpc

PAGE_DEFAULT, PAGE_MAX = 100, 1_000
BATCH = 1_000
FIRST_BATCH = 32
"""A watcher is woken after every few events: it need not read a thousand old ones to find them."""
SCANNED_MAX = 20_000
"""Events looked at for one page; a page may be short, or empty, and still name a next one."""
QUIET_S = 1.0
"""A watcher looks again after this long without a call to wake it: a follower has none."""

Wanted = Callable[[event_pb2.Event], bool]


class AuditJournal:
    """Reads events back from the store."""

    def __init__(self, store: AssignmentStore) -> None:
        self._store = store

    async def newest(self, before_number: int | None, limit: int) -> list[event_pb2.Event]:
        """Read the newest events before a number, newest first.

        Raises:
            UnavailableError: the store does not answer.
        """

        def ask(done: Callable[[Sequence[bytes] | TwinholdError], None]) -> None:
            self._store.read_events(before_number, limit, lambda answer: done(_or_error(answer)))

        bodies: Sequence[bytes] = await answered(ask)
        return [event_pb2.Event.FromString(body) for body in bodies]

    async def matching(
        self, wanted: Wanted, *, before_number: int | None, limit: int
    ) -> tuple[list[event_pb2.Event], int | None]:
        """Find the newest events that are wanted, and the number before which to go on; None: there are no more."""
        found: list[event_pb2.Event] = []
        for _ in range(SCANNED_MAX // BATCH):
            batch = await self.newest(before_number, BATCH)
            for event in batch:
                before_number = event.number
                if wanted(event):
                    found.append(event)
                if len(found) == limit:
                    return found, before_number if before_number > 1 else None
            if len(batch) < BATCH:
                return found, None
        return found, before_number

    async def since(self, after_number: int) -> list[event_pb2.Event]:
        """Read everything after a number, oldest first."""
        found: list[event_pb2.Event] = []
        before: int | None = None
        limit = FIRST_BATCH
        while True:
            batch = await self.newest(before, limit)
            found += [event for event in batch if event.number > after_number]
            if len(batch) < limit or batch[-1].number <= after_number + 1:
                return found[::-1]
            before, limit = batch[-1].number, BATCH


class EventService(pb_grpc.EventServiceServicer):
    """Decisions, and decisions not to act, with their reasons."""

    def __init__(self, reception: Reception, journal: AuditJournal) -> None:
        self._reception = reception
        self._journal = journal

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        """Page through the events, newest first."""
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        found, before = await self._journal.matching(
            _wanted(request.type_prefix, request.subject), before_number=number_of(request.page_token), limit=size
        )
        return pb.ListEventsResponse(events=found, next_page_token="" if before is None else token(str(before)))

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Stream events as they happen."""
        wanted = _wanted(request.type_prefix, "")
        last = request.after_number if request.HasField("after_number") else await self._last_number()
        added = asyncio.Event()
        stop = self._reception.follow_events(added.set)
        try:
            while True:
                added.clear()
                for event in await self._journal.since(last):
                    last = event.number
                    if wanted(event):
                        yield pb.WatchEventsResponse(event=event)
                await _set_or_quiet(added)
        finally:
            stop()

    async def about(self, subject: str, limit: int) -> list[event_pb2.Event]:
        """Find the newest events about a subject; none when the store does not answer: an explanation goes without."""
        try:
            found, _ = await self._journal.matching(_wanted("", subject), before_number=None, limit=limit)
        except UnavailableError:
            return []
        return found

    async def _last_number(self) -> int:
        newest = await self._journal.newest(None, 1)
        return newest[0].number if newest else 0


def _wanted(type_prefix: str, subject: str) -> Wanted:
    return lambda event: event.type.startswith(type_prefix) and subject in ("", event.subject)


def _or_error(answer: Sequence[bytes] | Unknown) -> Sequence[bytes] | TwinholdError:
    if isinstance(answer, Unknown):
        return UnavailableError(f"the audit journal can't be read now: {answer.cause}", retry_after_s=QUIET_S)
    return answer


async def _set_or_quiet(added: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(added.wait(), QUIET_S)
    except TimeoutError:
        return
