"""Check the model at large, and see every mutant of it caught: ``python -m tests.model.prove [WORD...]``.

With words: only the configurations whose names hold one of them. Prints a line for each, a counterexample where the
verdict is not the expected one, and ends with 1 then.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.model.configurations import LARGE, MUTANTS, SMALL
from tests.model.tlc import check, complaint, lacking


def say(line: str) -> None:
    """Show a line at once: a check can take minutes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(words: Sequence[str]) -> int:
    """Ask for everything, or for what the words pick."""
    picked = [c for c in (*MUTANTS, SMALL, *LARGE) if not words or any(word in c.name for word in words)]
    missing = lacking()
    if missing or not picked:
        say(missing or "no configuration has such a name")
        return 1
    wrong = 0
    for configuration in picked:
        with tempfile.TemporaryDirectory() as folder:
            verdict = check(configuration, Path(folder))
        say(
            f"{configuration.name:84}{verdict.broken or 'holds':24}"
            f"{verdict.states:>10,} states{verdict.depth:>4} steps{verdict.took_s:>8.1f} s"
        )
        if unexpected := complaint(configuration, verdict):
            wrong += 1
            say(unexpected)
    say(f"{len(picked) - wrong} of {len(picked)} verdicts as expected")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
