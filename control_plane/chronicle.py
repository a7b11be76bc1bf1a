"""Brings the lines of the audit journal to the store, a batch at a time; decisions never wait for it."""

from collections import deque
from collections.abc import Callable

from control_plane.audit import AuditEvent, Repeats
from control_plane.ports import AssignmentStore, StaleTerm, Unknown, WriteAnswer
from core.ports import Clock

GATHER_S = 0.05
BATCH_MAX = 256
WAITING_MAX = 20_000
"""Lines that wait while the store does not answer; the oldest go first."""
AGAIN_S = 1.0
_SAID_ONCE = ("verdict.withheld", "brake.halted", "exposure.unrepaired", "move.refused", "failover.impossible")
"""Types of lines that would otherwise be said again at every look."""


class Chronicle:
    """One leader's pen.

    Args:
        store: where the journal is kept.
        clock: when to write.
        term: the leader's.
        encode: serializes a line.
        added: told after lines are known to be in the journal.
    """

    def __init__(
        self,
        store: AssignmentStore,
        clock: Clock,
        term: int,
        *,
        encode: Callable[[AuditEvent], bytes],
        added: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._term = term
        self._encode = encode
        self._added = added
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._repeats = Repeats()
        self._busy = False
        self.closed = False

    def write(self, event: AuditEvent) -> bool:
        """Take a line; False: it says again what was just said."""
        if event.type in _SAID_ONCE and not self._repeats.fresh(event, self._clock.now()):
            return False
        self._waiting.append(self._encode(event))
        self._later(GATHER_S)
        return True

    def _later(self, delay_s: float) -> None:
        if not self._busy and not self.closed:
            self._busy = True
            self._clock.call_at(self._clock.now() + delay_s, self._send)

    def _send(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
        if not batch or self.closed:
            self._busy = False
            return
        self._store.append_events(self._term, batch, lambda answer: self._answered(batch, answer))

    def _answered(self, batch: list[bytes], answer: WriteAnswer) -> None:
        """An unknown outcome is written again: a line twice is better than none."""
        self._busy = False
        if isinstance(answer, StaleTerm):
            self.closed = True
        elif isinstance(answer, Unknown):
            self._waiting.extendleft(reversed(batch))
            self._later(AGAIN_S)
        else:
            self._added()
            if self._waiting:
                self._later(0.0)
