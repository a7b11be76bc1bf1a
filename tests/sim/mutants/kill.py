"""Plays schedules until one kills a mutant, and sees that the same schedule passes without it."""

from dataclasses import dataclass

from chaos.fleet_laws import AnyLaw
from nodes.pair_rules import Rules
from tests.sim.mutants.mutant import Mutant


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant."""

    mutant: Mutant
    schedules: int
    """Played until it was killed, or in all."""
    law: AnyLaw | None = None
    """The law that caught it; None: it survived its budget."""
    what: str = ""
    """What showed it."""

    @property
    def killed(self) -> bool:
        """Say whether it was caught at all."""
        return self.law is not None

    @property
    def right(self) -> bool:
        """Say whether it was caught by the law that it was expected to break."""
        return self.law is self.mutant.law


def hunted(mutant: Mutant) -> Fate:
    """Play a mutant's schedules within its budget.

    Raises:
        AssertionError: a schedule breaks a law without the mutant too, so that it shows nothing.
    """
    for number in range(1, mutant.budget + 1):
        with mutant.active() as rules:
            breach = mutant.stage.play(number, rules)
        if breach is not None:
            sober = mutant.stage.play(number, Rules())
            assert sober is None, f"{mutant.stage.name} {number} breaks a law without {mutant.name!r}: {sober}"
            return Fate(mutant, number, breach.law, breach.what)
    return Fate(mutant, mutant.budget)
