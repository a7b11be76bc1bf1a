"""A stream of signs of life to one target: opened again when it breaks, with a knock that tells gone from silent."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from core.backoff import Backoff
from core.errors import TwinholdError
from core.io.dial import BROKEN
from core.io.knock import gone
from core.ports import Clock
from core.timers import Timers
from nodes.sighting import QUIET_BEATS, Sighting

BACKOFF_S = (0.2, 2.0)
"""Bounds of the first and of every later pause before a target is dialled again."""


class Watched:
    """One target that this node looks at through a stream of its own.

    Args:
        host: the target's address.
        port: the target's port.
        trip: seconds one way.
        timers: how silence and refusal are judged.
        clock: this process's clock.
        chance: jitter.
        beats: probe intervals between two signs of life.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        trip: float,
        timers: Timers,
        clock: Clock,
        chance: Random,
        beats: int = QUIET_BEATS,
    ) -> None:
        self.sighting = Sighting(clock.now(), beats=beats)
        self._address = (host, port)
        self._trip = trip
        self._timers = timers
        self._clock = clock
        self._backoff = Backoff(*BACKOFF_S, chance)
        self._answered = False

    def heard(self, trips: int = 1) -> None:
        """Take a sign of life off its stream: it counts from when it would have made its trip, or both ways.

        Nothing waits for that moment: what is asked for is when silence began, and a timer for every sign of life was
        a fifth of what an idle node woke for.
        """
        self._answered = True
        self.sighting.heard(self._clock.now() + trips * self._trip)

    async def look(self, once: Callable[[], Awaitable[None]]) -> None:
        """Run ``once``, which opens the stream and carries it until it breaks, again and again until cancelled."""
        while True:
            self._answered = False
            with suppress(*BROKEN, TwinholdError, TimeoutError):
                await once()
            if self._answered:
                self._backoff.reset()
                if await gone(*self._address, timers=self._timers, trip=self._trip):
                    self.sighting.gone()
            await asyncio.sleep(self._backoff.next_s())
