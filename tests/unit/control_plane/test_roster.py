"""What nodes told is kept as differences, and survives that this control plane stood still."""

from dataclasses import replace

import pytest

from control_plane.roster import News, Roster
from control_plane.verdicts import DcLost, Known, Verdicts
from control_plane.views import Observation, ReportView, Sight
from core.assignments import Fence
from core.names import ControlPlaneId, NodeId, control_plane_id, node_id
from core.timers import timers
from tests.unit.core.fleets import two_geographies

FLEET = two_geographies()
TIMERS = timers("default")
BER, AMS, FRA = (node_id(f"{dc}-c1") for dc in ("ber1", "ams1", "fra1"))
IAD, PDX = node_id("iad1-c1"), node_id("pdx1-c1")
NOBODY_LOST = Known(frozenset(), frozenset(), lambda node: {AMS: 4} if node == BER else {})


def report(node: NodeId, sights: dict[NodeId | ControlPlaneId, Sight], *, complete: bool) -> ReportView:
    seen = tuple(Observation(target, sight, 0, paired=False) for target, sight in sights.items())
    return ReportView(node, "disk", 1, 1, complete, seen, (), (), 0.1, 0, Fence(0, 0))


def test_an_observer_keeps_its_vote_when_the_control_plane_stood_still() -> None:
    roster = Roster(FLEET, TIMERS, now=0.0)
    observers = (AMS, FRA, IAD, PDX)
    for observer in observers:
        others: list[NodeId | ControlPlaneId] = [BER, *(o for o in observers if o != observer)]
        roster.reported(report(observer, dict.fromkeys(others, Sight.ALIVE), complete=True), 1.0)
    roster.reset(10.0)
    for observer in observers:
        roster.reported(report(observer, {BER: Sight.REFUSED}, complete=False), 10.1)
    judge = Verdicts(control_plane_id("ams1-cp"), FLEET, TIMERS, roster)
    assert any(isinstance(judgement, DcLost) for judgement in judge.judge(FLEET.node(BER).dc, NOBODY_LOST, 10.2))


def test_a_report_without_news_is_a_sign_of_life_and_changes_nothing_else() -> None:
    roster = Roster(FLEET, TIMERS, now=0.0)
    roster.reported(report(AMS, {BER: Sight.ALIVE}, complete=True), 1.0)
    seen = dict(roster.nodes[AMS].sees)
    assert roster.still(AMS, 7, 1.0 + TIMERS.silence_s) == News()
    assert roster.own_sight(AMS, 1.1 + TIMERS.silence_s) is Sight.ALIVE
    assert (roster.nodes[AMS].sees, roster.nodes[AMS].loop_lag_ms) == (seen, 7)


def test_silence_counts_from_the_end_of_the_trip_of_a_report_without_news() -> None:
    roster = Roster(FLEET, TIMERS, now=0.0)
    roster.reported(report(AMS, {}, complete=True), 1.0)
    roster.still(AMS, 0, 2.1)  # comes at 2.0, from 100 ms away
    roster.reported(report(AMS, {BER: Sight.SUSPECT}, complete=False), 2.05)  # was sent before it
    assert roster.lives(AMS, 2.0)
    assert roster.own_sight(AMS, 2.09 + TIMERS.silence_s) is not Sight.SILENT
    assert roster.own_sight(AMS, 2.11 + TIMERS.silence_s) is Sight.SILENT


def test_a_report_without_news_is_news_after_this_control_plane_stood_still() -> None:
    roster = Roster(FLEET, TIMERS, now=0.0)
    roster.reported(report(AMS, {}, complete=True), 1.0)
    roster.reset(10.0)
    assert [roster.still(AMS, 0, at).returned for at in (10.1, 10.5)] == [True, False]


@pytest.mark.parametrize("silent_s", [0.0, 0.9, 0.99, 1.01, 1.19, 1.2, 5.0])
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("seen", [Sight.ALIVE, Sight.SUSPECT])
def test_a_node_is_accused_when_somebody_or_this_control_plane_does_not_see_it_alive(
    silent_s: float, broken: bool, seen: Sight
) -> None:
    roster = Roster(FLEET, TIMERS, now=100.0)
    roster.reported(report(AMS, {BER: seen}, complete=True), 100.0)
    if broken:
        roster.broken(BER, 100.0)
    now = 100.0 + silent_s
    unseen = [node for node in roster.nodes if roster.own_sight(node, now) is not Sight.ALIVE]
    assert roster.accused(now) == [node for node in roster.nodes if node in unseen or node in roster.doubted]


def test_whom_an_observer_does_not_watch_any_more_it_does_not_accuse() -> None:
    roster = Roster(FLEET, TIMERS, now=0.0)
    roster.reported(report(AMS, {BER: Sight.SILENT, FRA: Sight.ALIVE}, complete=True), 0.1)
    roster.reported(replace(report(AMS, {}, complete=False), unwatched=(BER, IAD)), 0.3)
    assert roster.accused(0.4) == []
    assert FRA in roster.nodes[AMS].sees


def test_a_complete_report_takes_back_what_it_does_not_name() -> None:
    roster = Roster(FLEET, TIMERS, now=0.0)
    roster.reported(report(AMS, {BER: Sight.SILENT, FRA: Sight.ALIVE}, complete=True), 0.1)
    assert roster.accused(0.2) == [BER]
    roster.reported(report(AMS, {FRA: Sight.ALIVE}, complete=True), 0.3)
    assert roster.accused(0.4) == []
