"""One command's conversation with a fleet: finds the leader, survives its loss, ends in time."""

import asyncio
import getpass
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

import grpc

from cli.doors import Doors
from core.errors import NotLeaderError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.io.dial import channel
from core.io.serve import ACTOR_HEADER
from core.io.status import error_of

Request = TypeVar("Request")
Request_contra = TypeVar("Request_contra", contravariant=True)
Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Metadata: TypeAlias = tuple[tuple[str, str], ...]

PATIENCE_S = 8.0
"""A new leader stands within 2 s; a fleet that gives no answer for four times that long has none to give."""
DEAF_PATIENCE_S = 3.0
"""Where not one control plane lives there is no election to wait for."""
ATTEMPT_S = 2.5
PAUSE_S = 0.2


class Call(Protocol[Request_contra, Answer_co]):
    """A unary method of a stub."""

    def __call__(
        self, request: Request_contra, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Awaitable[Answer_co]:
        """Ask; raises what grpc.aio raises."""
        ...


Method: TypeAlias = Callable[[grpc.aio.Channel], Call[Request, Answer]]
"""Picks a method, given a channel to dial it on."""


def fresh_request_id() -> str:
    """Name one wish, so that asking again does not do it twice."""
    return str(uuid.uuid4())


def acting() -> str:
    """Say who asks; a server without credentials, which listens on loopback only, believes it."""
    return f"users/{getpass.getuser()}"


def worth_another_try(error: TwinholdError) -> bool:
    """Say whether another control plane, or the same one later, may answer better."""
    transient = isinstance(error, UnavailableError) and error.reason == "UNAVAILABLE"
    return transient or isinstance(error, NotLeaderError | UnknownOutcomeError)


@dataclass(slots=True)
class Session:
    """Asks the control planes of one fleet, one event loop long.

    Every request it repeats is either a read or carries a request id, so that repeating does no harm.
    """

    doors: Doors
    as_json: bool
    actor: str = field(default_factory=acting)
    _channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)
    _leader: str = ""

    @property
    def metadata(self) -> Metadata:
        """What goes with every call."""
        return ((ACTOR_HEADER, self.actor),)

    def channel(self, endpoint: str) -> grpc.aio.Channel:
        """Dial an endpoint, once."""
        if endpoint not in self._channels:
            self._channels[endpoint] = channel(endpoint)
        return self._channels[endpoint]

    async def ask(self, method: Method[Request, Answer], request: Request, *, server_wait_s: float = 0.0) -> Answer:
        """Ask whoever leads, following its hints and waiting out an election.

        Args:
            method: which call.
            request: what to ask.
            server_wait_s: how long the server itself may hold the answer back.

        Raises:
            UnavailableError: no control plane gave an answer in time.
            TwinholdError: the leader refused.
        """
        started = time.monotonic()
        patience_s = DEAF_PATIENCE_S
        hinted = False  # one hint is followed at once; two in a row may be followers that name each other
        turn = self.doors.turns()
        endpoint = self._leader or next(turn)
        while True:
            try:
                answer = await self.ask_at(endpoint, method, request, timeout_s=ATTEMPT_S + server_wait_s)
            except TwinholdError as error:
                if not worth_another_try(error):
                    raise
                if not isinstance(error, UnavailableError):
                    patience_s = PATIENCE_S + server_wait_s
                if time.monotonic() > started + patience_s:
                    raise self._nobody(error, patience_s) from error
                hint = error.facts.get("leader_endpoint", "")
                if not hint or hinted:
                    await asyncio.sleep(PAUSE_S)
                hinted = bool(hint) and not hinted
                endpoint = hint or next(turn)
            else:
                self._leader = endpoint
                return answer

    async def ask_at(
        self, endpoint: str, method: Method[Request, Answer], request: Request, *, timeout_s: float
    ) -> Answer:
        """Ask one server, once.

        Raises:
            TwinholdError: what the server, or the way to it, answered instead.
        """
        try:
            return await method(self.channel(endpoint))(request, timeout=timeout_s, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise UnavailableError(
                    f"{endpoint} does not serve this call: point --endpoint at a control plane", reason="UNIMPLEMENTED"
                ) from error
            raise error_of(error) from error

    def _nobody(self, last: TwinholdError, waited_s: float) -> UnavailableError:
        tried = ", ".join(self.doors.control_planes.values())
        cause = last.message.rpartition(": ")[2]  # of gRPC's chain of causes, the one that a person knows
        return UnavailableError(
            f"no control plane gave an answer within {waited_s:.0f} s ({tried}; the last: {cause}): is the fleet up?"
        )

    async def close(self) -> None:
        """Hang up."""
        for dialled in self._channels.values():
            await dialled.close(None)


@asynccontextmanager
async def session(doors: Doors, *, as_json: bool) -> AsyncIterator[Session]:
    """Open a session and hang up afterwards."""
    opened = Session(doors, as_json)
    try:
        yield opened
    finally:
        await opened.close()
