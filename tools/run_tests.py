"""Runs the tests in the time of the longer half: what waits for real processes, and beside it what only computes.

Tests that start processes leave a core idle most of the time, and are sensitive to load: those that only compute run
beside them at a lower priority, and their output comes once they are over. The simulated schedules, which keep every
core busy by themselves, run last. With arguments, one pytest runs with these. Run from the top of the repository.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

PYTEST = (sys.executable, "-m", "pytest", "-m", "not engines")
PURE = (
    "tests/model",
    "tests/sim",
    *(f"tests/unit/{floor}" for floor in ("chaos", "client", "control_plane", "core", "nodes")),
)
"""What only computes: no process, no socket, no time but virtual."""
SCHEDULES = "tests/sim/test_fleet_schedules.py::test_fleets_in_trouble_keep_every_law_and_become_whole"
NICENESS = 10
END_S = 60.0
"""How long tests that are interrupted may take to clean up."""
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the tests, in a pytest of their own."""

    process: subprocess.Popen[bytes]
    results: Path
    shown: Path | None = None
    """Where its output is kept until it is over; None: it is seen as it comes."""

    def show(self) -> None:
        """Print what was kept."""
        if self.shown is not None:
            sys.stdout.write(self.shown.read_text(errors="replace"))
            sys.stdout.flush()

    def counts(self) -> Counter[str]:
        """Count its tests by what became of them; nothing of a part that did not end by itself."""
        if not self.results.exists():
            return Counter()
        suites = list(ET.parse(self.results).getroot().iter("testsuite"))
        total, skipped = (sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "skipped"))
        failed = sum(int(suite.get(name, "0")) for suite in suites for name in ("failures", "errors"))
        return Counter(passed=total - skipped - failed, failed=failed, skipped=skipped)


def main(arguments: Sequence[str]) -> int:
    """Run the tests; returns pytest's exit code, of the first part that has another one than 0."""
    if arguments:
        os.execv(sys.executable, [*PYTEST, *arguments])
    begun = time.monotonic()
    parts: list[Part] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        try:
            _run(Path(folder), parts, stack)
        except KeyboardInterrupt:
            _interrupt(parts)
            return INTERRUPTED
        finally:
            counts = sum((part.counts() for part in parts), Counter[str]())
            told = ", ".join(f"{counts[what]} {what}" for what in ("passed", "failed", "skipped"))
            sys.stdout.write(f"{told} in {time.monotonic() - begun:.0f} s\n")
    return next((part.process.returncode for part in parts if part.process.returncode), 0)


def _run(folder: Path, parts: list[Part], stack: ExitStack) -> None:
    live = [f"--ignore={path}" for path in PURE]
    parts.append(_part(folder / "live", live, stack))
    beside = [*(path for path in PURE if Path(path).exists()), f"--deselect={SCHEDULES}"]
    parts.append(_part(folder / "pure", beside, stack, quiet=True))
    for part in parts:
        part.process.wait()
        part.show()
    parts.append(_part(folder / "schedules", [SCHEDULES], stack))
    parts[-1].process.wait()


def _part(place: Path, arguments: Iterable[str], stack: ExitStack, *, quiet: bool = False) -> Part:
    """Begin; in a process group of its own, so that Ctrl-C reaches it once, through us."""
    results, shown = place.with_suffix(".xml"), place.with_suffix(".out") if quiet else None
    nice = ("nice", "-n", str(NICENESS)) if quiet else ()
    process = subprocess.Popen(
        [*nice, *PYTEST, f"--junit-xml={results}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=None if shown is None else stack.enter_context(shown.open("wb")),
        stderr=None if shown is None else subprocess.STDOUT,
        process_group=0,
    )
    return Part(process, results, shown)


def _interrupt(parts: Iterable[Part]) -> None:
    """End what still runs, with time to end its own processes, and show what it had to say."""
    running = [part for part in parts if part.process.poll() is None]
    for part in running:
        part.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + END_S
    for part in running:
        try:
            part.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()
        part.show()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
