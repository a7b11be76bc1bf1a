"""``python -m tests.sim.mutants``: hunts every mutant, says what became of each, and writes the kill table."""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.sim.mutants.catalog import MUTANTS, WAITING
from tests.sim.mutants.kill import Fate, hunted
from tests.sim.mutants.table import page, summary, told

PAGE = Path(__file__).parents[3] / "docs" / "mutants.md"
TRIES = 24


def fate_of(name: str, tries: int) -> Fate:
    """Hunt one, in whatever process."""
    return hunted(MUTANTS[name], tries=tries)


def main() -> int:
    """Hunt them; returns 1 when one survives, or dies by another law than it was to break."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("words", nargs="*", help="hunt only those whose name holds one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--tries", type=int, default=TRIES, help="runs to spend on each shorter schedule")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = parser.parse_args()
    names = [name for name in MUTANTS if not asked.words or any(word in name for word in asked.words)]
    fates: list[Fate] = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for done in as_completed([pool.submit(fate_of, name, asked.tries) for name in names]):
            fates.append(done.result())
            sys.stdout.write(f"{told(fates[-1])}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{summary(fates)}\n")
    if asked.write:
        PAGE.write_text(page(fates, MUTANTS, WAITING), encoding="utf-8")
    return 0 if all(fate.right for fate in fates) else 1


if __name__ == "__main__":
    sys.exit(main())
