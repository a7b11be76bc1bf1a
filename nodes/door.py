"""Where commands and queries wait for their turn: limits per tenant, fair turns, and a bounded share of each loop turn.

A flood of one tenant waits here and delays itself; the commands of its shard-mates pass it.
"""

from collections.abc import Callable
from typing import NamedTuple

from core.errors import OverloadedError, TwinholdError
from core.ports import Clock, Spawn
from nodes.admission import OVERLOADED_RETRY_S, Admission, Limits
from nodes.shedding import Shedder, Work

TURN_S = 0.005
"""Work started per loop turn; heartbeats and acknowledgements run between the turns."""
TURN_ITEMS = 128
STRAIGHT_ITEMS = 16
"""So many begin as they come, while nothing waits; then a turn is awaited: all of them may have come in one."""


class Visitor(NamedTuple):
    """One piece of work: how to begin it, and how to say that it never will be."""

    work: Work
    begin: Callable[[], None]
    refuse: Callable[[TwinholdError], None]


class Door:
    """The one way in for commands and queries.

    Args:
        limits: of each tenant, and of what waits.
        shedder: bounds what is under way, waiting or not.
        clock: whose time it is.
        spawn: runs the turns.
    """

    def __init__(self, limits: Limits, shedder: Shedder, *, clock: Clock, spawn: Spawn) -> None:
        self.leave = shedder.leave
        """Notes that a piece of work is over."""
        self._admission = Admission[Visitor](limits)
        self._shedder = shedder
        self._clock = clock
        self._spawn = spawn
        self._open = False
        """A turn is on its way."""
        self._straight = STRAIGHT_ITEMS

    @property
    def busy(self) -> bool:
        """Say whether work waits for its turn."""
        return self._open

    def reads_straight(self) -> bool:
        """Say whether a read may have its turn at once; if so, it is over before anything else happens."""
        return self._shedder.busy < Work.QUERY and self._is_straight()

    def enters_straight(self, tenant: str, *, size_bytes: int) -> bool:
        """Let a command in and have its turn at once, if nothing waits; whoever was let in calls ``leave`` once.

        Raises:
            OverloadedError: a limit is reached; certainly not done, and not let in.
        """
        if not self._is_straight():
            return False
        self._shedder.enter(Work.COMMAND)
        try:
            self._admission.count(tenant, size_bytes=size_bytes, now=self._clock.now())
        except OverloadedError:
            self._shedder.leave(Work.COMMAND)
            raise
        return True

    def enter(self, tenant: str, visitor: Visitor, *, size_bytes: int) -> None:
        """Let a piece of work wait for its turn; whoever entered calls ``leave`` exactly once.

        Raises:
            OverloadedError: a limit is reached; certainly not done, and not entered.
        """
        self._shedder.enter(visitor.work)
        try:
            gave_way = self._admission.offer(
                tenant,
                visitor.work,
                visitor,
                size_bytes=size_bytes,
                now=self._clock.now(),
            )
        except OverloadedError:
            self._shedder.leave(visitor.work)
            raise
        for other in gave_way:
            other.refuse(OverloadedError("a command took this read's place", retry_after_s=OVERLOADED_RETRY_S))
        if not self._open:
            self._open_soon()

    def subscribe(self, tenant: str) -> None:
        """Count a subscription in; raises OverloadedError."""
        self._shedder.enter(Work.SUBSCRIPTION)
        try:
            self._admission.subscribe(tenant, self._clock.now())
        except OverloadedError:
            self._shedder.leave(Work.SUBSCRIPTION)
            raise

    def unsubscribe(self, tenant: str) -> None:
        """Count a subscription out."""
        self._admission.unsubscribe(tenant)
        self._shedder.leave(Work.SUBSCRIPTION)

    def _is_straight(self) -> bool:
        if self._open:
            return False
        self._straight -= 1
        if not self._straight:
            self._open_soon()
        return True

    def _open_soon(self) -> None:
        self._open = True
        self._spawn.soon(self._turn)

    def _turn(self) -> bool:
        until = self._clock.now() + TURN_S
        for _ in range(TURN_ITEMS):
            visitor = self._admission.next()
            if visitor is None:
                self._open, self._straight = False, STRAIGHT_ITEMS
                return False
            visitor.begin()
            if self._clock.now() > until:
                break
        return True
