"""How every channel is opened; the numbers were measured (a stopped or dead peer must not be missed, nor kept)."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import grpc
from grpc import aio

MESSAGE_BYTES_MAX = 1024 * 1024
"""What a caller may send in one message; the transport takes a little more, so that the refusal is ours."""
TRANSPORT_BYTES_MAX = MESSAGE_BYTES_MAX + 64 * 1024
BULK_BYTES_MAX = 4 * 1024 * 1024
"""Map snapshots and the like, between parts of the fleet."""

CHANNEL_OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        "grpc.max_receive_message_length": BULK_BYTES_MAX,
        "grpc.max_send_message_length": BULK_BYTES_MAX,
        # A stopped peer is invisible without these: ping_timeout_ms alone defaults to 60 s.
        "grpc.keepalive_time_ms": 5_000,
        "grpc.keepalive_timeout_ms": 2_000,
        "grpc.http2.ping_timeout_ms": 2_000,
        "grpc.http2.max_pings_without_data": 0,
        # A heartbeat must not cause a ping that measures bandwidth: small messages, a fixed window.
        "grpc.http2.bdp_probe": 0,
        # With the defaults (1 s growing to 120 s) a peer that was dead for 48 s is usable 18-25 s after its return.
        "grpc.initial_reconnect_backoff_ms": 50,
        "grpc.min_reconnect_backoff_ms": 200,
        "grpc.max_reconnect_backoff_ms": 500,
    }
)


BROKEN: tuple[type[Exception], ...] = (
    grpc.RpcError,
    aio.UsageError,
    aio.InternalError,
    asyncio.InvalidStateError,
)
"""What reading from or writing to a call raises once it has ended; which of them depends on the moment."""


def channel(endpoint: str, *, own_connection: bool = False) -> aio.Channel:
    """Open a channel to ``host:port``; the caller closes it.

    Args:
        endpoint: where to.
        own_connection: do not share the TCP connection with other channels to the same endpoint.
    """
    options = list(CHANNEL_OPTIONS.items())
    if own_connection:
        options.append(("grpc.use_local_subchannel_pool", 1))
    return aio.insecure_channel(endpoint, options=options)


def gone(error: grpc.RpcError) -> bool:
    """Say whether a call failed because the peer's process is not there."""
    return isinstance(error, aio.AioRpcError) and error.code() is grpc.StatusCode.UNAVAILABLE
