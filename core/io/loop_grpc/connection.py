"""One HTTP/2 connection as a protocol of the event loop: what arrives is handled in the turn in which it arrives.

DATA, WINDOW_UPDATE and PING, which are nearly everything, are read and written here, and flow control is kept here; h2
sees the other frames: settings, headers, resets. Through h2 a lone message costs twice as much, because after a rest
every line of code is a cache miss. GOAWAY is not told to h2 either, which would refuse to end the calls in flight.

Headers are text here, as h2 is told; its types allow for bytes too, hence the casts.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings

from core.io.loop_grpc.exchange import Exchange
from core.io.loop_grpc.frames import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEAD_BYTES,
    MESSAGE,
    MESSAGE_HEAD_BYTES,
    PING,
    PING_BYTES,
    WINDOW_UPDATE,
    data_head,
    farewell,
    head_of,
    ping,
    unpadded,
    window_in,
    window_update,
)
from core.io.loop_grpc.headers import Ending, Headers, ending_of
from core.rhythm import Rhythm

WINDOW_BYTES = 4 * 1024 * 1024
"""What a peer may send on one call before it was read; on the connection, before it arrived."""
FRAME_BYTES_MAX = 64 * 1024
HEADERS_BYTES_MAX = 64 * 1024
CALLS_MAX = 1024
"""At a time on one connection."""
LOOKS = Rhythm(2.0)
"""When connections are looked at: all of a process in one wake-up."""
LOOKS_MAX = 3
"""A peer that was not heard between so many looks is asked whether it is there, and has until the next one to say so:
a stopped process keeps its connections open."""
_ARE_YOU_THERE = ping(b"twinhold")
_PREFACE_BYTES = 24
_LOST = Ending(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
_RESETS = {
    int(ErrorCodes.CANCEL): grpc.StatusCode.CANCELLED,
    int(ErrorCodes.REFUSED_STREAM): grpc.StatusCode.UNAVAILABLE,
    int(ErrorCodes.ENHANCE_YOUR_CALM): grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Connection(asyncio.Protocol):
    """Carries calls until either side closes it.

    Args:
        bytes_max: of a message.
        opened: takes the calls that the peer opens, with their headers; None: this end opens them.
        lost: told once when the connection is gone.
        looks: when to look whether the peer is still there.
    """

    def __init__(
        self,
        bytes_max: int,
        opened: Callable[[Exchange, Headers], None] | None,
        lost: "Callable[[Connection], None]",
        looks: Rhythm,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the peer has spoken; a frozen one accepts connections and says nothing."""
        self.is_leaving = False
        """No new calls: the peer is about to close, or has closed."""
        self._bytes_max = bytes_max
        self._lone_bytes_max = min(bytes_max, FRAME_BYTES_MAX - MESSAGE_HEAD_BYTES)
        """Of a message in a frame of its own."""
        self._opened = opened
        self._lost = lost
        self._h2 = _h2(is_client=opened is None)
        self._transport: asyncio.Transport | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._arrived = b""
        self._preface_left = 0 if opened is None else _PREFACE_BYTES
        self._window = 65_535
        """What may be sent on this connection; the protocol begins with this."""
        self._stream_window = 65_535
        """What may be sent on a call when it begins, by the peer's settings."""
        self._unsettled = 0
        self._paused = False
        self._held: list[bytes] | None = None
        """What is kept back, to leave in one piece."""
        self._room: list[asyncio.Future[None]] = []
        self._looks = looks
        self._silent_looks = 0
        """Since the peer was heard."""
        self._watch: asyncio.TimerHandle | None = None

    def open(self, headers: Headers) -> Exchange:
        """Open a call."""
        stream = self._h2.get_next_available_stream_id()
        exchange = self._known(stream)
        self._h2.send_headers(stream, headers)
        self._flush()
        return exchange

    def hold(self) -> None:
        """Keep back what is sent in this turn from here on: in one piece it is one write, and wakes the peer once."""
        assert self._held is None, "nothing is sent between here and the release but by whoever holds"
        self._held = []

    def release(self) -> None:
        """Let it leave."""
        self._flush()
        held, self._held = self._held, None
        if held:
            self._write(b"".join(held))

    def leave(self) -> None:
        """Tell the peer to open no more calls here."""
        if not self.is_leaving:
            self.is_leaving = True
            self._write(farewell())

    def close(self) -> None:
        """Close at once; calls in flight are lost."""
        if self._transport is not None:
            self._transport.abort()

    def room(self, exchange: Exchange) -> int:
        """Say how many bytes may go out now in one piece."""
        if self._paused or self._transport is None:
            return 0
        return min(self._window, exchange.window, self._h2.max_outbound_frame_size)

    async def more_room(self) -> None:
        """Wait until there may be more room, or a call is over."""
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._room.append(waiting)
        await waiting

    def push(self, exchange: Exchange, data: bytes | memoryview) -> None:
        """Send data; there must be room."""
        if self._transport is not None:
            size = len(data)
            exchange.window -= size
            self._window -= size
            self._write(b"".join((data_head(exchange.stream, size), data)))

    def push_message(self, exchange: Exchange, message: bytes) -> bool:
        """Send a message in one frame if there is room for it; says whether there was."""
        length = len(message)
        size = length + MESSAGE_HEAD_BYTES
        if (
            size > self._window
            or size > exchange.window
            or size > self._h2.max_outbound_frame_size
            or self._paused
            or self._transport is None
        ):
            return False
        exchange.window -= size
        self._window -= size
        frame = MESSAGE.pack(size >> 16, size & 0xFFFF, DATA, 0, exchange.stream, 0, length) + message
        if self._held is None:
            self._transport.write(frame)
        else:
            self._held.append(frame)
        return True

    def push_headers(self, exchange: Exchange, headers: Headers, *, end: bool) -> None:
        """Send headers."""
        with suppress(StreamClosedError):  # the peer's reset came in this very turn, and is told next
            self._h2.send_headers(exchange.stream, headers, end_stream=end)
        self._flush()

    def push_end(self, exchange: Exchange) -> None:
        """Say that no more data comes."""
        with suppress(StreamClosedError):
            self._h2.end_stream(exchange.stream)
        self._flush()

    def settle(self, exchange: Exchange, size: int) -> None:
        """Give room on a call back to the peer."""
        self._write(window_update(exchange.stream, size))

    def reset(self, exchange: Exchange, *, code: int) -> None:
        """End the call at once."""
        with suppress(StreamClosedError):
            self._h2.reset_stream(exchange.stream, code)
        self._flush()

    def forget(self, exchange: Exchange) -> None:
        """Keep nothing about a call that is over."""
        self._exchanges.pop(exchange.stream, None)
        self._make_room()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce this end."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but class
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW_BYTES - 65_535)
        self._flush()
        self._look_again()

    def data_received(self, data: bytes) -> None:
        """Handle what arrived, and send in one go what that causes."""
        self._silent_looks = 0
        if not self._arrived and self._take_message(data):
            return
        is_broken = False
        self.hold()
        try:
            self._cut(data)
        except (ProtocolError, UnicodeDecodeError):
            is_broken = True
        finally:
            self.release()
        if is_broken:
            self.close()

    def pause_writing(self) -> None:
        """Stop: the socket takes no more."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every call."""
        self._transport = None
        self.is_leaving = True
        if self._watch is not None:
            self._watch.cancel()
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the peer closed the connection"))
            self.ready.exception()
        for exchange in list(self._exchanges.values()):
            exchange.broke(_LOST)
        self._make_room()
        self._lost(self)

    def _take_message(self, data: bytes) -> bool:
        """Take what is one message in one frame, as most of what arrives is; says whether it was that."""
        length = len(data) - MESSAGE.size
        if not 0 <= length <= self._lone_bytes_max:
            return False
        high, low, kind, flags, stream, compressed, told = MESSAGE.unpack_from(data)
        size = length + MESSAGE_HEAD_BYTES
        if kind != DATA or flags or compressed or told != length or high << 16 | low != size:
            return False
        exchange = self._exchanges.get(stream)
        if exchange is None or exchange.is_amid or exchange.owed + size > WINDOW_BYTES:
            return False
        self._unsettled += size
        if self._unsettled >= WINDOW_BYTES // 2:
            self._settle_all()
        exchange.heard_message(data[MESSAGE.size :], size)
        return True

    def _cut(self, data: bytes) -> None:
        arrived, at = self._arrived + data, 0
        if self._preface_left:
            at = min(self._preface_left, len(arrived))
            self._preface_left -= at
            self._tell_h2(arrived[:at])
        while len(arrived) - at >= HEAD_BYTES:
            size, kind, flags, stream = head_of(arrived, at)
            if size > FRAME_BYTES_MAX:
                raise ProtocolError(f"a frame of {size} bytes")
            end = at + HEAD_BYTES + size
            if len(arrived) < end:
                break
            if kind == DATA:
                self._take_data(stream, flags, arrived[at + HEAD_BYTES : end])
            elif kind == WINDOW_UPDATE:
                self._take_window(stream, window_in(arrived[at + HEAD_BYTES : end]))
            elif kind == PING:
                self._take_ping(stream, flags, arrived[at + HEAD_BYTES : end])
            elif kind == GOAWAY:
                self.is_leaving = True
            else:
                self._tell_h2(arrived[at:end])
            at = end
        self._arrived = arrived[at:]

    def _take_data(self, stream: int, flags: int, body: bytes) -> None:
        size = len(body)
        self._unsettled += size
        if self._unsettled >= WINDOW_BYTES // 2:
            self._settle_all()
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            exchange.heard(unpadded(body, flags), size)
            if exchange.owed > WINDOW_BYTES:
                raise ProtocolError("more data than there is room for")
        if flags & END_STREAM:
            self._tell_h2(data_head(stream, 0, END_STREAM))

    def _take_ping(self, stream: int, flags: int, body: bytes) -> None:
        if stream or len(body) != PING_BYTES:
            raise ProtocolError("a malformed ping")
        if not flags & ACK:
            self._write(ping(body, ACK))

    def _settle_all(self) -> None:
        """Give room on the connection back to the peer."""
        self._write(window_update(0, self._unsettled))
        self._unsettled = 0

    def _take_window(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif (exchange := self._exchanges.get(stream)) is not None:
            exchange.window += size
        self._make_room()

    def _tell_h2(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self._take_settings()
            case RequestReceived(stream_id=stream):
                assert self._opened is not None, "a client is never sent a request: h2 refuses it"
                self._opened(self._known(stream), cast(Headers, event.headers))
            case ResponseReceived() | TrailersReceived() | StreamEnded() | StreamReset():
                exchange = self._exchanges.get(event.stream_id)
                if exchange is not None:
                    self._take_step(exchange, event)
            case _:
                pass

    def _take_settings(self) -> None:
        now = self._h2.remote_settings.initial_window_size
        for exchange in self._exchanges.values():
            exchange.window += now - self._stream_window
        self._stream_window = now
        if not self.ready.done():
            self.ready.set_result(None)
        self._make_room()

    def _take_step(
        self, exchange: Exchange, event: ResponseReceived | TrailersReceived | StreamEnded | StreamReset
    ) -> None:
        match event:
            case ResponseReceived(headers=headers) if event.stream_ended is None:
                exchange.heard_head(cast(Headers, headers))
            case ResponseReceived(headers=headers) | TrailersReceived(headers=headers) if self._opened is None:
                exchange.heard_all()
                exchange.heard_ending(ending_of(cast(Headers, headers)), cast(Headers, headers))
            case StreamReset(error_code=code):
                exchange.broke(Ending(_RESETS.get(int(code), grpc.StatusCode.INTERNAL), "the peer reset the call"))
            case StreamEnded() if self._opened is None:
                exchange.heard_ending(Ending(grpc.StatusCode.UNKNOWN, "the peer ended the call without a status"), [])
            case _:
                exchange.heard_all()

    def _known(self, stream: int) -> Exchange:
        exchange = self._exchanges[stream] = Exchange(
            self, stream, self._bytes_max, self._stream_window, answers=self._opened is not None
        )
        return exchange

    def _flush(self) -> None:
        """Send what h2 has to say."""
        if said := self._h2.data_to_send():
            self._write(said)

    def _write(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        elif self._transport is not None:
            self._transport.write(data)

    def _make_room(self) -> None:
        waiting, self._room = self._room, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def _look_again(self) -> None:
        # never soon: a process that was stopped looks late, and reads what arrived meanwhile only afterwards
        at = self._looks.after(self._loop.time() + self._looks.interval_s / 2)
        self._watch = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        """Ask a silent peer whether it is there, and give up one that does not say so."""
        self._silent_looks += 1
        if self._silent_looks > LOOKS_MAX:
            self.close()
            return
        if self._silent_looks == LOOKS_MAX:
            self._write(_ARE_YOU_THERE)
        self._look_again()


def _h2(*, is_client: bool) -> H2Connection:
    # headers go unchecked, which is a fifth of a call: what h2 would refuse ends as an unknown method or status
    made = H2Connection(
        H2Configuration(
            client_side=is_client,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    made.local_settings = Settings(
        client=is_client,
        initial_values={
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
            SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES_MAX,
            SettingCodes.MAX_CONCURRENT_STREAMS: CALLS_MAX,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_BYTES_MAX,
            SettingCodes.ENABLE_PUSH: 0,
        },
    )
    return made
