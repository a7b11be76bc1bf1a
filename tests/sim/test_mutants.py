"""Broken rules die by the law that they break, within their budget, and by a schedule that is fine without them."""

import pytest

from chaos.fleet_laws import FleetLaw
from nodes.pair_rules import Rules
from tests.sim.mutants import pair
from tests.sim.mutants.kill import hunted
from tests.sim.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", pair.MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_of_a_pair_is_seen(mutant: Mutant) -> None:
    fate = hunted(mutant)
    assert fate.law is mutant.law, f"{fate.schedules} schedules of {mutant.stage.name}: {fate.what or 'nothing'}"


def test_what_breaks_nothing_survives_its_budget_and_is_said_to() -> None:
    harmless = Mutant("harmless", "breaks nothing", FleetLaw.I1, pair.CHANCE, 3, rules=Rules)
    fate = hunted(harmless)
    assert (fate.killed, fate.right, fate.schedules) == (False, False, 3)


def test_a_mutant_is_gone_when_its_schedule_is_over() -> None:
    mutant = next(mutant for mutant in pair.MUTANTS if mutant.swaps)
    swap = mutant.swaps[0]
    before = vars(swap.owner)[swap.name]
    with mutant.active():
        assert vars(swap.owner)[swap.name] is swap.new
    assert vars(swap.owner)[swap.name] is before
