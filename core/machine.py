"""The shape of every decision maker: events and time in, actions and a wake-up time out.

A machine has ``on(event, now)`` and ``wake(now)``, both returning an ``Output``. It owns no clock, dice, disk, socket
or task, so the same object runs under gRPC in production and under virtual time in the simulator. Waking one too
early does no harm; waking one too late only delays it.
"""

from typing import Generic, NamedTuple, Protocol, TypeVar

Event_contra = TypeVar("Event_contra", contravariant=True)
Action_co = TypeVar("Action_co", covariant=True)

NEVER = float("inf")
"""A wake-up time that does not come."""


class Output(NamedTuple, Generic[Action_co]):
    """What a machine wants done, in order, and when it wants to be woken (seconds on its own clock).

    Every event makes one, so a named tuple: a frozen dataclass takes three times as long to make.
    """

    actions: tuple[Action_co, ...] = ()
    wake_at: float = NEVER


class Machine(Protocol[Event_contra, Action_co]):
    """A decision maker; ``now`` is in seconds on the host's monotonic clock, read after the event arrived."""

    def on(self, event: Event_contra, now: float) -> Output[Action_co]:
        """Take one event."""
        ...

    def wake(self, now: float) -> Output[Action_co]:
        """Let time pass."""
        ...
