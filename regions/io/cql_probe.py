"""Asks a Cassandra node over its own protocol whether it serves, and how many others it knows. Needs no driver.

Frames of CQL's native protocol, version 4: version, flags, stream, opcode, length, body.
"""

import asyncio
import struct

_HEADER = struct.Struct(">BBhBI")
_VERSION = 4
_STARTUP, _QUERY = 0x01, 0x07
_READY, _AUTHENTICATE, _RESULT = 0x02, 0x03, 0x08
_ONE, _SKIP_METADATA, _ROWS = 1, 0x02, 2
_PEERS = b"SELECT data_center FROM system.peers_v2"
ANSWER_S = 2.0


async def serves(host: str, port: int, *, others: int) -> bool:
    """Say whether a node answers clients, and knows that many other nodes and their data centers.

    One that wants a password is not asked for the others.

    Raises:
        OSError: it does not listen, or breaks off.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return await _serves(reader, writer, others)
            finally:
                writer.close()
    except (TimeoutError, asyncio.IncompleteReadError):
        return False


async def _serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, others: int) -> bool:
    opcode, _ = await _asked(reader, writer, _STARTUP, b"\x00\x01" + _string(b"CQL_VERSION") + _string(b"3.0.0"))
    if opcode == _AUTHENTICATE:
        return True
    query = struct.pack(">I", len(_PEERS)) + _PEERS + struct.pack(">HB", _ONE, _SKIP_METADATA)
    opcode, body = await _asked(reader, writer, _QUERY, query)
    return opcode == _RESULT and _filled_rows(body) == others


async def _asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opcode: int, body: bytes
) -> tuple[int, bytes]:
    writer.write(_HEADER.pack(_VERSION, 0, 0, opcode, len(body)) + body)
    _, _, _, answered, length = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return answered, await reader.readexactly(length)


def _filled_rows(body: bytes) -> int:
    """Count the rows of one column that hold something; the metadata was skipped, as asked."""
    kind, _, _, rows = struct.unpack_from(">iiii", body)
    filled, at = 0, 16
    for _ in range(rows if kind == _ROWS else 0):
        (length,) = struct.unpack_from(">i", body, at)
        filled += length > 0
        at += 4 + max(0, length)
    return filled


def _string(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text
