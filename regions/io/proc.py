"""What /proc tells about a process: whether it runs, since when, and how much work it has done."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class State(StrEnum):
    """What a process does, as far as the kernel says."""

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one moment."""

    state: State
    started_ticks: int
    cpu_s: float
    """User and system time so far."""


def seen(pid: int) -> Seen | None:
    """Look at a process; None: there is none of this pid."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = line.rpartition(")")[2].split()  # the name before may contain anything, blanks and brackets too
    states = {"T": State.FROZEN, "t": State.FROZEN, "Z": State.DEAD, "X": State.DEAD}
    return Seen(
        state=states.get(fields[0], State.RUNNING),
        started_ticks=int(fields[19]),
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
    )


def is_alive(pid: int, started_ticks: int) -> bool:
    """Say whether this very process, and not a later one of the same pid, is there."""
    found = seen(pid)
    return found is not None and found.state is not State.DEAD and found.started_ticks == started_ticks
