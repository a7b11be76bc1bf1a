"""Callbacks that wait for their time, in its order: one timer of a loop serves them all."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from core.machine import NEVER


@dataclass(slots=True, init=False)
class Alarm:
    """A callback that waits; made without a call of ours, because a process sets dozens in a second."""

    callback: Callable[[], None] | None

    def cancel(self) -> None:
        """Forget it; harmless when it has already run."""
        self.callback = None


class Alarms:
    """A heap of them; equal times in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0

    def set(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Add one."""
        self._count += 1
        alarm = Alarm()
        alarm.callback = callback
        heappush(self._heap, (when, self._count, alarm))
        return alarm

    def next_at(self) -> float:
        """Say when the next one is due; those that were cancelled do not count."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def ring(self, now: float, before: Callable[[], object] | None) -> None:
        """Run those that are due, and ``before`` before each; one that fails leaves those after it to the next call."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            alarm = heappop(heap)[2]
            callback, alarm.callback = alarm.callback, None
            if callback is not None:
                if before is not None:
                    before()
                callback()
