"""The shortest schedule is found by leaving out, cutting and softening, within its tries."""

from dataclasses import replace

from chaos.schedule import Crash, Cut, Fault, Freeze, LoseDc, Schedule, StoreAway, Timed
from chaos.setting import Setting
from chaos.shrinking import shortest, simpler
from core.names import DcId

SETTING = Setting((3,), 1, 3, 4, "default", 0.05, 0.0005, 0.02)
FAULTS = (
    Timed(4.0, Freeze("ber1-c1", 2.0)),
    Timed(5.0, Crash("ams1-c1", 4.0)),
    Timed(6.0, LoseDc(DcId("fra1"), 3.0, False)),
    Timed(7.0, StoreAway(1.0)),
    Timed(8.0, Cut("ber1-c1", "ams1-c1", 1.0, True)),
)
SCHEDULE = Schedule(1, SETTING, FAULTS, 24.0, 30.0)


def crashes(schedule: Schedule, name: str, *, for_s: float) -> bool:
    def does(fault: Fault) -> bool:
        return isinstance(fault, Crash) and fault.name == name and fault.for_s >= for_s

    return any(does(timed.fault) for timed in schedule.faults)


def test_only_what_breaks_the_law_is_left() -> None:
    def breaks(schedule: Schedule) -> bool:
        lost = any(isinstance(timed.fault, LoseDc) for timed in schedule.faults)
        gone = lost or crashes(schedule, "fra1-cp", for_s=0.3)
        return gone and crashes(schedule, "ams1-c1", for_s=0.9)

    found = shortest(SCHEDULE, breaks)
    assert found.faults == (Timed(5.0, Crash("ams1-c1", 1.0)), Timed(5.0, Crash("fra1-cp", 0.375)))
    assert found.trouble_s < SCHEDULE.trouble_s
    assert found.setting == replace(SETTING, break_ratio=0.0, lost_call_ratio=0.0)


def test_what_nothing_simpler_breaks_stays_as_it_is() -> None:
    assert shortest(SCHEDULE, lambda schedule: False) == SCHEDULE


def test_the_search_ends_with_its_tries_and_when_it_is_told() -> None:
    runs: list[Schedule] = []

    def breaks(schedule: Schedule) -> bool:
        runs.append(schedule)
        return True

    shortest(SCHEDULE, breaks, tries=3)
    assert len(runs) == 3
    shortest(SCHEDULE, breaks, more=lambda: len(runs) < 5)
    assert len(runs) == 5


def test_a_search_that_always_succeeds_ends_by_itself() -> None:
    assert shortest(SCHEDULE, lambda schedule: True, tries=10_000).faults == ()


def test_the_boldest_comes_first() -> None:
    assert len(next(simpler(SCHEDULE)).faults) == 2
