"""The committed total: how many schedules the code has passed, added up over runs, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from regions.document import number, parsed, required, sequence, table, text, whole

COUNT_MAX = 10**12
FRESH_SEED = 100_001
"""The first seed that counts; those below are run by tests, again and again."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run adds."""

    date: str
    """In UTC, like 2026-01-31."""
    first_seed: int
    last_seed: int
    schedules: int
    """That kept every law."""
    broken: int
    """That did not."""
    simulated_hours: float
    operations: int
    """Acknowledged ones."""


@dataclass(frozen=True, slots=True)
class Proof:
    """All runs, oldest first, and the laws that were judged in the last one."""

    laws: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def schedules(self) -> int:
        """Count what passed."""
        return sum(run.schedules for run in self.runs)

    @property
    def next_seed(self) -> int:
        """Name the first seed that no run has tried."""
        return max((run.last_seed + 1 for run in self.runs), default=FRESH_SEED)


NOTHING = Proof((), ())
RUN = ("date", "first_seed", "last_seed", "schedules", "broken", "simulated_hours", "operations")


def with_run(proof: Proof, run: Run, laws: tuple[str, ...]) -> Proof:
    """Add a run; one of the same day that goes on where the last one ended is told together with it."""
    last = proof.runs[-1] if proof.runs else None
    if last is None or (last.date, last.last_seed + 1) != (run.date, run.first_seed):
        return Proof(laws, (*proof.runs, run))
    joined = replace(
        run,
        first_seed=last.first_seed,
        schedules=last.schedules + run.schedules,
        broken=last.broken + run.broken,
        simulated_hours=round(last.simulated_hours + run.simulated_hours, 2),
        operations=last.operations + run.operations,
    )
    return Proof(laws, (*proof.runs[:-1], joined))


def printed(proof: Proof) -> str:
    """Write it down, the total first."""
    total: Mapping[str, object] = {
        "schedules": proof.schedules,
        "simulated_hours": round(sum(run.simulated_hours for run in proof.runs), 2),
        "operations": sum(run.operations for run in proof.runs),
        "laws": list(proof.laws),
        "runs": [asdict(run) for run in proof.runs],
    }
    return json.dumps(total, indent=2) + "\n"


def proof(content: str, file: str) -> Proof:
    """Read it.

    Raises:
        DocumentError: it is none; names file and line.
    """
    entry = parsed(content, file)
    table(entry, ("schedules", "simulated_hours", "operations", "laws", "runs"))
    runs = []
    for one in sequence(required(entry, "runs")):
        table(one, RUN)
        counts = {name: whole(required(one, name), least=0, most=COUNT_MAX) for name in RUN[1:5]}
        runs.append(
            Run(
                date=text(required(one, "date")),
                simulated_hours=number(required(one, "simulated_hours"), least=0.0, most=COUNT_MAX),
                operations=whole(required(one, "operations"), least=0, most=COUNT_MAX),
                **counts,
            )
        )
    return Proof(tuple(text(law) for law in sequence(required(entry, "laws"))), tuple(runs))
