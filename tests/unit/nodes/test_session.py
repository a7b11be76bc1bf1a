"""One session's edge: what shares a message, what is refused, what is bounded, and that deadlines are kept."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from core.errors import MalformedError, NotFoundError, NotOwnerError, TwinholdError
from core.io.clock import LoopClock
from core.io.dial import MESSAGE_BYTES_MAX
from core.names import ShardId
from core.wire import error_of_command
from nodes.admission import USUAL_LIMITS
from nodes.api.intake import Intake
from nodes.api.outflow import WAITING_BYTES_MAX
from nodes.api.session import Session
from nodes.door import STRAIGHT_ITEMS, Door
from nodes.errands import IN_FLIGHT_MAX, MESSAGE_ITEMS_MAX, READ_BYTES_MAX
from nodes.io.app_registry import installed_apps
from nodes.ledger import Submitted
from nodes.shedding import Shedder
from nodes.views import Answered, Outcome, QueryAnswer, QueryOutcome
from tests.fleets import small_fleet
from twinhold.v1 import chat_pb2
from twinhold.v1 import command_service_pb2 as pb

TENANT = "tenants/eu/acme"
FLEET = small_fleet(150)


class Pipe:
    """Both directions of a stream, in memory; ``taking``: whether the caller takes answers."""

    def __init__(self) -> None:
        self.written: list[pb.SessionResponse] = []
        self.taking = asyncio.Event()
        self.taking.set()
        self._requests: asyncio.Queue[pb.SessionRequest | None] = asyncio.Queue()
        self._news = asyncio.Event()

    def send(self, *items: pb.SessionCommand) -> None:
        self._requests.put_nowait(pb.SessionRequest(commands=items))

    def end(self) -> None:
        self._requests.put_nowait(None)

    @property
    def unread(self) -> int:
        return self._requests.qsize()

    async def hear(self, take: Callable[[pb.SessionRequest], None]) -> None:
        while (request := await self._requests.get()) is not None:
            take(request)

    def write_now(self, message: pb.SessionResponse) -> bool:
        if not self.taking.is_set():
            return False
        self.written.append(message)
        self._news.set()
        return True

    async def write(self, message: pb.SessionResponse) -> None:
        await self.taking.wait()
        self.written.append(message)
        self._news.set()

    async def results(self, count: int) -> dict[int, pb.CommandResult]:
        """Wait for a number of answers, by ticket."""
        async with asyncio.timeout(10):
            while sum(len(message.results) for message in self.written) < count:
                self._news.clear()
                await self._news.wait()
        return {result.ticket: result.result for message in self.written for result in message.results}


class Slow:
    """Runs work when the test says."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Callable[[Outcome], None]]] = []
        self.reads: list[Callable[[QueryOutcome], None]] = []
        self.answer: QueryOutcome | None = None
        """Given to every read at once; None: the test answers."""
        self.at_once: QueryOutcome | None = None
        """Given to every read in the turn in which it comes; None: it has to wait."""
        self.arrived = asyncio.Event()

    def submit(self, submitted: Submitted, done: Callable[[Outcome], None]) -> None:
        self.commands.append((submitted.request_id, done))
        self.arrived.set()

    def read(self, tenant: str, type_url: str, body: bytes, actor: str) -> QueryOutcome | None:
        return self.at_once

    def query(
        self, *, tenant: str, type_url: str, body: bytes, actor: str, done: Callable[[QueryOutcome], None]
    ) -> None:
        self.reads.append(done)
        self.arrived.set()
        if self.answer is not None:
            done(self.answer)

    async def taken(self, *, commands: int = 0, reads: int = 0) -> None:
        async with asyncio.timeout(10):
            while len(self.commands) < commands or len(self.reads) < reads:
                self.arrived.clear()
                await self.arrived.wait()


class Hall:
    """A session with everything around it."""

    def __init__(self) -> None:
        self.pipe, self.slow, self.shedder = Pipe(), Slow(), Shedder()
        clock = LoopClock(asyncio.get_running_loop())
        intake = Intake(installed_apps(), FLEET)
        door = Door(USUAL_LIMITS, self.shedder, clock=clock, spawn=clock)
        session = Session(self.pipe, "users/ada", served=self.slow, intake=intake, door=door)
        self.running = asyncio.create_task(session.run())


@pytest_asyncio.fixture
async def hall() -> AsyncIterator[Hall]:
    made = Hall()
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


def packed(body: Message) -> Any:
    envelope = Any()
    envelope.Pack(body)
    return envelope


