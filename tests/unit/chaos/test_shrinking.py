"""The shortest schedule is found by leaving out, cutting and softening, within its tries."""

from dataclasses import replace

import pytest

from chaos.schedule import (
    Crash,
    CrashAmid,
    Cut,
    Fault,
    Freeze,
    LoseDc,
    LoseDisk,
    LosePower,
    Schedule,
    StoreAway,
    Suspend,
    Switchover,
    Timed,
)
from chaos.setting import SMALL, Setting
from chaos.shrinking import shortest, simpler
from core.names import DcId, NodeId, ShardId

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


@pytest.mark.parametrize(
    ("fault", "softer"),
    [
        pytest.param(LoseDc(DcId("fra1"), 2.0, True), Freeze("fra1-cp", 2.0), id="one process of a data center"),
        pytest.param(LosePower(DcId("fra1"), 2.0), Crash("fra1-c1", 2.0), id="a crash for a power cut"),
        pytest.param(CrashAmid("fra1-c1", 3, 2.0), Crash("fra1-c1", 2.0), id="a crash at any time"),
        pytest.param(LoseDisk(NodeId("fra1-c1"), 2.0), Crash("fra1-c1", 2.0), id="a disk that is kept"),
        pytest.param(Suspend("fra1-c1", 2.0), Freeze("fra1-c1", 2.0), id="a stop for a sleep"),
        pytest.param(Switchover(ShardId(1)), None, id="nothing for what is over at once"),
    ],
)
def test_a_fault_becomes_a_smaller_one(fault: Fault, softer: Fault | None) -> None:
    plain = Schedule(1, SMALL, (Timed(4.0, fault),), 5.0, 30.0)
    found = [one.faults[0].fault for one in simpler(plain) if one.faults]
    assert softer in found if softer is not None else found == []
