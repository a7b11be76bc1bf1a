"""Broken rules die by the law that they break, within their budget, and by a schedule that is fine without them.

Here are those that die quickly; ``make prove-mutants`` hunts all of them, and writes ``docs/mutants.md``.
"""

import pytest

from chaos.fleet_laws import Breach, FleetLaw
from chaos.judgement import Law
from nodes.pair_rules import Rules
from tests.sim.mutants import client, control_plane, pair
from tests.sim.mutants.catalog import MUTANTS, WAITING
from tests.sim.mutants.kill import Fate, hunted
from tests.sim.mutants.mutant import Mutant, Stage
from tests.sim.mutants.table import page, told

SLOW = ("empty disk under the old copy id", "ADD decided before the learner reached n")
QUICK_IN_A_FLEET = (
    "brake not counted",
    "evacuation not recorded before the first move",
    "map shows what is not decided",
    "watch that skips a revision",
    "write of an older term",
    "exposure forgotten",
    "verdict by one observer",
    "verdict without qualified observers",
    "retry with a new request id",
)
QUICK = [*(mutant.name for mutant in pair.MUTANTS if mutant.name not in SLOW), *QUICK_IN_A_FLEET]


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_rule_is_seen_by_the_law_that_it_breaks(name: str) -> None:
    fate = hunted(MUTANTS[name])
    assert fate.right, told(fate)


def test_what_breaks_nothing_survives_its_budget_and_is_said_to() -> None:
    harmless = Mutant("harmless", "breaks nothing", FleetLaw.I1, pair.CHANCE, 3, rules=Rules)
    fate = hunted(harmless)
    assert (fate.killed, fate.right, fate.schedules) == (False, False, 3)
    assert "SURVIVED harmless" in told(fate)


def test_a_schedule_that_breaks_a_law_by_itself_proves_nothing() -> None:
    broken = Breach(FleetLaw.I1, "it always is")
    mutant = Mutant("any", "breaks a law", FleetLaw.I1, Stage("a broken world", lambda *_: broken), 3)
    fate = hunted(mutant)
    assert (fate.law, fate.alone, fate.right) == (FleetLaw.I1, FleetLaw.I1, False)
    assert told(fate) == "NO PROOF any: schedule 1 breaks I1 without it"


def test_a_mutant_is_gone_when_its_schedule_is_over() -> None:
    swap = next(mutant for mutant in pair.MUTANTS if mutant.swaps).swaps[0]
    mutant = next(mutant for mutant in pair.MUTANTS if swap in mutant.swaps)
    before = vars(swap.owner)[swap.name]
    with mutant.active():
        assert vars(swap.owner)[swap.name] is swap.new
    assert vars(swap.owner)[swap.name] is before


def test_every_mutant_of_the_protocol_is_there_or_waits() -> None:
    assert len(pair.MUTANTS) >= 32
    assert len(control_plane.MUTANTS) + len(client.MUTANTS) >= 10
    assert not set(WAITING) & set(MUTANTS)


def test_the_table_says_who_survived_and_who_died_by_another_law() -> None:
    first, second, third = list(MUTANTS.values())[:3]
    fates = [
        Fate(first.name, first.law, 4, first.law, "seen", faults=2),
        Fate(second.name, second.law, 3, Law.LOST, "seen"),
        Fate(third.name, third.law, third.budget),
    ]
    written = page(fates, MUTANTS, WAITING)
    assert "3 mutants: 1 killed by the expected law, 1 by another, 1 alive." in written
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in written.splitlines() if " | " in line}
    assert rows[first.name].endswith(f"| 4 | {first.budget} | 2 |")
    assert f"| {second.law.name} | **LOST** |" in rows[second.name]
    assert "**survived**" in rows[third.name]
    assert all(f"* {name}" in written for name in WAITING)
