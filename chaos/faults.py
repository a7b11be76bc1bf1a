"""What can be done to a fleet, how it is proved to have happened, and what is noted before it is done.

A fault that did not happen must not count as survived: each one needs a receipt, made of what the operating system
says of the processes and of what a client of them sees. Nothing restarts by itself: whatever a fault stopped, only
its own undoing starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Deed(Enum):
    """What is done."""

    KILL = "kill"
    PAUSE = "pause"
    RESTART = "restart"
    DRAIN = "drain"

    @property
    def harms(self) -> bool:
        """Say whether it takes something away that only its undoing gives back."""
        return self in (Deed.KILL, Deed.PAUSE)


class ProcessState(Enum):
    """What the operating system says of a process."""

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


class Canary(Enum):
    """What a client sees that knocks at the process's door."""

    ANSWERED = "answered"
    SILENT = "connected, no answer"
    REFUSED = "connection refused"


EXPECTED: Mapping[Deed, tuple[frozenset[ProcessState], frozenset[Canary]]] = {
    Deed.KILL: (frozenset({ProcessState.DEAD}), frozenset({Canary.REFUSED})),
    # The kernel still accepts connections of a frozen process, until its queue is full.
    Deed.PAUSE: (frozenset({ProcessState.FROZEN}), frozenset({Canary.SILENT})),
    Deed.RESTART: (frozenset({ProcessState.RUNNING}), frozenset({Canary.ANSWERED})),
}


@dataclass(frozen=True, slots=True)
class Sign:
    """What was seen of one process."""

    process: str
    state: ProcessState
    canary: Canary


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof that a fault took effect, or the lack of it."""

    effective: bool
    evidence: tuple[str, ...]
    """One line per process."""


def receipt(deed: Deed, signs: Sequence[Sign]) -> Receipt:
    """Judge what was seen: every process must be as the deed would leave it, to the kernel and to a client."""
    states, canaries = EXPECTED[deed]
    evidence = tuple(f"{sign.process}: {sign.state.value}, {sign.canary.value}" for sign in signs)
    proved = all(sign.state in states and sign.canary in canaries for sign in signs)
    return Receipt(effective=proved and bool(signs), evidence=evidence)


@dataclass(frozen=True, slots=True)
class Pid:
    """A process by number and start, as numbers are used again."""

    pid: int
    started_ticks: int


@dataclass(slots=True)
class Entry:
    """One line of ``journal.json``: written before a deed is done, and again when it is proved and when undone."""

    number: int
    name: str
    deed: Deed
    target: str
    at_s: float
    """Seconds after the load began."""
    pids: Mapping[str, Pid]
    """What it stops, so that a later run can clear up after a run that was itself killed."""
    injected: bool = False
    reverted_at_s: float | None = None
    effective: bool | None = None
    evidence: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Write it for JSON."""
        return {
            "number": self.number,
            "name": self.name,
            "kind": self.deed.value,
            "target": self.target,
            "at_s": round(self.at_s, 3),
            "pids": {name: [pid.pid, pid.started_ticks] for name, pid in self.pids.items()},
            "injected": self.injected,
            "effective": self.effective,
            "evidence": self.evidence,
            "reverted_at_s": self.reverted_at_s,
        }


def left_behind(document: object) -> list[Pid]:
    """List what an earlier run's journal says it stopped and never let go; empty for whatever is no journal."""
    entries = document.get("entries") if isinstance(document, dict) else None
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("reverted_at_s") is None and isinstance(entry.get("pids"), dict):
            found += [Pid(*pair) for pair in entry["pids"].values() if _is_pair(pair)]
    return found


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(type(number) is int and number > 0 for number in pair)
