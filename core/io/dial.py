"""How every channel is opened, and what a call raises that has broken."""

import asyncio
from typing import cast

import grpc
from grpc import aio

from core.io.loop_grpc.channel import LoopChannel

MESSAGE_BYTES_MAX = 1024 * 1024
"""What a caller may send in one message; the transport takes a little more, so that the refusal is ours."""
BULK_BYTES_MAX = 4 * 1024 * 1024
"""Map snapshots and the like, between parts of the fleet."""

BROKEN: tuple[type[Exception], ...] = (
    grpc.RpcError,
    aio.UsageError,
    aio.InternalError,
    asyncio.InvalidStateError,
)
"""What reading from or writing to a call raises once it has ended; which of them depends on the moment."""


def channel(endpoint: str) -> aio.Channel:
    """Open a channel to ``host:port``, with a connection of its own; the caller closes it."""
    # It has what generated stubs use of gRPC's interface, and is no subclass of it.
    return cast(aio.Channel, LoopChannel(endpoint, BULK_BYTES_MAX))
