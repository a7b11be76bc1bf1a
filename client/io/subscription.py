"""A tenant's committed events, across failovers: resumed by position, and a gap is never silent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.any_pb2 import Any as AnyMessage
from grpc import aio

from client.io.dialler import Dialler
from client.io.outcome import judged
from core.errors import (
    FixRequestError,
    NotAllowedError,
    NotFoundError,
    NotOwnerError,
    PositionGoneError,
    TwinholdError,
    UnavailableError,
)
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

PAUSE_S = 0.05
PAUSE_MAX_S = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed entry of the tenant."""

    lsn: int
    app: str
    events: tuple[AnyMessage, ...]
    """The app's own messages."""
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries that this subscription will not show: read state by query, then go on with what follows."""

    first_lsn: int
    """0: not known, the stream broke before it had said where it stood."""
    last_lsn: int


Step: TypeAlias = Entry | Gap


async def steps(
    tenant: str, after_lsn: int | None, dialler: Dialler, owner_endpoint: Callable[[], str]
) -> AsyncIterator[Step]:
    """Follow a tenant's events until the caller stops.

    Args:
        tenant: whose events.
        after_lsn: only entries after this one; None: only new ones.
        dialler: opens channels.
        owner_endpoint: who serves the tenant now, looked up before every attempt.

    Raises:
        TwinholdError: the server refused for good, e.g. the tenant does not exist.
    """
    reader = _Reader(tenant, after_lsn, dialler)
    pause_s = PAUSE_S
    while True:
        try:
            async for step in reader.follow(owner_endpoint()):
                pause_s = PAUSE_S
                yield step
        except (aio.AioRpcError, TwinholdError) as cause:
            error = judged(cause)[0] if isinstance(cause, aio.AioRpcError) else cause
            if isinstance(error, PositionGoneError):
                yield reader.jump()
            elif _final(error):
                raise error from cause
        if (missed := reader.missed()) is not None:
            yield missed
        await asyncio.sleep(pause_s)
        pause_s = min(PAUSE_MAX_S, pause_s * 2)


class _Reader:
    """Where one subscription stands."""

    def __init__(self, tenant: str, after_lsn: int | None, dialler: Dialler) -> None:
        self._tenant = tenant
        self._after = after_lsn
        self._dialler = dialler
        self._opened = False

    async def follow(self, endpoint: str) -> AsyncIterator[Step]:
        """Read one stream to its end."""
        request = pb.SubscribeRequest(tenant=self._tenant, after_lsn=self._after)
        stub = rpc.CommandServiceStub(self._dialler.channel(endpoint))
        stream = stub.Subscribe(request, metadata=self._dialler.metadata)
        try:
            async for response in stream:
                self._opened = True
                step = self._taken(response)
                if step is not None:
                    yield step
        finally:
            stream.cancel()

    def jump(self) -> Gap:
        """Give up the position, and say so."""
        first, self._after = (self._after or 0) + 1, None
        return Gap(first, 0)

    def missed(self) -> Gap | None:
        """Say what may have been missed when a stream broke before it had told a position."""
        if self._after is not None or not self._opened:
            return None
        self._opened = False
        return Gap(0, 0)

    def _taken(self, response: pb.SubscribeResponse) -> Step | None:
        if response.HasField("gap"):
            self._after = response.gap.last.lsn
            return Gap(response.gap.first.lsn, response.gap.last.lsn)
        if response.HasField("caught_up"):
            self._after = max(self._after or 0, response.caught_up.lsn)
            return None
        entry = response.entry
        if self._after is not None and entry.position.lsn <= self._after:
            return None
        self._after = entry.position.lsn
        return Entry(entry.position.lsn, entry.app, tuple(entry.events), entry.actor, entry.at_ms)


def _final(error: TwinholdError) -> bool:
    if isinstance(error, NotOwnerError | UnavailableError):
        return False
    return isinstance(error, NotFoundError | FixRequestError | NotAllowedError)
