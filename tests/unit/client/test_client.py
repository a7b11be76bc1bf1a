"""The client's edge against real servers on loopback: sessions, redirects, lost answers, watching, subscribing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from client.io import Answered, Client, Entry, connect, packed
from core.errors import NotFoundError, OversizedError, UnavailableError, UnknownOutcomeError
from tests.unit.client.pocket_fleet import LEFT, RIGHT, PocketFleet
from twinhold.v1 import chat_pb2
from twinhold.v1 import command_service_pb2 as pb

TENANT = "tenants/eu/acme"


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[PocketFleet]:
    pocket = PocketFleet()
    yield pocket
    await pocket.close()


@pytest_asyncio.fixture
async def client(fleet: PocketFleet) -> AsyncIterator[Client]:
    doors = [await fleet.start(name) for name in ("control plane", "left", "right")]
    async with connect(doors[:1], actor="users/ada", seed=1) as opened:
        await opened.ready(timeout_s=5)
        yield opened


async def post(
    client: Client, text: str, *, unary: bool = False, request_id: str | None = None, timeout_s: float = 5.0
) -> Answered[chat_pb2.ChatAnswer]:
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text=text))
    return await client.submit(
        TENANT, command, chat_pb2.ChatAnswer, timeout_s=timeout_s, unary=unary, request_id=request_id
    )


@pytest.mark.parametrize("unary", [pytest.param(False, id="session"), pytest.param(True, id="unary")])
async def test_a_command_is_answered_with_its_position(client: Client, unary: bool) -> None:
    sent = await post(client, "hello", unary=unary)
    assert (sent.answer.seq, sent.lsn, sent.replayed) == (1, 1, False)


async def test_many_commands_share_a_stream(client: Client, fleet: PocketFleet) -> None:
    sent = await asyncio.gather(*(post(client, f"post {n}") for n in range(500)))
    assert sorted(answered.answer.seq for answered in sent) == list(range(1, 501))
    assert len(set(fleet.truth.posts)) == 500


@pytest.mark.parametrize("unary", [pytest.param(False, id="session"), pytest.param(True, id="unary")])
async def test_a_lost_answer_is_asked_for_again_under_the_same_id(
    client: Client, fleet: PocketFleet, unary: bool
) -> None:
    fleet.truth.lose_answers = 1
    sent = await post(client, "once", unary=unary)
    assert sent.replayed
    assert fleet.truth.posts == ["once"]


@pytest.mark.parametrize("unary", [pytest.param(False, id="session"), pytest.param(True, id="unary")])
async def test_a_redirect_is_followed_although_the_map_is_old(client: Client, fleet: PocketFleet, unary: bool) -> None:
    fleet.truth.move(tell=False)
    assert (await post(client, "hello", unary=unary)).answer.seq == 1
    assert client.locate(TENANT).primary.node == LEFT


async def test_a_dead_primary_is_left_when_the_map_moves(client: Client, fleet: PocketFleet) -> None:
    await post(client, "before")
    await fleet.stop("left")
    waiting = asyncio.create_task(post(client, "after"))
    fleet.truth.move(tell=True)
    assert (await waiting).answer.seq == 2
    assert client.locate(TENANT).primary.node == RIGHT


async def test_a_client_goes_on_with_every_control_plane_dead(client: Client, fleet: PocketFleet) -> None:
    await fleet.stop("control plane")
    assert (await post(client, "alone")).answer.seq == 1


async def test_a_newcomer_gets_in_through_a_node(fleet: PocketFleet) -> None:
    door = await fleet.start("left")
    async with connect([door], actor="users/ada") as newcomer:
        assert (await post(newcomer, "hello")).answer.seq == 1


async def read(client: Client, *, streamed: bool = False, timeout_s: float = 5.0) -> list[str]:
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general"))
    answered = await client.query(TENANT, query, chat_pb2.ChatQueryAnswer, timeout_s=timeout_s, streamed=streamed)
    return [p.text for p in answered.answer.posts]


@pytest.mark.parametrize("streamed", [pytest.param(False, id="session"), pytest.param(True, id="stream")])
async def test_a_read_brings_the_whole_answer_by_the_way_it_was_sent(
    client: Client, fleet: PocketFleet, streamed: bool
) -> None:
    for n in range(3):
        await post(client, f"post {n}")
    assert await read(client, streamed=streamed) == ["post 0", "post 1", "post 2"]
    assert fleet.truth.asked == ["stream" if streamed else "session"]


async def test_a_read_that_turns_out_long_is_asked_again_as_a_stream(client: Client, fleet: PocketFleet) -> None:
    texts = [str(n) * 200 for n in range(8)]
    for text in texts:
        await post(client, text)
    assert await read(client) == texts
    assert fleet.truth.asked == ["session", "stream"]


@pytest.mark.parametrize("streamed", [pytest.param(False, id="session"), pytest.param(True, id="stream")])
async def test_a_redirected_read_is_answered_by_the_owner(client: Client, fleet: PocketFleet, streamed: bool) -> None:
    await post(client, "hello")
    fleet.truth.move(tell=False)
    assert await read(client, streamed=streamed) == ["hello"]
    assert len(fleet.truth.asked) == 2


async def test_reads_and_commands_in_flight_share_a_stream(client: Client, fleet: PocketFleet) -> None:
    await post(client, "first")
    await asyncio.gather(*(read(client) for _ in range(300)), *(post(client, f"p{n}") for n in range(10)))
    assert set(fleet.truth.asked) == {"session"}


async def test_a_read_of_a_dead_node_ends_unavailable_never_unknown(client: Client, fleet: PocketFleet) -> None:
    await fleet.stop("left")
    await fleet.stop("right")
    with pytest.raises(UnavailableError):
        await read(client, timeout_s=0.5)


async def test_a_call_whose_caller_goes_away_is_given_up(client: Client, fleet: PocketFleet) -> None:
    await post(client, "first")
    await fleet.stop("left")
    waiting = asyncio.create_task(post(client, "second"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    fleet.truth.move(tell=True)
    assert (await post(client, "third")).answer.seq == 2


async def test_whoever_has_no_task_to_wait_with_is_told_once(client: Client) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    command = packed(chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text="hello")))
    client.send(TENANT, command, told.put_nowait, timeout_s=5, request_id="r-1")
    client.send(TENANT, command, told.put_nowait, timeout_s=5, request_id="r-1").stop()
    answer = await told.get()
    assert isinstance(answer, pb.CommandAnswer)
    assert answer.position.lsn == 1
    client.send(TENANT, command, told.put_nowait, timeout_s=5, request_id="r-2")
    await client.close()
    assert isinstance(await told.get(), UnknownOutcomeError)
    assert told.empty()
    with pytest.raises(UnavailableError, match="connect again"):
        client.send(TENANT, command, told.put_nowait, timeout_s=5, request_id="r-3")


async def test_the_time_that_is_left_travels_with_the_work_of_a_session(client: Client, fleet: PocketFleet) -> None:
    await post(client, "patient", timeout_s=60)
    await post(client, "hurried", timeout_s=0.5)
    assert fleet.truth.waits_ms[0] == 2_000, "an attempt is given up after this"
    assert 0 < fleet.truth.waits_ms[1] <= 500


async def test_a_subscription_is_resumed_by_position(client: Client) -> None:
    for n in range(3):
        await post(client, f"post {n}")
    seen: list[int] = []
    async for step in client.subscribe(TENANT, after_lsn=1):
        assert isinstance(step, Entry)
        seen.append(step.lsn)
        if len(seen) == 2:
            await post(client, "the stream ended meanwhile")
        if len(seen) == 3:
            break
    assert seen == [2, 3, 4]


async def test_nobody_there_is_said_with_the_cause() -> None:
    async with connect(["127.65.9.9:7499"], actor="users/ada") as lonely:
        with pytest.raises(UnavailableError, match="nobody gave a map within"):
            await lonely.ready(timeout_s=0.3)


async def test_a_command_that_never_left_has_certainly_failed(client: Client, fleet: PocketFleet) -> None:
    await fleet.stop("left")
    await fleet.stop("right")
    with pytest.raises(UnavailableError):
        await post(client, "nobody listens", timeout_s=0.5)


async def test_a_command_whose_answers_are_all_lost_is_unknown(client: Client, fleet: PocketFleet) -> None:
    fleet.truth.lose_answers = 1000
    with pytest.raises(UnknownOutcomeError, match="request id r-7"):
        await post(client, "who knows", request_id="r-7", timeout_s=0.3)


async def test_what_is_under_way_when_a_client_closes_is_unknown(client: Client, fleet: PocketFleet) -> None:
    await fleet.stop("left")
    waiting = asyncio.create_task(post(client, "too late"))
    await asyncio.wait([waiting], timeout=0.1)
    await client.close()
    with pytest.raises(UnknownOutcomeError, match="the client was closed"):
        await waiting
    with pytest.raises(UnavailableError, match="the client is closed"):
        await post(client, "even later")


async def test_large_commands_do_not_share_a_message_that_is_too_large(client: Client, fleet: PocketFleet) -> None:
    await asyncio.gather(*(post(client, str(n) * 900_000) for n in range(8)))
    assert sorted(text[0] for text in fleet.truth.posts) == list("01234567")


async def test_a_command_above_the_limit_is_refused_at_home(client: Client) -> None:
    with pytest.raises(OversizedError, match="at most 1048576 are taken"):
        await post(client, "x" * 1_100_000)


async def test_an_unknown_geography_is_named(client: Client) -> None:
    with pytest.raises(NotFoundError, match="geography 'us' does not exist"):
        await client.submit("tenants/us/acme", chat_pb2.ChatCommand(), chat_pb2.ChatAnswer, timeout_s=1)
