"""``journal.json``: every fault is noted before it is injected, so that a later run can undo what this one leaves."""

import json
from collections.abc import Mapping
from pathlib import Path

from chaos.faults import Entry, Pid, left_behind
from core.io.hosted import write_whole
from regions.io.fleet_file import Process
from regions.io.leftovers import end_processes
from regions.io.proc import seen

NAME = "journal.json"


class Journal:
    """The journal of one run."""

    def __init__(self, folder: Path, run: Mapping[str, object]) -> None:
        self._path = folder / NAME
        self._run = run
        self.entries: list[Entry] = []

    def write(self) -> None:
        """Put it on disk, all of it or nothing."""
        document = {"run": self._run, "entries": [entry.document() for entry in self.entries]}
        write_whole(self._path, json.dumps(document, indent=2) + "\n")


def identified(pids: Mapping[str, int]) -> dict[str, Pid]:
    """Name processes for ever: by number and start."""
    found = {name: (pid, seen(pid)) for name, pid in pids.items()}
    return {name: Pid(pid, state.started_ticks) for name, (pid, state) in found.items() if state is not None}


def undo_left_behind(rehearsals: Path) -> list[str]:
    """End what earlier runs stopped and never let go, e.g. frozen processes of a run that was killed.

    Returns:
        One line per run that had left something.
    """
    lines = []
    for path in sorted(rehearsals.glob(f"*/{NAME}")):
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        processes = [Process(pid.pid, pid.started_ticks) for pid in left_behind(document)]
        living = [process for process in processes if process.alive]
        end_processes(living)
        if living:
            lines.append(f"ended {len(living)} processes that the run in {path.parent} had left stopped")
    return lines
