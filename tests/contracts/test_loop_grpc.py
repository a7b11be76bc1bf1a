"""gRPC on the event loop and grpc.aio are the same to each other: every script runs with either at the other end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
import pytest
from grpc import aio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, TrailersReceived

from core.io.dial import BULK_BYTES_MAX, channel
from core.io.loop_grpc.connection import Connection
from core.io.loop_grpc.headers import END
from core.io.loop_grpc.server import LoopServer
from core.rhythm import Rhythm

HOST = "127.0.0.51"
PORTS = itertools.count(7600)
OURS, THEIRS = "loop", "grpc.aio"
PAIRS = [(OURS, OURS), (OURS, THEIRS), (THEIRS, OURS)]
WE_CALL = pytest.mark.parametrize("server", [OURS, THEIRS])
WE_ANSWER = pytest.mark.parametrize("client", [OURS, THEIRS])
WAIT_S = 20.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
PING = bytes((0, 0, 8, 6, 0, 0, 0, 0, 0))
PONG = bytes((0, 0, 8, 6, 1, 0, 0, 0, 0))
"""What opens a connection of HTTP/2, and the heads of frames."""
LIMITS = [("grpc.max_receive_message_length", BULK_BYTES_MAX), ("grpc.max_send_message_length", BULK_BYTES_MAX)]


def _no_gate(method: str, handler: Any) -> Any:
    return handler


Context: TypeAlias = Any
"""A handler's context; the two servers' have no common type."""


class Service:
    """What the scripts call; messages are bytes."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()
        self.released = asyncio.Event()

    async def echo(self, request: bytes, context: Context) -> bytes:
        return request

    async def refuse(self, request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nö: 100 %", (("why-bin", b"\x00\xff"), ("who", "me")))
        raise AssertionError

    async def metadata(self, request: bytes, context: Context) -> bytes:
        given = dict(context.invocation_metadata())
        return f"{given['word']}|{given['word-bin']!r}".encode()

    async def count(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()

    async def talk(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def gather(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        return b"+".join([request async for request in requests])

    async def greet(self, requests: object, context: Context) -> None:
        await context.send_initial_metadata((("greeting", "hello"),))
        assert await context.read() == b"first"
        await context.write(b"answer")
        await self.wait(b"", context)

    async def hold(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await self.released.wait()
        async for request in requests:
            yield request[:8]

    async def listen(self, requests: object, context: Context) -> None:
        def take(request: bytes) -> None:
            if request == b"bad":
                raise ValueError(request)
            if not context.write_now(request):
                raise AssertionError("the first answer opens the way for the others")

        await context.write(b"listening")
        await context.hear(take)

    async def wait(self, request: bytes, context: Context) -> bytes:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""

    def handlers(self) -> "grpc.GenericRpcHandler[Any, Any]":
        return grpc.method_handlers_generic_handler(
            "test.Service",
            {
                "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
                "Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
                "Metadata": grpc.unary_unary_rpc_method_handler(self.metadata),
                "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
                "Count": grpc.unary_stream_rpc_method_handler(self.count),
                "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
                "Gather": grpc.stream_unary_rpc_method_handler(self.gather),
                "Hold": grpc.stream_stream_rpc_method_handler(self.hold),
                "Listen": grpc.stream_stream_rpc_method_handler(self.listen),
                "Greet": grpc.stream_stream_rpc_method_handler(self.greet),
            },
        )


class Ends:
    """A server of one kind, and how it is stopped."""

    def __init__(self, service: Service, channel: aio.Channel, stop: Callable[[], Awaitable[None]]) -> None:
        self.service = service
        self.channel = channel
        self.stop = stop

    def unary(self, method: str) -> Callable[..., Any]:
        return self.channel.unary_unary(f"/test.Service/{method}", None, None)

    def stream(self, method: str) -> Any:
        return self.channel.stream_stream(f"/test.Service/{method}", None, None)(None)


@asynccontextmanager
async def ends(client: str, server: str) -> AsyncIterator[Ends]:
    service, port = Service(), next(PORTS)
    stop: Callable[[], Awaitable[None]]
    if server == OURS:
        ours = LoopServer(_no_gate, BULK_BYTES_MAX)
        ours.add_generic_rpc_handlers((service.handlers(),))
        await ours.start(HOST, port)
        stop = lambda: ours.stop(0)  # noqa: E731 - two servers, one word
    else:
        theirs = aio.server(options=LIMITS)
        theirs.add_generic_rpc_handlers((service.handlers(),))
        theirs.add_insecure_port(f"{HOST}:{port}")
        await theirs.start()
        stop = lambda: theirs.stop(0)  # noqa: E731
    there = f"{HOST}:{port}"
    line = channel(there) if client == OURS else aio.insecure_channel(there, options=LIMITS)
    try:
        async with asyncio.timeout(WAIT_S):
            yield Ends(service, line, stop)
    finally:
        await line.close(None)
        await stop()


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]} calls {pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


async def test_one_request_gets_one_answer(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        assert await both.unary("Echo")(b"") == b""
        assert await asyncio.gather(*(both.unary("Echo")(str(n).encode()) for n in range(200))) == [
            str(n).encode() for n in range(200)
        ]


async def test_a_status_travels_with_its_details(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        with pytest.raises(aio.AioRpcError) as refused:
            await both.unary("Refuse")(b"")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == "nö: 100 %"
    metadata: Any = refused.value.trailing_metadata()  # the stub says what it is made from, not what it is
    assert (metadata["why-bin"], metadata["who"]) == (b"\x00\xff", "me")


async def test_metadata_travels_as_text_and_as_bytes(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        answer = await both.unary("Metadata")(b"", metadata=(("word", "a b"), ("word-bin", b"\x01\x02\x03\x04")))
    assert answer == b"a b|b'\\x01\\x02\\x03\\x04'"


async def test_an_unknown_method_is_told(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        with pytest.raises(aio.AioRpcError) as refused:
            await both.unary("Nothing")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_answers_stream_in_order_to_their_end(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        call = both.channel.unary_stream("/test.Service/Count", None, None)(b"5000")
        assert [int(answer) async for answer in call] == list(range(5000))
        assert await call.code() is grpc.StatusCode.OK


async def test_both_sides_talk_at_once_and_say_when_they_have_done(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        call = both.stream("Talk")
        for number in range(100):
            await call.write(str(number).encode())
            assert await call.read() == str(number).encode()
        await call.done_writing()
        assert await call.read() is END


async def test_many_requests_get_one_answer() -> None:
    async with ends(THEIRS, OURS) as both:
        call = both.channel.stream_unary("/test.Service/Gather", None, None)(iter([b"a", b"b", b"c"]))
        assert await call == b"a+b+c"


async def test_messages_larger_than_every_window_arrive_whole(pair: tuple[str, str]) -> None:
    large = bytes(range(256)) * (3 * 1024 * 4)
    async with ends(*pair) as both:
        assert await both.unary("Echo")(large) == large
        call = both.stream("Talk")

        async def send() -> None:
            for _ in range(5):
                await call.write(large)
            await call.done_writing()

        sending = asyncio.ensure_future(send())
        assert [await call.read() for _ in range(5)] == [large] * 5
        assert await call.read() is END
        await sending


@WE_CALL
async def test_what_is_heard_comes_in_order_after_what_was_there_before_and_to_its_end(server: str) -> None:
    heard: list[bytes] = []
    async with ends(OURS, server) as both:
        call = both.channel.unary_stream("/test.Service/Count", None, None)(b"5000")
        assert await call.read() == b"0"
        assert await call.read() == b"1"
        await call.hear(heard.append)  # type: ignore[attr-defined]  # grpc.aio's calls have no such method
        assert await call.code() is grpc.StatusCode.OK
    assert heard == [str(number).encode() for number in range(2, 5000)]


@WE_CALL
async def test_large_and_small_messages_are_heard_whole(server: str) -> None:
    large, heard = bytes(range(256)) * (3 * 1024 * 4), list[bytes]()
    sent = [b"", b"small", large, b"", large, b"small"]
    async with ends(OURS, server) as both:
        call = both.stream("Talk")
        hearing = asyncio.ensure_future(call.hear(heard.append))
        for message in sent:
            await call.write(message)
        await call.done_writing()
        await hearing
    assert heard == sent


@WE_CALL
async def test_what_a_listener_raises_reaches_its_owner_and_leaves_the_connection_alone(server: str) -> None:
    async with ends(OURS, server) as both:
        call = both.stream("Talk")
        heard: list[bytes] = []

        def take(message: bytes) -> None:
            heard.append(message)
            if message == b"bad":
                raise ValueError(message)

        hearing = asyncio.ensure_future(call.hear(take))
        for message in (b"good", b"bad", b"after"):
            await call.write(message)
        with pytest.raises(ValueError, match="bad"):
            await hearing
        assert heard == [b"good", b"bad"]
        assert await call.read() == b"after"
        assert await both.unary("Echo")(b"still here") == b"still here"
        call.cancel()


@WE_CALL
async def test_a_failed_call_fails_whoever_hears(server: str) -> None:
    async with ends(OURS, server) as both:
        with pytest.raises(aio.AioRpcError) as refused:
            await both.channel.unary_stream("/test.Service/Nothing", None, None)(b"").hear(  # type: ignore[attr-defined]
                lambda _: None
            )
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@WE_CALL
async def test_who_stops_hearing_may_read_what_comes_after(server: str) -> None:
    async with ends(OURS, server) as both:
        call, heard = both.stream("Talk"), asyncio.Queue[bytes]()
        hearing = asyncio.ensure_future(call.hear(heard.put_nowait))
        await call.write(b"one")
        assert await heard.get() == b"one"
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await call.write(b"two")
        assert await call.read() == b"two"
        call.cancel()


@WE_CALL
async def test_nothing_leaves_at_once_past_what_waits_for_room(server: str) -> None:
    async with ends(OURS, server) as both:
        call, count, body = both.stream("Hold"), 0, bytes(50_000)
        assert not call.write_now(b"before it is open")
        await call.write(f"{count:8}".encode())
        while call.write_now(f"{count + 1:8}".encode() + body):
            count += 1
        waiting = asyncio.ensure_future(call.write(f"{count + 1:8}".encode() + body))
        await asyncio.sleep(0)
        assert not call.write_now(b"small enough")
        both.service.released.set()
        await waiting
        await call.write(f"{count + 2:8}".encode())
        await call.done_writing()
        assert [int(answer) async for answer in call] == list(range(count + 3))


@WE_ANSWER
async def test_a_method_hears_and_answers_without_waiting(client: str) -> None:
    async with ends(client, OURS) as both:
        call = both.stream("Listen")
        assert await call.read() == b"listening"
        for number in range(100):
            await call.write(str(number).encode())
            assert await call.read() == str(number).encode()
        await call.done_writing()
        assert await call.read() is END
        assert await call.code() is grpc.StatusCode.OK


@WE_ANSWER
async def test_what_a_methods_listener_raises_ends_that_call_alone(
    client: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with ends(client, OURS) as both:
        call, other = both.stream("Listen"), both.stream("Listen")
        for one in (call, other):
            assert await one.read() == b"listening"
        await call.write(b"bad")
        with pytest.raises(aio.AioRpcError) as failed:
            await call.read()
        assert failed.value.code() is grpc.StatusCode.UNKNOWN
        await other.write(b"on")
        assert await other.read() == b"on"
        other.cancel()
    assert [record.message for record in caplog.records] == ["call.failed"]


async def test_a_message_over_the_limit_is_refused(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        with pytest.raises(aio.AioRpcError) as refused:
            await both.unary("Echo")(bytes(BULK_BYTES_MAX + 1))
    assert refused.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)


async def test_the_answer_may_begin_before_its_first_message(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        call = both.stream("Greet")
        await call.write(b"first")
        assert dict(await call.initial_metadata())["greeting"] == "hello"
        assert await call.read() == b"answer"
        call.cancel()
        await both.service.cancelled.wait()


async def test_a_deadline_ends_both_sides(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        with pytest.raises(aio.AioRpcError) as late:
            await both.unary("Wait")(b"", timeout=0.1)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await both.service.cancelled.wait()


async def test_a_caller_that_goes_away_ends_the_method(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:

        async def call() -> None:
            await both.unary("Wait")(b"")

        calling = asyncio.ensure_future(call())
        await both.service.entered.wait()
        calling.cancel()
        await both.service.cancelled.wait()
        assert (await asyncio.gather(calling, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_calls_end_with_the_server(pair: tuple[str, str]) -> None:
    async with ends(*pair) as both:
        calling = asyncio.ensure_future(_failure(both.unary("Wait")(b"")))
        await both.service.entered.wait()
        await both.stop()
        assert await calling in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def _failure(call: Awaitable[bytes]) -> grpc.StatusCode:
    with pytest.raises(aio.AioRpcError) as failed:
        await call
    return failed.value.code()


async def test_nobody_there_is_told_as_grpc_does_and_a_later_server_is_found() -> None:
    port = next(PORTS)
    line = channel(f"{HOST}:{port}")
    call = line.unary_unary("/test.Service/Echo", None, None)
    with pytest.raises(aio.AioRpcError) as failed:
        await call(b"x")
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert str(failed.value.details()).startswith("failed to connect")
    waiting = asyncio.ensure_future(_answer(call(b"y", wait_for_ready=True, timeout=WAIT_S)))
    server = LoopServer(_no_gate, BULK_BYTES_MAX)
    server.add_generic_rpc_handlers((Service().handlers(),))
    await server.start(HOST, port)
    assert await waiting == b"y"
    assert await call(b"z") == b"z"
    await line.close(None)
    await server.stop(0)


async def _is_admitted(call: Awaitable[bytes]) -> bool:
    try:
        await call
    except aio.AioRpcError:
        return False
    return True


async def _answer(call: Awaitable[bytes]) -> bytes:
    return await call


@asynccontextmanager
async def _bare() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run a server, and talk to it in bytes."""
    port = next(PORTS)
    server = LoopServer(_no_gate, BULK_BYTES_MAX)
    await server.start(HOST, port)
    reader, writer = await asyncio.open_connection(HOST, port)
    yield reader, writer
    writer.close()
    await server.stop(0)


async def test_what_is_not_http2_is_hung_up_on() -> None:
    async with _bare() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: twinhold\r\n\r\n" * 4)
        async with asyncio.timeout(WAIT_S):
            await reader.read()


async def test_headers_that_no_client_sends_get_an_ordinary_refusal() -> None:
    async with _bare() as (reader, writer):
        h2 = H2Connection(
            H2Configuration(header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        h2.initiate_connection()
        h2.send_headers(1, [("X-Upper", " a "), (":method", "POST"), ("", "nameless"), ("te", "magic")])
        writer.write(h2.data_to_send())
        told: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            while "grpc-status" not in told and (received := await reader.read(65_536)):
                for event in h2.receive_data(received):
                    if isinstance(event, ResponseReceived | TrailersReceived):
                        told |= {str(key): str(value) for key, value in event.headers}
        assert int(told["grpc-status"]) == grpc.StatusCode.UNIMPLEMENTED.value[0]


async def test_a_ping_is_answered_with_its_own_bytes_and_a_malformed_one_is_hung_up_on() -> None:
    async with _bare() as (reader, writer):
        writer.write(PREFACE + SETTINGS + PING + b"who are?")
        async with asyncio.timeout(WAIT_S):
            await reader.readuntil(PONG + b"who are?")
            writer.write(bytes((0, 0, 7)) + PING[3:] + b"too few")
            await reader.read()


async def test_a_peer_that_falls_silent_is_asked_whether_it_is_there_and_given_up() -> None:
    port, asked, over = next(PORTS), asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS)
        while received := await reader.read(1024):
            if PING in received:
                asked.set()
        writer.close()

    listening = await asyncio.start_server(mute, HOST, port)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(BULK_BYTES_MAX, None, lambda _: over.set(), Rhythm(0.05)), HOST, port
    )
    async with asyncio.timeout(WAIT_S):
        await connection.ready
        await asked.wait()
        await over.wait()
    listening.close()


async def test_a_server_that_leaves_lets_calls_in_flight_end() -> None:
    port = next(PORTS)
    server = LoopServer(_no_gate, BULK_BYTES_MAX)
    service = Service()
    server.add_generic_rpc_handlers((service.handlers(),))
    await server.start(HOST, port)
    line = channel(f"{HOST}:{port}")
    call = line.stream_stream("/test.Service/Talk", None, None)(None)
    await call.write(b"before")
    assert await call.read() == b"before"
    stopping = asyncio.ensure_future(server.stop(WAIT_S))
    while await _is_admitted(line.unary_unary("/test.Service/Echo", None, None)(b"still?")):
        pass
    await call.write(b"after")
    assert await call.read() == b"after"
    await call.done_writing()
    assert await call.read() is END
    await stopping
    await line.close(None)
