"""A long-lived stream that is heard, and written to, in the turn in which a message comes or arises.

A task that waits for each message costs a turn of the loop more, and a dozen calls; our transport (``loop_grpc``) needs
none, at either end.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar, cast

from core.io.dial import BROKEN

Heard = TypeVar("Heard")
Said = TypeVar("Said")
Heard_co = TypeVar("Heard_co", covariant=True)
Said_contra = TypeVar("Said_contra", contravariant=True)

WAITING_MAX = 16
"""Messages that wait for room; whoever takes none gets no more, and each that is sent here says all that is new."""


class Way(Protocol[Heard_co, Said_contra]):
    """What a call, or the context of one, is at either end of our transport."""

    async def hear(self, take: Callable[[Heard_co], None]) -> None:
        """Hand over what comes in until the other side ends the call; raises what ``take`` raises."""
        ...

    async def write(self, message: Said_contra) -> None:
        """Send, once there is room."""
        ...

    def write_now(self, message: Said_contra) -> bool:
        """Send if it can leave at once; says whether it did."""
        ...


class TwoWay(Generic[Heard, Said]):
    """One stream.

    Args:
        way: a call of a channel of ours, or the context that a server of ours gives to a handler.
    """

    def __init__(self, way: object) -> None:
        self._way = cast(Way[Heard, Said], way)  # gRPC's own types, which stubs and handlers name, do not hear
        self._waiting: set[asyncio.Task[None]] = set()

    async def hear(self, take: Callable[[Heard], None]) -> None:
        """Hand every message to ``take`` until the stream ends, which loses what waits; raises what ``take`` raises."""
        try:
            await self._way.hear(take)
        finally:
            for task in self._waiting:
                task.cancel()

    def say(self, message: Said) -> None:
        """Send now, or in its turn as soon as there is room."""
        if not self._waiting and self._way.write_now(message):
            return
        if len(self._waiting) < WAITING_MAX:
            task = asyncio.ensure_future(self._write(message))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _write(self, message: Said) -> None:
        with suppress(*BROKEN):  # whoever hears learns that the stream has broken
            await self._way.write(message)
