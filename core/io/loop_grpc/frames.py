"""HTTP/2 frames as bytes (RFC 9113): DATA, WINDOW_UPDATE and PING, of which there are many, and GOAWAY."""

import struct

HEAD_BYTES = 9
DATA = 0x0
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
ACK = 0x1
END_STREAM = 0x1
PADDED = 0x8
PING_BYTES = 8
MESSAGE = struct.Struct(">BHBBIBI")
"""The head of a DATA frame and, behind it, of the one message that it carries whole, as nearly every one does."""
MESSAGE_HEAD_BYTES = MESSAGE.size - HEAD_BYTES
_HEAD = struct.Struct(">BHBBI")
_UPDATE = struct.Struct(">BHBBII")
_FAREWELL = struct.Struct(">BHBBIII")
_STREAM_BITS = 0x7FFF_FFFF


def head_of(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Read a frame's head: the bytes that follow it, its kind, its flags, its stream."""
    high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
    return high << 16 | low, kind, flags, stream & _STREAM_BITS


def data_head(stream: int, size: int, flags: int = 0) -> bytes:
    """Write the head of a DATA frame."""
    return _HEAD.pack(size >> 16, size & 0xFFFF, DATA, flags, stream)


def window_update(stream: int, size: int) -> bytes:
    """Write a WINDOW_UPDATE frame; stream 0 is the connection."""
    return _UPDATE.pack(0, 4, WINDOW_UPDATE, 0, stream, size)


def ping(body: bytes, flags: int = 0) -> bytes:
    """Write a PING frame, or with ``ACK`` the answer to one."""
    return _HEAD.pack(0, PING_BYTES, PING, flags, 0) + body


def farewell() -> bytes:
    """Write a GOAWAY frame that asks for no new calls and lets those in flight end."""
    return _FAREWELL.pack(0, 8, GOAWAY, 0, 0, _STREAM_BITS, 0)


def window_in(data: bytes) -> int:
    """Read what a WINDOW_UPDATE frame's body gives."""
    return int.from_bytes(data[:4], "big") & _STREAM_BITS


def unpadded(body: bytes, flags: int) -> bytes:
    """Cut the padding off the body of a DATA frame; padding longer than the body leaves nothing."""
    if not flags & PADDED:
        return body
    return body[1 : max(1, len(body) - body[0])]
