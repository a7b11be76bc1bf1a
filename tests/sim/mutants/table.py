"""The kill table: which mutant was caught by which law, in how many schedules, by how many faults."""

from collections.abc import Iterable, Mapping, Sequence

from tests.sim.mutants.kill import Fate
from tests.sim.mutants.mutant import Mutant

HEAD = """# Mutants

Every rule below was broken on purpose, one at a time, and the simulated worlds looked for it. A law must catch it
within the budget of schedules, it must be the law that the rule upholds, and the very schedule that catches it must
pass without it. Laws are named as in `chaos/fleet_laws.py` and `chaos/judgement.py`. "Faults" are those left in the
shortest schedule that was found; a script brings its moment about by what happens, and the pair world decides what
fails as it goes.

This page is written by `make prove-mutants`; never edit it.
"""
COLUMNS = ("mutant", "what it does", "expected", "caught by", "world", "schedules", "budget", "faults")


def page(fates: Iterable[Fate], mutants: Mapping[str, Mutant], waiting: Sequence[str]) -> str:
    """Write the page.

    Args:
        fates: of all mutants.
        mutants: by name, in the order of the table.
        waiting: names of those that can't be tried yet.
    """
    found = {fate.name: fate for fate in fates}
    rows = [_row(mutant, found[name]) for name, mutant in mutants.items() if name in found]
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *map(_line, rows)]
    later = "".join(f"* {name}\n" for name in waiting)
    return f"{HEAD}\n{summary(found.values())}\n\n" + "\n".join(lines) + f"\n\nWaiting for the tenant move:\n\n{later}"


def summary(fates: Iterable[Fate]) -> str:
    """Count them in one line."""
    all_of_them = list(fates)
    right = sum(fate.right for fate in all_of_them)
    wrong = sum(fate.killed for fate in all_of_them) - right
    alive = len(all_of_them) - right - wrong
    return f"{len(all_of_them)} mutants: {right} killed by the expected law, {wrong} by another, {alive} alive."


def told(fate: Fate) -> str:
    """Say what became of one, in one line."""
    if fate.law is None:
        return f"SURVIVED {fate.name}: {fate.schedules} schedules"
    if fate.alone is not None:
        return f"NO PROOF {fate.name}: schedule {fate.schedules} breaks {fate.alone.name} without it"
    how = "killed" if fate.right else f"WRONG LAW ({fate.expected.name} expected)"
    return f"{how} {fate.name}: {fate.law.name} in schedule {fate.schedules}: {fate.what}"


def _row(mutant: Mutant, fate: Fate) -> tuple[str, ...]:
    law = "**survived**" if fate.law is None else fate.law.name if fate.right else f"**{fate.law.name}**"
    faults = "" if fate.faults is None else str(fate.faults)
    stage, budget = mutant.stage.name, str(mutant.budget)
    return (mutant.name, mutant.does, mutant.law.name, law, stage, str(fate.schedules), budget, faults)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
