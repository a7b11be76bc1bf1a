"""The laws of one step of an assignment: each is broken by records that break it, and by no legal step."""

from dataclasses import replace

import pytest

from chaos.fleet_laws import FleetLaw
from chaos.record_laws import reused, step_breaches
from core.assignments import (
    Add,
    Assignment,
    Cancel,
    Change,
    Copy,
    Evict,
    Leader,
    Operator,
    Override,
    Promote,
    Proposer,
    Swap,
    Switchover,
    successor,
)
from core.names import CopyId, DcId, GeographyId, NodeId, ShardId
from core.topology import Kind

EU, US = GeographyId("eu"), GeographyId("us")
GEOGRAPHY_OF = {DcId("fra1"): EU, DcId("ams1"): EU, DcId("waw1"): EU, DcId("iad1"): US}.__getitem__
A, B, C, FAR, NEAR = (
    Copy(NodeId(node), CopyId("disk.1")) for node in ("fra1-c1", "ams1-c1", "waw1-c1", "iad1-c1", "fra1-c2")
)
SYNC = Assignment(ShardId(7), Kind.COLLAB, 1, 4, A, B)
SOLO = replace(SYNC, standby=None)


def laws(old: Assignment | None, new: Assignment, change: Change | None, proposer: Proposer | None) -> list[FleetLaw]:
    return [breach.law for breach in step_breaches(old, new, change, proposer, GEOGRAPHY_OF)]  # type: ignore[misc]  # fleet laws only


@pytest.mark.parametrize(
    ("old", "change", "proposer"),
    [
        (SYNC, Evict(), A),
        (SOLO, Add(C), A),
        (SYNC, Swap(B, C), A),
        (SYNC, Promote(), Leader()),
        (SYNC, Switchover(), A),
        (SYNC, Cancel(), A),
        (SOLO, Cancel(), A),
        (SOLO, Override(B, "ada"), Operator("ada")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_legal_change_keeps_every_law(old: Assignment, change: Change, proposer: Proposer) -> None:
    assert laws(old, successor(old, change, reason=""), change, proposer) == []


def test_a_first_record_is_asked_for_its_places_only() -> None:
    assert laws(None, SYNC, None, None) == []
    assert laws(None, replace(SYNC, standby=NEAR), None, None) == [FleetLaw.TWO_DATA_CENTERS]


@pytest.mark.parametrize(
    ("old", "new", "change", "proposer", "broken"),
    [
        (SYNC, replace(SYNC, epoch=6), Cancel(), A, [FleetLaw.C2]),
        (SYNC, replace(SYNC, epoch=4), Cancel(), A, [FleetLaw.C2]),
        (SYNC, replace(SYNC, epoch=5, incarnation=2), Cancel(), A, [FleetLaw.C2]),
        (SOLO, replace(SOLO, epoch=5, primary=B), Override(B, "ada"), Operator("ada"), [FleetLaw.C2]),
        (SYNC, replace(SOLO, epoch=5, primary=C), Promote(), Leader(), [FleetLaw.I2, FleetLaw.C4]),
        (SOLO, replace(SYNC, epoch=5), Add(B), Leader(), [FleetLaw.C4]),
        (SOLO, replace(SYNC, epoch=5), Cancel(), A, [FleetLaw.C4]),
        (SYNC, replace(SYNC, epoch=5, primary=B, standby=A), Promote(), Leader(), [FleetLaw.C5]),
        (SYNC, replace(SYNC, epoch=5, primary=B, standby=A), Switchover(), Leader(), [FleetLaw.C5]),
        (SYNC, replace(SOLO, epoch=5), Swap(B, C), A, [FleetLaw.I13]),
        (SYNC, replace(SOLO, epoch=5), Cancel(), A, [FleetLaw.I13]),
        (SYNC, replace(SYNC, epoch=5, standby=NEAR), Swap(B, NEAR), A, [FleetLaw.TWO_DATA_CENTERS]),
        (SYNC, replace(SYNC, epoch=5, standby=FAR), Swap(B, FAR), A, [FleetLaw.GEOGRAPHY]),
    ],
    ids=[
        "an epoch is left out",
        "an epoch comes back",
        "an incarnation grows unasked",
        "an override keeps the incarnation",
        "a stranger is promoted",
        "the leader adds a copy",
        "a copy is added in passing",
        "a promotion keeps both",
        "the leader switches roles",
        "a swap leaves one copy",
        "a cancel leaves one copy",
        "both in one data center",
        "a copy abroad",
    ],
)
def test_each_law_is_broken_by_the_step_that_breaks_it(
    old: Assignment, new: Assignment, change: Change, proposer: Proposer, broken: list[FleetLaw]
) -> None:
    assert laws(old, new, change, proposer) == broken


def test_an_epoch_names_one_record() -> None:
    assert reused(None, SYNC) is None
    assert reused(SYNC, SYNC) is None
    breach = reused(SYNC, SOLO)
    assert breach is not None
    assert breach.law is FleetLaw.C2
