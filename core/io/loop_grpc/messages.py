"""gRPC's length-prefixed messages in a stream of bytes."""

import struct

from core.errors import MalformedError, OversizedError

_HEAD = struct.Struct(">BI")
"""A flag that says whether the message is compressed, and its length in bytes."""


def framed(message: bytes) -> bytes:
    """Put a message's head before it."""
    return _HEAD.pack(0, len(message)) + message


class Unframer:
    """Cuts what arrives into messages.

    Args:
        bytes_max: what a message may have.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; returns the messages that they complete.

        Raises:
            OversizedError: a message has more than ``bytes_max`` bytes.
            MalformedError: a message is compressed.
        """
        rest = self._rest
        rest += data
        found, at = [], 0
        while len(rest) - at >= _HEAD.size:
            compressed, size = _HEAD.unpack_from(rest, at)
            if size > self._bytes_max:
                raise OversizedError("message", size_bytes=size, limit_bytes=self._bytes_max)
            if compressed:
                raise MalformedError("message", "compressed", expected="an uncompressed one")
            end = at + _HEAD.size + size
            if len(rest) < end:
                break
            found.append(bytes(rest[at + _HEAD.size : end]))
            at = end
        del rest[:at]
        return found

    @property
    def is_amid(self) -> bool:
        """Say whether a message has arrived in part."""
        return bool(self._rest)
