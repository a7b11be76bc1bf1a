"""The laws of the control planes over facts: kept by what sound leaders do, broken by what each law forbids."""

from dataclasses import replace

import pytest

from chaos import plane_laws
from chaos.fleet_laws import Breach, FleetLaw
from chaos.plane_laws import Filed
from control_plane.books import CLOSED, Evacuation, Homecoming
from core.assignments import Assignment, Copy, Fence
from core.fleet_map import Revision
from core.names import ControlPlaneId, CopyId, DcId, GeographyId, NodeId, ShardId
from core.topology import Kind

EU, US, IN = GeographyId("eu"), GeographyId("us"), GeographyId("in")
FRA, AMS, IAD, BOM = DcId("fra1"), DcId("ams1"), DcId("iad1"), DcId("bom1")
NEVER_S = float("-inf")
BASE = Assignment(
    ShardId(7), Kind.COLLAB, 1, 4, Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1"))
)


def lost(dc: DcId, geography: GeographyId = EU, *, node: str = "", automatic: bool = True) -> Evacuation:
    return Evacuation(f"{node or dc}-1", dc, NodeId(node) if node else None, geography, automatic, 0, 0, ())


def filed(*evacuations: Evacuation, at_s: float = 10.0) -> list[Filed]:
    return [Filed(evacuation, at_s) for evacuation in evacuations]


def law(breach: Breach | None) -> object:
    return None if breach is None else breach.law


@pytest.mark.parametrize(
    ("evacuations", "broken"),
    [
        ([lost(FRA)], False),
        ([lost(FRA), lost(IAD, US)], False),
        ([lost(FRA), lost(AMS)], True),
        ([lost(FRA), lost(AMS, automatic=False)], False),
        ([lost(FRA), replace(lost(AMS), empty=True)], False),
        ([lost(FRA), lost(IAD, US), lost(BOM, IN)], True),
        ([lost(FRA, node=f"fra1-c{n}") for n in range(1, 4)], False),
        ([lost(FRA, node=f"fra1-c{n}") for n in range(1, 5)], True),
        ([lost(FRA), *(lost(AMS, node=f"ams1-c{n}") for n in range(1, 4))], False),
    ],
    ids=["one", "one in each of two", "two of a geography", "one by an operator", "one empty", "three of a fleet",
         "three nodes", "four nodes", "a data center and three nodes"],
)  # fmt: skip
def test_the_brake(evacuations: list[Evacuation], broken: bool) -> None:
    assert law(plane_laws.braked(filed(*evacuations), NEVER_S)) is (FleetLaw.BRAKE if broken else None)


def test_what_was_declared_before_a_person_resumed_does_not_count() -> None:
    both = [*filed(lost(FRA), at_s=10.0), *filed(lost(AMS), at_s=20.0)]
    assert plane_laws.braked(both, 15.0) is None
    assert law(plane_laws.braked(both, 5.0)) is FleetLaw.BRAKE


@pytest.mark.parametrize(
    ("evacuations", "now_s", "broken"),
    [
        ([lost(FRA)], 99.0, False),
        ([lost(FRA, node="fra1-c1")], 99.0, False),
        ([lost(FRA, node="fra1-c2")], 10.0, True),
        ([lost(AMS)], 10.0, True),
        ([replace(lost(FRA), state=CLOSED)], 12.0, False),
        ([replace(lost(FRA), state=CLOSED)], 14.0, True),
        ([], 10.0, True),
    ],
    ids=["its data center", "its node", "another node", "another data center", "closed a moment ago", "closed", "none"],
)
def test_a_promotion_follows_a_record_that_names_its_primary(
    evacuations: list[Evacuation], now_s: float, broken: bool
) -> None:
    found = plane_laws.moved(BASE, filed(*evacuations), complained=False, ordered=False, now_s=now_s)
    assert law(found) is (FleetLaw.C9 if broken else None)


def test_a_complaint_or_an_operator_is_reason_enough_to_promote() -> None:
    assert plane_laws.moved(BASE, [], complained=True, ordered=False, now_s=1.0) is None
    assert plane_laws.moved(BASE, [], complained=False, ordered=True, now_s=1.0) is None


def test_no_evacuation_stays_open_of_what_has_long_been_well() -> None:
    well = {"fra1-c1": 10.0, "fra1-c2": 20.0, "ams1-c1": 0.0}
    assert plane_laws.left_open(filed(lost(FRA)), well, 25.0, within_s=10.0) is None
    assert law(plane_laws.left_open(filed(lost(FRA)), well, 31.0, within_s=10.0)) is FleetLaw.C9
    assert plane_laws.left_open(filed(replace(lost(FRA), state=CLOSED)), well, 31.0, within_s=10.0) is None


