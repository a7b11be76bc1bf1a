"""What a fault does to a simulated fleet, and that it is over when its time is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos.schedule import (
    Clog,
    Cordon,
    Crash,
    CrashAmid,
    Cut,
    CutDc,
    Drain,
    FailFsync,
    Fault,
    FlipBit,
    Freeze,
    FullDisk,
    Lasting,
    LoseDc,
    LoseDisk,
    LosePower,
    LostCalls,
    NoDial,
    Resets,
    SlowDisk,
    SlowStore,
    StoreAway,
    StoreCut,
    Stragglers,
    Suspend,
    Switchover,
    VagueStore,
)
from chaos.setting import SMALL
from chaos.sim.fleet import SimFleet
from chaos.sim.inject import inject
from chaos.sim.time import World
from chaos.sim.worlds import parts, plan_of
from core.assignments import Assignment
from core.names import DcId, NodeId, ShardId, disk_of

UP_S = 6.0
LASTS_S = 2.0
SETTLE_S = 30.0
AMS, BER, FRA = "ams1-c1", "ber1-c1", "fra1-c1"
PLANE = "ber1-cp"


def fleet(*, data_centers: int = 3) -> SimFleet:
    """Build one in which nothing fails, and let it come up."""
    setting = replace(SMALL, data_centers=(data_centers,))
    made = SimFleet(World(1), plan_of(setting), parts())
    made.weather.tail_s = 0.0
    made.start()
    made.world.run(UP_S)
    assert made.settled() == []
    return made


def records(of: SimFleet) -> dict[ShardId, Assignment]:
    return {a.shard: a for state in of.vault.read(None).values() for a in state.assignments}


def whole(of: SimFleet) -> bool:
    """Let time pass until the fleet is whole."""
    end = of.world.now + SETTLE_S
    while of.settled() and of.world.now < end:
        of.world.run(of.world.now + 0.5)
    return of.settled() == []


def live(name: str) -> Callable[[SimFleet], bool]:
    return lambda of: of.hosts[name].alive and not of.hosts[name].frozen


def reaches(a: str, b: str) -> Callable[[SimFleet], bool]:
    return lambda of: (a, b) not in of.network.cuts


FAULTS: list[tuple[Lasting, Callable[[SimFleet], bool]]] = [
    (Crash(AMS, LASTS_S), live(AMS)),
    (Freeze(PLANE, LASTS_S), live(PLANE)),
    (Suspend(AMS, LASTS_S), lambda of: live(AMS)(of) and reaches(AMS, FRA)(of) and reaches(PLANE, AMS)(of)),
    (LoseDc(DcId("ber1"), LASTS_S, True), lambda of: live(BER)(of) and live(PLANE)(of)),
    (LosePower(DcId("ber1"), LASTS_S), lambda of: live(BER)(of) and reaches(BER, FRA)(of)),
    (LoseDisk(NodeId(FRA), LASTS_S), live(FRA)),
    (SlowDisk(NodeId(AMS), 0.1, LASTS_S), lambda of: of.nodes[NodeId(AMS)].fsync_extra_s == 0.0),
    (FullDisk(NodeId(AMS), LASTS_S), lambda of: of.nodes[NodeId(AMS)].disk_refusal == ""),
    (Cut(AMS, FRA, LASTS_S, True), lambda of: reaches(AMS, FRA)(of) and reaches(FRA, AMS)(of)),
    (Cut(AMS, FRA, LASTS_S, False), reaches(AMS, FRA)),
    (CutDc(DcId("fra1"), LASTS_S, True), lambda of: reaches(FRA, AMS)(of) and reaches("ams1-cp", "fra1-cp")(of)),
    (CutDc(DcId("fra1"), LASTS_S, False), lambda of: reaches(FRA, AMS)(of) and not of.store.cut),
    (NoDial(AMS, FRA, LASTS_S), lambda of: not of.network.undialled),
    (Clog(AMS, FRA, 0.5, LASTS_S), lambda of: not of.weather.clogs),
    (Resets(0.01, LASTS_S), lambda of: of.weather.break_ratio == 0.0),
    (LostCalls(0.1, LASTS_S), lambda of: of.weather.lost_call_ratio == 0.0),
    (Stragglers(0.5, LASTS_S), lambda of: of.weather.late_ratio == 0.0),
    (StoreAway(LASTS_S), lambda of: not of.store.away),
    (StoreCut(PLANE, LASTS_S), lambda of: not of.store.cut),
    (SlowStore(0.1, LASTS_S), lambda of: of.store.slower_s == 0.0),
    (VagueStore(0.3, LASTS_S), lambda of: of.store.lost_ratio == 0.0),
]


@pytest.mark.parametrize(("fault", "well"), FAULTS, ids=[type(fault).__name__ for fault, _ in FAULTS])
def test_a_fault_begins_at_once_and_ends_when_its_time_is_over(
    fault: Lasting, well: Callable[[SimFleet], bool]
) -> None:
    made = fleet()
    assert well(made)
    inject(made, fault)
    made.world.run(made.world.now + LASTS_S / 2)
    assert not well(made)
    made.world.run(made.world.now + LASTS_S / 2 + 0.01)
    assert well(made)
    assert whole(made)


@pytest.mark.parametrize(("fault", "well"), FAULTS, ids=[type(fault).__name__ for fault, _ in FAULTS])
def test_healing_ends_every_fault_and_nothing_begins_after_it(fault: Lasting, well: Callable[[SimFleet], bool]) -> None:
    made = fleet()
    inject(made, fault)
    made.world.run(made.world.now + LASTS_S / 4)
    made.heal()
    assert well(made)
    inject(made, fault)
    assert well(made)


def test_of_two_faults_that_do_the_same_the_one_that_ends_first_takes_nothing_from_the_other() -> None:
    made = fleet()
    inject(made, Cut(AMS, FRA, 1.0, True))
    inject(made, Cut(AMS, FRA, 3.0, False))
    inject(made, Crash(BER, 1.0))
    inject(made, LosePower(DcId("ber1"), 3.0))
    made.world.run(made.world.now + 2.0)
    assert not reaches(AMS, FRA)(made)
    assert reaches(FRA, AMS)(made)
    assert not live(BER)(made)
    made.world.run(made.world.now + 1.1)
    assert reaches(AMS, FRA)(made)
    assert live(BER)(made)


@pytest.mark.parametrize("name", [AMS, PLANE])
def test_a_process_dies_in_the_middle_of_a_turn_and_comes_back(name: str) -> None:
    made = fleet()
    inject(made, CrashAmid(name, 3, LASTS_S))
    made.world.run(made.world.now + LASTS_S / 2)
    assert not made.hosts[name].alive
    made.world.run(made.world.now + LASTS_S / 2 + 0.01)
    assert live(name)(made)
    assert whole(made)


def test_a_process_that_asks_too_little_of_the_world_does_not_die() -> None:
    made = fleet()
    lives = made.hosts[AMS].life
    inject(made, CrashAmid(AMS, 1_000_000, LASTS_S))
    made.world.run(made.world.now + LASTS_S + 1.0)
    assert made.hosts[AMS].life == lives


def primary_of_some(made: SimFleet) -> tuple[Assignment, NodeId]:
    record = records(made)[ShardId(0)]
    return record, record.primary.node


def test_a_primary_that_comes_back_on_an_empty_disk_before_it_is_missed_is_relieved() -> None:
    made = fleet()
    record, node = primary_of_some(made)
    inject(made, LoseDisk(node, 0.05))
    made.world.run(made.world.now + 0.1)
    assert made.nodes[node].disk.disk_id != disk_of(record.primary.copy_id)
    assert whole(made)
    assert records(made)[record.shard].primary.node != node


def test_the_last_good_disk_of_a_shard_is_never_lost() -> None:
    made = fleet()
    record, primary = primary_of_some(made)
    for node in made.nodes:
        if node != primary:
            inject(made, Crash(node, 4.0))
    made.world.run(made.world.now + 2.0)
    assert records(made)[record.shard].solo
    before = made.nodes[primary].disk
    inject(made, LoseDisk(primary, 0.1))
    made.world.run(made.world.now + 0.2)
    assert made.nodes[primary].disk is before


def test_a_bit_that_reads_wrong_is_found_at_the_next_start_and_put_right_when_the_fault_ends() -> None:
    made = fleet()
    _, node = primary_of_some(made)
    inject(made, FlipBit(node, 0.5, 5.0))
    inject(made, Crash(node, 0.05))
    made.world.run(made.world.now + 0.1)
    driver = made.nodes[node].driver
    assert driver is not None
    assert any(view.complaint for view in driver.copies())
    made.world.run(made.world.now + 5.0)
    assert whole(made)
    journal = made.nodes[node].journal
    assert journal is not None
    assert not any(found.damage for found in journal.recover())


@pytest.mark.parametrize("kept", [False, True])
def test_a_failed_fsync_costs_a_copy_its_life_and_no_more(kept: bool) -> None:
    made = fleet()
    _, node = primary_of_some(made)
    inject(made, FailFsync(node, kept))
    made.world.run(made.world.now + 0.3)
    driver = made.nodes[node].driver
    assert driver is not None
    assert any("disk is not writable" in view.complaint for view in driver.copies())
    assert whole(made)


def test_a_clogged_link_delivers_late_and_in_order_and_flows_again() -> None:
    made = fleet()
    before = made.network.trip_s(AMS, FRA)
    inject(made, Clog(AMS, FRA, 0.5, LASTS_S))
    made.world.run(made.world.now + LASTS_S - 0.01)
    assert made.network.trip_s(AMS, FRA) > before + 0.4 * LASTS_S
    made.world.run(made.world.now + 0.02)
    assert made.network.trip_s(AMS, FRA) < before + 0.1


@pytest.mark.parametrize("fault", [Drain(DcId("fra1"), 6.0), Cordon(DcId("fra1"), 6.0)], ids=["drain", "cordon"])
def test_an_operator_s_order_reaches_the_leader_and_is_taken_back(fault: Lasting) -> None:
    made = fleet(data_centers=4)
    inject(made, fault)
    made.world.run(made.world.now + 3.0)
    assert cordoned(made) == ["fra1"]
    made.world.run(made.world.now + 4.5)
    assert cordoned(made) == []
    assert whole(made)


def cordoned(made: SimFleet) -> list[str]:
    leading = [plane.driver for plane in made.planes.values() if plane.driver is not None and plane.driver.office()]
    return [view.id for view in leading[0].reception.data_centers() if view.cordoned]


def test_an_operator_switches_a_shard_s_roles() -> None:
    made = fleet()
    record, node = primary_of_some(made)
    orders: Fault = Switchover(record.shard)
    inject(made, orders)
    made.world.run(made.world.now + 5.0)
    assert records(made)[record.shard].primary.node != node
    assert whole(made)
