"""`twinhold check`: reads a history file once and says whether it obeys the laws."""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.history import Line, MalformedLineError, parsed
from chaos.judgement import Judgement, Verdict
from chaos.laws import judged

EXIT_CODES = {Verdict.GOOD: 0, Verdict.VIOLATED: 1, Verdict.UNDECIDED: 10}
EXIT_MALFORMED = 2


def lines_of(path: Path) -> Iterator[Line]:
    """Yield the lines of a history file, one at a time.

    Raises:
        MalformedLineError: a line is not one of a history.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode()
            except UnicodeDecodeError as cause:
                raise MalformedLineError(number, "UTF-8 text", raw[:40]) from cause
            yield parsed(text, number)


def judged_file(path: Path) -> Judgement:
    """Judge a file, line by line; raises as ``lines_of`` does."""
    with without_cycles():
        return judged(lines_of(path))


@contextmanager
def without_cycles() -> Iterator[None]:
    """Do without the cycle collector: a judge holds millions of small values and no cycle, half the time goes there."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def told(judgement: Judgement, seconds: float) -> str:
    """Say a judgement: the figures in one line, then one line per finding."""
    lines = [
        f"{judgement.verdict.value}: {judgement.posts} posts ({judgement.acknowledged} acknowledged) and "
        f"{judgement.reads} reads checked in {seconds:.1f} s; lost {judgement.lost}, duplicated "
        f"{judgement.duplicated}, stale reads {judgement.stale_reads}",
        *map(str, judgement.findings),
    ]
    unlisted = judgement.violations - len(judgement.findings)
    if unlisted > 0:
        lines.append(f"and {unlisted} more")
    if judgement.verdict is Verdict.UNDECIDED:
        shown = ", ".join(map(str, judgement.unconfirmed[:10]))
        cause = f"no later read covers the acknowledged posts of lines {shown}" if shown else "it holds no operation"
        lines.append(f"{cause}: let one audit read per channel follow the last write")
    return "\n".join(lines)


def run(path: Path) -> int:
    """Check a file and print what was found.

    Returns:
        0 good, 1 violated, 10 undecided, 2 malformed.
    """
    start = time.monotonic()
    try:
        judgement = judged_file(path)
    except MalformedLineError as error:
        sys.stderr.write(f"malformed: {error}\n")
        return EXIT_MALFORMED
    except OSError as error:
        sys.stderr.write(f"{path} can't be read: {error.strerror}\n")
        return EXIT_MALFORMED
    sys.stdout.write(told(judgement, time.monotonic() - start) + "\n")
    return EXIT_CODES[judgement.verdict]
