"""Plays schedules until one kills a mutant, sees that the same schedule passes without it, and shrinks it."""

from dataclasses import dataclass, replace

from chaos.fleet_laws import AnyLaw
from chaos.schedule import Schedule
from chaos.shrinking import shortest
from nodes.pair_rules import Rules
from tests.sim.mutants.mutant import Mutant, Script

TRIES_PER_FAULT = 2
"""Runs to spend on a shorter schedule, for every fault that it has: leaving faults out comes before all else."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant."""

    name: str
    expected: AnyLaw
    schedules: int
    """Played until it was killed, or in all."""
    law: AnyLaw | None = None
    """The law that caught it; None: it survived its budget."""
    what: str = ""
    """What showed it."""
    alone: AnyLaw | None = None
    """A law that the same schedule breaks without the mutant: then it shows nothing, and something else is wrong."""
    faults: int | None = None
    """Left in the shortest schedule that was found; None: none was looked for, or what fails is not a list."""

    @property
    def killed(self) -> bool:
        """Say whether it was caught at all."""
        return self.law is not None

    @property
    def right(self) -> bool:
        """Say whether it was caught by the law that it was expected to break, and by a schedule that is fine else."""
        return self.law is self.expected and self.alone is None


def hunted(mutant: Mutant, *, tries: int = 0) -> Fate:
    """Play a mutant's schedules within its budget.

    Args:
        mutant: whom to hunt.
        tries: runs to spend at most on a shorter schedule that kills it too; 0: none is looked for.
    """
    for number in range(1, mutant.budget + 1):
        with mutant.active() as rules:
            breach = mutant.stage.play(number, rules)
        if breach is not None:
            sober = mutant.stage.play(number, Rules())
            alone = None if sober is None else sober.law
            fate = Fate(mutant.name, mutant.law, number, breach.law, breach.what, alone)
            if mutant.stage.script is None or not tries or not fate.right:
                return fate
            return replace(fate, faults=len(_shrunk(mutant, mutant.stage.script, number, breach.law, tries).faults))
    return Fate(mutant.name, mutant.law, mutant.budget)


def _shrunk(mutant: Mutant, script: Script, number: int, law: AnyLaw, tries: int) -> Schedule:
    """Search for a shorter schedule that the mutant breaks the same law in."""

    def breaks(schedule: Schedule) -> bool:
        with mutant.active() as rules:
            breach = script.play(schedule, rules)
        return breach is not None and breach.law is law

    start = script.schedule_at(number)
    return shortest(start, breaks, tries=min(tries, TRIES_PER_FAULT * len(start.faults)))
