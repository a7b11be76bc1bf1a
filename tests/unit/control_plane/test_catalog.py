"""The records as a control plane knows them: since when a shard stands on one copy."""

from dataclasses import replace

from control_plane.catalog import Catalog
from core.assignments import Assignment, Copy
from core.fleet_map import FleetMap, Revision
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from tests.unit.control_plane.lands import two_lands

SYNC = Assignment(
    ShardId(0), Kind.COLLAB, 1, 1, Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("ber1-c1"), CopyId("b.1"))
)
SOLO = replace(SYNC, epoch=2, standby=None)


def catalog() -> Catalog:
    return Catalog(FleetMap(two_lands()), published=lambda _: None)


def test_a_follower_that_takes_a_whole_map_knows_since_when_a_shard_stands_on_one_copy() -> None:
    known = catalog()
    known.replace(Revision(1, 1, 1), [SOLO], {}, at_ms=1_000)
    known.replace(Revision(1, 1, 2), [replace(SOLO, epoch=3)], {}, at_ms=9_000)
    known.expose(20_000)
    assert known.solo_since_ms == {ShardId(0): 1_000}


def test_a_shard_that_has_two_copies_again_is_no_longer_listed() -> None:
    known = catalog()
    known.replace(Revision(1, 1, 1), [SOLO], {}, at_ms=1_000)
    known.replace(Revision(1, 1, 2), [replace(SYNC, epoch=3)], {}, at_ms=9_000)
    assert known.solo_since_ms == {}
    known.replace(Revision(1, 1, 3), [replace(SOLO, epoch=4)], {}, at_ms=12_000)
    assert known.solo_since_ms == {ShardId(0): 12_000}
