"""Where a shard lives and what would happen next, in sentences."""

from dataclasses import replace

import pytest

from control_plane.explain import placement_reasons
from core.assignments import Assignment, Copy
from core.fleet_map import FleetMap
from core.names import CopyId, DcId, NodeId, ShardId
from core.topology import Kind, Topology
from tests.fleets import small_fleet

FLEET = small_fleet(1)
A, B = Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1"))
SYNC = Assignment(ShardId(3), Kind.COLLAB, 1, 4, A, B, "ams1-c1 was silent")


def without(topology: Topology, dc: str) -> Topology:
    """Take a data center away."""
    return replace(topology, data_centers=tuple(d for d in topology.data_centers if d.id != DcId(dc)))


@pytest.mark.parametrize(
    ("assignment", "topology", "lines"),
    [
        pytest.param(
            SYNC,
            FLEET,
            [
                "Shard 3 of eu is served by fra1-c1, with its standby on ams1-c1.",
                "This has been so since epoch 4: ams1-c1 was silent.",
                "If fra1 were lost now, ams1-c1 would take over; a second copy would then be made in waw1.",
                "If ams1 were lost now, fra1-c1 would go on alone; a second copy would then be made in waw1.",
            ],
            id="two copies, a third data center",
        ),
        pytest.param(
            SYNC,
            without(FLEET, "waw1"),
            [
                "Shard 3 of eu is served by fra1-c1, with its standby on ams1-c1.",
                "This has been so since epoch 4: ams1-c1 was silent.",
                "If fra1 were lost now, ams1-c1 would take over; there is no third data center.",
                "If ams1 were lost now, fra1-c1 would go on alone; there is no third data center.",
            ],
            id="two copies, no third data center",
        ),
        pytest.param(
            replace(SYNC, standby=None, reason=""),
            FLEET,
            [
                "Shard 3 of eu is served by fra1-c1, on one copy.",
                "This has been so since epoch 4.",
                "If fra1 were lost now, its tenants would wait until it returns: nothing is lost, nothing serves.",
            ],
            id="one copy",
        ),
    ],
)
def test_a_shard_is_explained(assignment: Assignment, topology: Topology, lines: list[str]) -> None:
    assert placement_reasons(assignment, FleetMap(topology)) == lines
