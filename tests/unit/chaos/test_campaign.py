"""Campaigns end when they should, and count what passed and what did not."""

from chaos.fleet_laws import Breach, FleetLaw
from chaos.sim.campaign import Limits, Tally, campaign
from chaos.sim.run import SimResult


def result(seed: int, *, broken: bool = False, acknowledged: int = 700) -> SimResult:
    breaches = (Breach(FleetLaw.I1, "gone"),) if broken else ()
    return SimResult(seed, breaches, acknowledged + 1, acknowledged, 60.0, "f00", {"SWITCHED": 2})


def test_a_tally_counts_what_passed_apart_from_what_broke_a_law() -> None:
    tally = Tally(1, 3, took_s=2.0)
    for one in (result(1), result(2, broken=True), result(3, acknowledged=500)):
        tally.count(one)
    assert (tally.schedules, tally.operations, tally.operations_min, tally.simulated_s) == (2, 1_200, 500, 120.0)
    assert [one.seed for one in tally.failed] == [2]
    assert tally.per_minute == 90.0
    assert tally.marks == {"SWITCHED": 6}


async def test_a_campaign_without_time_runs_nothing() -> None:
    limits = Limits(last_seed=None, for_s=0.0, failures=1)
    tally = await campaign(5, limits, jobs=1, tell=lambda tally: None, broke=lambda result: None)
    assert (tally.schedules, tally.first_seed, tally.last_seed) == (0, 5, 4)
