"""Two hundred seeded schedules of the pair world keep its laws, and a copy with one rule broken does not."""

from collections.abc import Iterable

import pytest

from core.assignments import Assignment, Copy
from nodes.pair_rules import Rules
from nodes.ports import Intent
from nodes.records import Tip
from tests.sim.pair_scripts import IsolatedPrimary, RestartedAlone
from tests.sim.pair_world import BrokenLawError, PairWorld, run

SCHEDULES = 200
FOUND = (40, 92, 161, 252, 312, 451, 498, 694)
"""Seeds that once broke a law: a journal replayed while it was cut, a record forgotten in a rebuild, a lost wake-up,
a copy of which the disk held nothing yet."""


@pytest.mark.parametrize("first", range(1, SCHEDULES + 1, 20))
def test_twenty_schedules_keep_every_law(first: int) -> None:
    tallies = [run(seed) for seed in range(first, first + 20)]
    assert sum(tally.acked for tally in tallies) > 20 * 20
    assert sum(tally.epochs for tally in tallies) > 20 * 3


@pytest.mark.parametrize("seed", FOUND)
def test_a_schedule_that_once_broke_a_law_keeps_it(seed: int) -> None:
    run(seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert run(7).trace == run(7).trace
    assert run(7).trace != run(8).trace


class AcksAlone(Rules):
    """Acks before the CAS that makes it SOLO is known applied."""

    def acknowledgers(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return tuple(i.learner for i in intents if i.learner is not None)


class NoLeaseWait(Rules):
    """Serves at once after a promotion."""

    def serves_from(self, *, granted_until: float, now: float) -> bool:
        return True


class NoTruncation(Rules):
    """Keeps a suffix at first contact that its primary lacks."""

    def kept(self, own: Tip, common: Tip) -> Tip:
        return own


class AnswersTooEarly(Rules):
    """Answers after a restart before the journal's tail is acked."""

    def tail_safe(self, tip_lsn: int, committed_lsn: int) -> bool:
        return True


class ReadsWithoutLease(Rules):
    """Reads in SYNC without anybody's lease."""

    def grantors(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return ()


@pytest.mark.parametrize(
    ("world", "rules"),
    [
        pytest.param(PairWorld, AcksAlone(), id="ack before the CAS"),
        pytest.param(IsolatedPrimary, NoLeaseWait(), id="no lease wait after promotion"),
        pytest.param(PairWorld, NoTruncation(), id="no truncation at first contact"),
        pytest.param(RestartedAlone, AnswersTooEarly(), id="restarted primary answers before its tail is acked"),
        pytest.param(IsolatedPrimary, ReadsWithoutLease(), id="reads without a lease"),
    ],
)
def test_a_broken_rule_is_seen(world: type[PairWorld], rules: Rules) -> None:
    assert any(breaks(world, rules, seed) for seed in range(1, 100))
    assert not any(breaks(world, Rules(), seed) for seed in range(1, 4))


def breaks(world: type[PairWorld], rules: Rules, seed: int) -> bool:
    try:
        world(seed, rules=rules).run()
    except (BrokenLawError, AssertionError):
        return True
    return False
