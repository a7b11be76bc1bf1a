"""`twinhold check`: judges a history that a rehearsal, or anybody else's tool, wrote."""

from pathlib import Path

import click

from chaos.io.check import run


@click.command()
@click.argument("history", type=click.Path(path_type=Path))
def check(history: Path) -> int:
    """Judge a HISTORY (history.jsonl): is what was acknowledged there, once, in order, and never read stale?

    Exit codes: 0 good, 1 violated, 2 malformed, 10 undecided.
    """
    return run(history)