def post(ticket: int, *, wait_ms: int = 0) -> pb.SessionCommand:
    body = packed(chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text="hello")))
    command = pb.Command(tenant=TENANT, body=body, request_id=f"r-{ticket}")
    return pb.SessionCommand(ticket=ticket, command=command, wait_ms=wait_ms)


def read(ticket: int, *, wait_ms: int = 0) -> pb.SessionCommand:
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general", limit=20))
    return pb.SessionCommand(ticket=ticket, query=pb.QueryRequest(tenant=TENANT, body=packed(query)), wait_ms=wait_ms)


def answered(lsn: int = 7) -> Answered:
    return Answered(ShardId(3), lsn, "type.googleapis.com/t", b"done", replayed=False)


def found(size_bytes: int = 4, parts: int = 1) -> QueryAnswer:
    return QueryAnswer(ShardId(3), 7, [("type.googleapis.com/t", b"x" * size_bytes)] * parts)


def error_in(result: pb.CommandResult) -> TwinholdError:
    assert result.HasField("error")
    return error_of_command(result.error)


async def test_what_one_turn_makes_ready_leaves_in_one_message(hall: Hall) -> None:
    hall.pipe.send(*(post(n) for n in range(3)), read(3))
    await hall.slow.taken(commands=3, reads=1)
    for _, done in hall.slow.commands:
        done(answered())
    hall.slow.reads[0](found())
    results = await hall.pipe.results(4)
    assert len(hall.pipe.written) == 1
    assert results[0].answer.position == pb.Position(shard=3, lsn=7)
    assert (results[3].read.body.value, results[3].read.position.lsn) == (b"xxxx", 7)


@pytest.mark.parametrize(
    "answer",
    [pytest.param(found(READ_BYTES_MAX + 1), id="too long"), pytest.param(found(4, parts=2), id="in two parts")],
)
async def test_a_large_answer_is_refused_with_the_remedy(hall: Hall, answer: QueryAnswer) -> None:
    hall.slow.answer = answer
    hall.pipe.send(read(1))
    error = error_in((await hall.pipe.results(1))[1])
    assert error.reason == "ANSWER_TOO_LARGE"
    assert "ask by Query" in error.message
    assert error.facts["limit_bytes"] == str(READ_BYTES_MAX)


async def test_a_read_that_nothing_is_in_the_way_of_is_answered_in_the_turn_in_which_it_comes(hall: Hall) -> None:
    hall.slow.at_once = found()
    hall.pipe.send(read(1), read(2))
    results = await hall.pipe.results(2)
    assert [results[ticket].read.body.value for ticket in (1, 2)] == [b"xxxx"] * 2
    assert (hall.slow.reads, hall.shedder.busy, len(hall.pipe.written)) == ([], 0, 1)


async def test_a_flood_of_such_reads_is_answered_whole_some_of_it_in_later_turns(hall: Hall) -> None:
    hall.slow.at_once = hall.slow.answer = found()
    hall.pipe.send(*(read(n) for n in range(3 * STRAIGHT_ITEMS)))
    assert len(await hall.pipe.results(3 * STRAIGHT_ITEMS)) == 3 * STRAIGHT_ITEMS
    assert len(hall.slow.reads) == 2 * STRAIGHT_ITEMS
    hall.pipe.send(read(100))
    await hall.pipe.results(3 * STRAIGHT_ITEMS + 1)
    assert len(hall.slow.reads) == 2 * STRAIGHT_ITEMS, "the flood is over"


async def test_a_read_that_is_refused_at_once_is_told_so(hall: Hall) -> None:
    hall.slow.at_once = NotFoundError("tenant", TENANT)
    hall.pipe.send(read(1))
    assert error_in((await hall.pipe.results(1))[1]).reason == "UNKNOWN_TENANT"


async def test_a_refused_read_says_who_owns_the_shard_and_where(hall: Hall) -> None:
    owner = FLEET.nodes[1]
    hall.slow.answer = NotOwnerError("elsewhere", owner=owner.id, epoch=4, incarnation=1)
    hall.pipe.send(read(1))
    error = error_in((await hall.pipe.results(1))[1])
    assert (error.reason, error.facts["owner_endpoint"]) == ("NOT_OWNER", owner.endpoint)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        pytest.param(pb.SessionCommand(ticket=1), "MALFORMED", id="nothing"),
        pytest.param(pb.SessionCommand(ticket=1, query=read(1).query, command=post(1).command), "MALFORMED", id="both"),
        pytest.param(
            pb.SessionCommand(
                ticket=1, query=pb.QueryRequest(tenant=TENANT, body=Any(value=b"x" * (MESSAGE_BYTES_MAX + 1)))
            ),
            "OVERSIZED",
            id="too large a question",
        ),
    ],
)
async def test_bad_items_are_refused_one_by_one_and_hold_up_nothing(
    hall: Hall, item: pb.SessionCommand, reason: str
) -> None:
    hall.slow.answer = found()
    hall.pipe.send(item, read(2))
    results = await hall.pipe.results(2)
    assert error_in(results[1]).reason == reason
    assert results[2].HasField("read")


