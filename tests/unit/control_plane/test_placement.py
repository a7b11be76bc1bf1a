"""Where copies go, and whether a loss can be survived."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.loads import PARTNERS_MAX, STANDBY_COST, loads_of
from control_plane.placement import FIRST_PARTNERS, Room, SimplePlacement, partner_nodes
from core.assignments import Assignment, Copy, Promote, first_assignment, successor
from core.errors import RefusedBySafetyError
from core.fleet_map import residency
from core.names import CopyId, DcId, GeographyId, NodeId, RegionId, collab_node, dc_of
from core.topology import DataCenter, Geography, Kind, Node, Topology
from regions.io.load import load

EU = GeographyId("eu")


def land(nodes_per_dc: list[int], weights: list[float], *, utilization: float = 0.45) -> Topology:
    """One geography whose data centers have so many nodes each."""
    dcs = [DcId(f"dc{chr(97 + n)}1") for n in range(len(nodes_per_dc))]
    capacity = sum(weights) * (1 + STANDBY_COST) / sum(nodes_per_dc) / utilization
    return Topology(
        fleet="test",
        geographies=(Geography(EU, 0, len(weights), (*dcs[:3],)),),
        data_centers=tuple(DataCenter(dc, RegionId("de"), EU, 50.0, 8.0 + n) for n, dc in enumerate(dcs)),
        nodes=tuple(
            Node(collab_node(dc, n + 1), dc, Kind.COLLAB, "127.0.0.1", 7400, capacity)
            for dc, count in zip(dcs, nodes_per_dc, strict=True)
            for n in range(count)
        ),
        control_planes=(),
        store_host="127.0.0.1",
        store_port=7420,
        weights=tuple(weights),
    )


def copy_on(node: NodeId) -> Copy:
    return Copy(node, CopyId(f"disk-{node}.1"))


def placed(topology: Topology, geography: GeographyId = EU) -> list[Assignment]:
    usable = [dc.id for dc in topology.data_centers]
    return list(SimplePlacement().first(topology, geography, usable=usable, copy_on=copy_on))


LANDS = st.builds(
    land,
    st.lists(st.integers(1, 12), min_size=2, max_size=5),
    st.lists(st.floats(0.1, 5.0), min_size=30, max_size=120),
)


@settings(max_examples=60, deadline=None)
@given(LANDS)
def test_every_shard_starts_lawfully_and_no_node_has_too_many_partners(topology: Topology) -> None:
    assignments = placed(topology)
    assert [a.shard for a in assignments] == list(range(len(topology.weights)))
    for assignment in assignments:
        first_assignment(assignment, geography_of=residency(topology).__getitem__)
    loads = loads_of(topology, assignments)
    assert all(len(partners) <= PARTNERS_MAX for partners in loads.partners.values())


@settings(max_examples=30, deadline=None)
@given(LANDS)
def test_equal_inputs_give_equal_placements(topology: Topology) -> None:
    assert placed(topology) == placed(topology)


@settings(max_examples=30, deadline=None)
@given(LANDS, st.data())
def test_loads_follow_every_change(topology: Topology, data: st.DataObject) -> None:
    assignments = placed(topology)
    loads = loads_of(topology, assignments)
    for _ in range(20):
        index = data.draw(st.integers(0, len(assignments) - 1))
        old = assignments[index]
        if old.solo:
            continue
        new = successor(old, Promote(), reason="lost")
        loads.move(old, new)
        assignments[index] = new
    fresh = loads_of(topology, assignments)
    assert loads.load == pytest.approx(fresh.load)
    assert loads.placed == pytest.approx(fresh.placed)
    assert loads.partners == fresh.partners
    usable = [dc.id for dc in topology.data_centers]
    mine, theirs = loads.certificate(EU, usable), fresh.certificate(EU, usable)
    assert mine.worst_after_loss == pytest.approx(theirs.worst_after_loss)


@pytest.mark.parametrize("nodes_per_dc", [[37, 37], [30, 30, 30], [24, 30, 18, 36, 30]], ids=str)
def test_a_big_geography_is_placed_evenly_and_survives_any_loss(nodes_per_dc: list[int]) -> None:
    topology = land(nodes_per_dc, [1.0 + n % 7 for n in range(4000)])
    loads = loads_of(topology, placed(topology))
    utilizations = [loads.utilization(node) for node in loads.load]
    assert max(utilizations) <= 1.15 * min(utilizations)
    assert loads.certificate(EU, [dc.id for dc in topology.data_centers]).survives_any_loss


def test_the_reference_fleet_survives_any_loss_in_every_geography() -> None:
    topology = load("reference")
    everything = [a for g in topology.geographies for a in placed(topology, g.id)]
    loads = loads_of(topology, everything)
    usable = [dc.id for dc in topology.data_centers]
    assert all(loads.certificate(g.id, usable).survives_any_loss for g in topology.geographies)


def test_a_crowded_geography_does_not_survive_and_says_why() -> None:
    topology = land([2, 2], [1.0] * 40, utilization=0.8)
    loads = loads_of(topology, placed(topology))
    certificate = loads.certificate(EU, [dc.id for dc in topology.data_centers])
    assert not certificate.survives_any_loss
    assert "after the loss of" in certificate.violations[0]


def test_a_single_data_center_is_refused() -> None:
    topology = land([3, 3], [1.0] * 10)
    with pytest.raises(RefusedBySafetyError):
        SimplePlacement().first(topology, EU, usable=[topology.data_centers[0].id], copy_on=copy_on)


@settings(max_examples=50, deadline=None)
@given(LANDS, st.data())
def test_a_new_standby_stands_in_another_usable_data_center_with_room(topology: Topology, data: st.DataObject) -> None:
    assignments = placed(topology)
    old = data.draw(st.sampled_from(assignments))
    solo = replace(old, epoch=2, standby=None)
    loads = loads_of(topology, [solo if a == old else a for a in assignments])
    usable = data.draw(st.sets(st.sampled_from([dc.id for dc in topology.data_centers])))
    well = data.draw(st.sets(st.sampled_from([node.id for node in topology.nodes])))
    found = SimplePlacement().standby(solo, Room(loads, usable, well))
    if found is not None:
        assert dc_of(found) in usable
        assert dc_of(found) != dc_of(solo.primary.node)
        assert found in well
        assert loads.may_pair(solo.primary.node, found)
        assert loads.fits(found, STANDBY_COST * topology.weight(solo.shard))


@pytest.mark.parametrize("nodes_per_dc", [[1, 1], [1, 9], [40, 3], [5, 5, 5], [2, 7, 13, 4, 6]], ids=str)
def test_every_node_has_at_most_as_many_partners_as_it_starts_with(nodes_per_dc: list[int]) -> None:
    topology = land(nodes_per_dc, [1.0] * 8)
    partners = partner_nodes(topology, EU, [dc.id for dc in topology.data_centers])
    assert all(len(others) <= FIRST_PARTNERS for others in partners.values())
    assert all(node in partners[other] for node, others in partners.items() for other in others)
