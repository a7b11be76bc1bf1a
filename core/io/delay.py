"""Distance on one machine: what crosses data centers is held for the trip that it would take, in order.

All data centers of a rehearsal share one machine; without this, everything would look better than it would be.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Generic, TypeVar

import grpc

from core.errors import TwinholdError
from core.machine import NEVER
from core.names import DcId
from core.ports import Clock, Timer
from core.topology import Topology, rtt_s

Item = TypeVar("Item")
Answer = TypeVar("Answer")
TICK_S = 0.0005
"""A loop's timers stand on whole milliseconds: half of one early or late evens out, and what is due within goes too."""


class DelayLine(Generic[Item]):
    """Holds every item for the same while and keeps their order; without delay, items pass straight through.

    Args:
        clock: whose time it is.
        delay_s: how long an item is held.
        deliver: where it goes then.
    """

    def __init__(self, clock: Clock, delay_s: float, deliver: Callable[[Item], None]) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._deliver = deliver
        self._held: deque[tuple[float, Item]] = deque()
        self._timer: Timer | None = None
        self._rings_at = NEVER

    def put(self, item: Item, *, slack_s: float = 0.0) -> None:
        """Send an item on its way.

        Args:
            item: arrives after the delay.
            slack_s: it may arrive so much later, unless one behind it comes first: then it arrives at a multiple of
                this, where everything that has the same slack arrives, on all lines of all processes of the machine.
        """
        if self._delay_s <= 0:
            self._deliver(item)
            return
        due = self._clock.now() + self._delay_s
        if slack_s > 0:
            due = ceil(due / slack_s) * slack_s
        self._held.append((due, item))
        if due < self._rings_at:
            self._ring_at(due)

    @property
    def idle(self) -> bool:
        """Say whether nothing is on its way."""
        return not self._held

    def clear(self) -> None:
        """Lose what is on its way."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings_at = None, NEVER

    def _ring_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = due
        self._timer = self._clock.call_at(due - TICK_S, self._ripe)

    def _ripe(self) -> None:
        """Deliver what is due, and whatever was sent before it."""
        self._timer, self._rings_at = None, NEVER
        now, ripe = self._clock.now() + TICK_S, 0
        for place, (due, _) in enumerate(self._held, 1):
            if due <= now:
                ripe = place
        while ripe and self._held:
            ripe -= 1
            self._deliver(self._held.popleft()[1])
        if self._held and (first := min(due for due, _ in self._held)) < self._rings_at:
            self._ring_at(first)


def trip_s(topology: Topology, a: DcId, b: DcId) -> float:
    """Say how long one way takes: half the round trip; nothing within a data center."""
    return rtt_s(topology.data_center(a), topology.data_center(b)) / 2


async def across(trip: float, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a unary call over a distance of ``trip`` seconds one way; errors travel back no faster than answers."""
    await asyncio.sleep(trip)
    try:
        answer = await call()
    except (grpc.RpcError, TwinholdError):
        await asyncio.sleep(trip)
        raise
    await asyncio.sleep(trip)
    return answer
