"""The work of one session: each piece is answered once, by the node or by its deadline; and which reads may travel."""

from collections.abc import Callable
from typing import TypeAlias

from core.errors import AnswerTooLargeError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.machine import NEVER
from nodes.shedding import Work
from nodes.views import Answered, QueryAnswer

MESSAGE_ITEMS_MAX = 256
IN_FLIGHT_MAX = 1024
WAIT_MAX_S = 30.0
"""How long whoever names no deadline waits for an answer; nobody waits longer."""
READ_BYTES_MAX = 64 * 1024
"""A longer answer would hold up everything else on its stream."""

Result: TypeAlias = Answered | QueryAnswer | TwinholdError


class Errand:
    """One command or read, from its arrival to its answer.

    Args:
        ticket: as the caller chose.
        work: which kind.
        until: when its caller stops waiting, on the clock of the session.
        errands: where it is among others.
    """

    __slots__ = ("_errands", "begun", "over", "ticket", "until", "work")

    def __init__(self, ticket: int, work: Work, until: float, errands: "Errands") -> None:
        self.ticket = ticket
        self.work = work
        self.until = until
        self.over = False
        """It is answered."""
        self.begun = False
        """It has had its turn."""
        self._errands = errands

    def begin(self, run: Callable[[], None]) -> None:
        """Run it; not at all if its time was over before its turn came."""
        if self.over:
            self._errands.leave(self.work)
            return
        self.begun = True
        run()

    def done(self, result: Result) -> None:
        """Take what came of it; too late, it is only over."""
        self._errands.leave(self.work)
        self._end(result)

    def expire(self) -> None:
        """Answer it as what it is when its time is over: certainly not done, or perhaps."""
        if self.begun and self.work is Work.COMMAND:
            self._end(UnknownOutcomeError("its time was over before it was committed: retry with the same request id"))
        else:
            self._end(UnavailableError("its time was over before it was answered: certainly not done"))

    def _end(self, result: Result) -> None:
        if not self.over:
            self.over = True
            self._errands.open.discard(self)
            self._errands.answered(self.ticket, result)


class Errands:
    """What one session has under way.

    Args:
        leave: called once for each, when the node is through with it; that may be after its answer.
        answered: called once for each, with its ticket and its answer.
    """

    def __init__(self, *, leave: Callable[[Work], None], answered: Callable[[int, Result], None]) -> None:
        self.leave = leave
        self.answered = answered
        self.open: set[Errand] = set()
        """Let in, and owed an answer."""

    def wake(self, now: float) -> float:
        """Answer whoever's time is over; returns when the next one's is."""
        for errand in [errand for errand in self.open if errand.until <= now]:
            errand.expire()
        return min((errand.until for errand in self.open), default=NEVER)


def patience_s(wait_ms: int) -> float:
    """Say how long a caller waits who gave a number of milliseconds; 0: it gave none."""
    wait_s = wait_ms / 1000
    return wait_s if 0 < wait_s < WAIT_MAX_S else WAIT_MAX_S


def only_part(answer: QueryAnswer, *, limit_bytes: int) -> tuple[str, bytes]:
    """Take the one part of an answer that may share a stream with others, as (type url, body).

    Raises:
        AnswerTooLargeError: it has more parts, or a larger one.
    """
    parts = answer.parts
    if len(parts) != 1 or len(parts[0][1]) > limit_bytes:
        raise AnswerTooLargeError(size_bytes=sum(len(body) for _, body in parts), limit_bytes=limit_bytes)
    return parts[0]
