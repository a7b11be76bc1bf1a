"""What a broken call proves about its command: certainly no effect, or who knows."""

import grpc
from grpc import aio
from grpc_status import rpc_status

from client.call import without_effect
from core.errors import TwinholdError, UnavailableError, UnknownOutcomeError
from core.io.status import error_of

NEVER_LEFT = "failed to connect"
"""How gRPC begins the details of a call for which there was no connection: nothing of it was sent."""

BROKEN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # "Internal error from Core": a stream whose peer died between two steps of starting it.
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
"""What gRPC itself calls a call that broke on the way."""


def judged(error: aio.AioRpcError) -> tuple[TwinholdError, bool]:
    """Read a failed call; the flag says that it certainly had no effect.

    A status with our details was sent by the server itself, which knows; a bare one was made up on the way.
    """
    if rpc_status.from_call(error) is not None:  # type: ignore[arg-type]  # the stub knows sync calls only
        told = error_of(error)
        return told, without_effect(told)
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and details.startswith(NEVER_LEFT):
        return UnavailableError(f"nobody listens there ({details})"), True
    if error.code() in BROKEN:
        return UnknownOutcomeError(f"the connection was lost before the answer ({error.code().name}: {details})"), False
    return error_of(error), False