async def test_a_read_is_shed_before_a_command(hall: Hall) -> None:
    hall.shedder.busy = 5000
    hall.pipe.send(read(1), post(2))
    await hall.slow.taken(commands=1)
    hall.slow.commands[0][1](answered())
    results = await hall.pipe.results(2)
    assert error_in(results[1]).reason == "OVERLOADED"
    assert results[2].HasField("answer")
    assert hall.shedder.busy == 5000


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        pytest.param(post(1, wait_ms=5), "UNKNOWN_OUTCOME", id="a command may be committed yet"),
        pytest.param(read(1, wait_ms=5), "UNAVAILABLE", id="a read has no effect"),
    ],
)
async def test_what_is_not_answered_in_time_is_answered_by_the_deadline(
    hall: Hall, item: pb.SessionCommand, reason: str
) -> None:
    hall.pipe.send(item)
    await hall.slow.taken(commands=item.HasField("command"), reads=item.HasField("query"))
    assert error_in((await hall.pipe.results(1))[1]).reason == reason
    assert hall.shedder.busy == 1, "it is still under way"
    for _, done in hall.slow.commands:
        done(answered())
    for told in hall.slow.reads:
        told(found())
    assert hall.shedder.busy == 0
    hall.pipe.end()
    await hall.running
    assert sum(len(message.results) for message in hall.pipe.written) == 1


async def test_a_short_deadline_does_not_wait_for_a_long_one(hall: Hall) -> None:
    hall.pipe.send(post(1))
    hall.pipe.send(post(2, wait_ms=5))
    assert set(await hall.pipe.results(1)) == {2}


async def test_a_session_takes_no_more_than_its_bound_while_answers_are_not_taken(hall: Hall) -> None:
    hall.slow.answer = found()
    hall.pipe.taking.clear()
    messages = IN_FLIGHT_MAX // MESSAGE_ITEMS_MAX
    for number in range(messages + 2):
        hall.pipe.send(*(read(number * MESSAGE_ITEMS_MAX + n) for n in range(MESSAGE_ITEMS_MAX)))
    await hall.slow.taken(reads=IN_FLIGHT_MAX)
    assert hall.pipe.unread == 2, "what is answered and not taken is in flight as well"
    hall.pipe.taking.set()
    assert len(await hall.pipe.results((messages + 2) * MESSAGE_ITEMS_MAX)) == (messages + 2) * MESSAGE_ITEMS_MAX


async def test_answers_that_are_not_taken_are_bounded_in_bytes_and_messages_stay_small(hall: Hall) -> None:
    hall.slow.answer = found(READ_BYTES_MAX)
    hall.pipe.taking.clear()
    fit = WAITING_BYTES_MAX // READ_BYTES_MAX
    hall.pipe.send(*(read(n) for n in range(fit + 10)))
    await hall.slow.taken(reads=fit + 10)
    hall.pipe.taking.set()
    results = await hall.pipe.results(fit + 10)
    reasons = [error_in(result).reason for result in results.values() if result.HasField("error")]
    assert reasons == ["OVERLOADED"] * 10
    assert max(message.ByteSize() for message in hall.pipe.written) < MESSAGE_BYTES_MAX


async def test_too_many_in_one_message_end_the_session(hall: Hall) -> None:
    hall.pipe.send(*(read(n) for n in range(MESSAGE_ITEMS_MAX + 1)))
    with pytest.raises(MalformedError, match="at most 256"):
        await hall.running


async def test_a_caller_that_stops_sending_gets_what_is_owed(hall: Hall) -> None:
    hall.pipe.send(post(1), read(2))
    hall.pipe.end()
    await hall.slow.taken(commands=1, reads=1)
    hall.slow.reads[0](found())
    hall.slow.commands[0][1](answered())
    await hall.running
    assert set(await hall.pipe.results(2)) == {1, 2}