def test_nothing_is_declared_lost_that_nothing_has_happened_to() -> None:
    nodes = [NodeId("fra1-c1"), NodeId("fra1-c2")]
    assert plane_laws.hasty(lost(FRA), nodes, {"fra1-c2": 9.0}, 10.0) is None
    assert law(plane_laws.hasty(lost(FRA), nodes, {"fra1-c2": 1.0}, 10.0)) is FleetLaw.VERDICT
    assert law(plane_laws.hasty(lost(FRA), nodes, {"ams1-c1": 10.0}, 10.0)) is FleetLaw.VERDICT
    assert plane_laws.hasty(lost(FRA, automatic=False), nodes, {}, 10.0) is None


def test_no_primary_is_planned_before_a_hold_down_ends() -> None:
    books = [Homecoming(FRA, 0, 5_000)]
    assert law(plane_laws.held_down(FRA, books, 4_999)) is FleetLaw.HOLD_DOWN
    assert plane_laws.held_down(FRA, books, 5_000) is None
    assert plane_laws.held_down(AMS, books, 0) is None


def test_a_map_never_goes_back() -> None:
    older, newer = Revision(1, 2, 9), Revision(1, 3, 1)
    assert law(plane_laws.backwards("fra1-c1", newer, older)) is FleetLaw.C8
    assert plane_laws.backwards("fra1-c1", older, newer) is None
    assert plane_laws.backwards("fra1-c1", older, older) is None


def test_no_second_copy_is_wanted_beside_the_first() -> None:
    assert law(plane_laws.beside(BASE, NodeId("fra1-c2"))) is FleetLaw.TWO_DATA_CENTERS
    assert plane_laws.beside(BASE, NodeId("ams1-c2")) is None


def test_only_the_leader_of_the_highest_term_writes() -> None:
    one, two = ControlPlaneId("fra1-cp"), ControlPlaneId("ams1-cp")
    assert plane_laws.wrote(3, highest=3, raised=True, leaders=[one]) is None
    assert plane_laws.wrote(3, highest=2, raised=True, leaders=[]) is None
    assert law(plane_laws.wrote(2, highest=3, raised=True, leaders=[one])) is FleetLaw.C7
    assert law(plane_laws.wrote(3, highest=2, raised=False, leaders=[one])) is FleetLaw.C7
    assert law(plane_laws.wrote(3, highest=3, raised=True, leaders=[one, two])) is FleetLaw.C7


def test_maps_of_one_revision_are_the_same_and_never_ahead_of_the_store() -> None:
    revision, held = Revision(1, 2, 3), {ShardId(0): Fence(1, 4)}
    assert plane_laws.shows("fra1-c1", revision, held, None) is None
    assert plane_laws.shows("fra1-c1", revision, held, dict(held)) is None
    assert law(plane_laws.shows("fra1-c1", revision, held, {ShardId(0): Fence(1, 5)})) is FleetLaw.C8
    assert law(plane_laws.shows("fra1-c1", revision, held, {})) is FleetLaw.C8
    assert plane_laws.undecided("fra1-c1", held, {ShardId(0): Fence(1, 4)}) is None
    assert law(plane_laws.undecided("fra1-c1", held, {ShardId(0): Fence(1, 3)})) is FleetLaw.C8
    assert law(plane_laws.undecided("fra1-c1", held, {})) is FleetLaw.C8


def test_the_exposure_ledger_lists_what_stands_on_one_copy_and_nothing_else() -> None:
    solo = replace(BASE, standby=None)
    assert list(plane_laws.exposed("fra1-cp", {ShardId(7): 5}, [solo], {ShardId(7): 5})) == []
    assert list(plane_laws.exposed("fra1-cp", {ShardId(7): 5}, [solo], {})) == []
    for ledger, record in (({}, solo), ({ShardId(7): 5}, BASE), ({ShardId(7): 6}, solo)):
        found = plane_laws.exposed("fra1-cp", ledger, [record], {ShardId(7): 5})
        assert [b.law for b in found] == [FleetLaw.EXPOSURE]


def test_a_copy_lies_in_its_shards_geography() -> None:
    assert plane_laws.outside(ShardId(7), EU, NodeId("fra1-c1"), EU) is None
    assert law(plane_laws.outside(ShardId(7), EU, NodeId("iad1-c1"), US)) is FleetLaw.GEOGRAPHY
