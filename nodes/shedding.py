"""Which work is turned away when a node has too much of it: the cheapest to redo first, acknowledged work never.

``maximum_concurrent_rpcs`` is broken in grpc.aio (grpc#41531), and it could not tell a read from a write.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from core.errors import OverloadedError

RETRY_AFTER_S = 0.1


class Work(IntEnum):
    """What a caller wants; as a number, how many pieces of all work may be under way when one more is taken."""

    COMMAND = 8192
    QUERY = 4096
    SUBSCRIPTION = 2048


SUBSCRIPTIONS_MAX = 4096
"""Open streams; idle ones cost memory, not time, hence a count of their own."""


@dataclass(slots=True)
class Shedder:
    """Counts what is under way; whoever entered leaves exactly once."""

    busy: int = 0
    subscriptions: int = 0
    shed: dict[Work, int] = field(default_factory=lambda: dict.fromkeys(Work, 0))

    def enter(self, work: Work) -> None:
        """Take a piece of work in.

        Raises:
            OverloadedError: there is too much; certainly not done.
        """
        full = work is Work.SUBSCRIPTION and self.subscriptions >= SUBSCRIPTIONS_MAX
        if full or self.busy >= work:
            self.shed[work] += 1
            raise OverloadedError(
                f"this node has {self.busy} requests under way: try again in {RETRY_AFTER_S} s",
                retry_after_s=RETRY_AFTER_S,
            )
        if work is Work.SUBSCRIPTION:
            self.subscriptions += 1
        else:
            self.busy += 1

    def leave(self, work: Work) -> None:
        """Note that a piece of work is over."""
        if work is Work.SUBSCRIPTION:
            self.subscriptions -= 1
        else:
            self.busy -= 1
