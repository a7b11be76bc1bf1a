"""What an observer sees of one target: alive, missing beats, silent for the full wait, or refused after a reset."""

from dataclasses import dataclass
from enum import Enum

from core.timers import Timers

QUIET_BEATS = 2
"""Probe intervals between two signs of life: three of them still fit into the full wait, and messages are what an idle
fleet costs."""
SUSPECT_BEATS = 2.25
"""So many missed beats are worth mentioning, but no judgement yet."""


class Sight(Enum):
    """What is seen; the values are those of ``Observation.Sight`` without its prefix."""

    ALIVE = "ALIVE"
    SUSPECT = "SUSPECT"
    SILENT = "SILENT"
    REFUSED = "REFUSED"


@dataclass(slots=True)
class Sighting:
    """One target; only an answer counts as life, an accepted connection does not.

    ``heard_at`` is in seconds on the observer's clock; before the first answer it is when the observer began to look.
    """

    heard_at: float
    refused: bool = False
    beats: int = QUIET_BEATS
    """Probe intervals between two signs of life when all is quiet."""

    def heard(self, now: float) -> None:
        """Take a sign of life."""
        self.heard_at, self.refused = now, False

    def gone(self) -> None:
        """Take a reset after which connects were refused."""
        self.refused = True

    def forget(self, now: float) -> None:
        """Start the wait anew: the observer itself was away."""
        self.heard_at, self.refused = now, False

    def sight(self, now: float, timers: Timers) -> Sight:
        """Judge by how long nothing was heard, and whether the target refuses."""
        silent_s, beat_s = now - self.heard_at, self.beats * timers.probe_s
        if silent_s <= SUSPECT_BEATS * beat_s and silent_s < timers.silence_s and not self.refused:
            return Sight.ALIVE  # As nearly everybody is at nearly every look.
        return judged(silent_s, refused=self.refused, beat_s=beat_s, timers=timers)


def judged(silent_s: float, *, refused: bool, beat_s: float, timers: Timers) -> Sight:
    """Judge a silence of ``silent_s`` seconds where a sign of life is due every ``beat_s``; a negative one is none."""
    if refused:
        return Sight.REFUSED
    if silent_s >= timers.silence_s:
        return Sight.SILENT
    return Sight.SUSPECT if silent_s > SUSPECT_BEATS * beat_s else Sight.ALIVE
