"""A receiver keeps its last good map: whatever would make it worse is refused whole."""

from dataclasses import replace

import pytest

from core.assignments import Assignment, Copy
from core.errors import MalformedError, NotFoundError, PositionGoneError, UnavailableError
from core.fleet_map import Delta, FleetMap, Revision, shards_on, shards_touching
from core.names import CopyId, DcId, GeographyId, NodeId, ShardId, TenantName
from core.sharding import home_shard
from core.topology import Kind
from tests.unit.core.fleets import two_geographies


def copy(node: str) -> Copy:
    return Copy(NodeId(node), CopyId("disk.0"))


GOOD = Assignment(ShardId(3), Kind.COLLAB, 1, 5, copy("ber1-c1"), copy("ams1-c1"))
R1, R2 = Revision(1, 1, 1), Revision(1, 1, 2)


def fresh() -> FleetMap:
    known = FleetMap(two_geographies())
    known.replace_all(R1, [GOOD], {})
    return known


BAD = [
    pytest.param(replace(GOOD, standby=copy("ber1-c2")), id="both copies in one data center"),
    pytest.param(replace(GOOD, standby=copy("iad1-c1")), id="a copy outside the geography"),
    pytest.param(replace(GOOD, epoch=4), id="an older epoch"),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_assignment_is_refused_and_the_last_good_map_stays(bad: Assignment) -> None:
    known = fresh()
    with pytest.raises(MalformedError):
        known.apply(Delta(R1, R2, (replace(GOOD, epoch=6), bad)))
    with pytest.raises(MalformedError):
        known.replace_all(R2, [bad], {})
    assert (known.revision, known.shard(ShardId(3))) == (R1, GOOD)


def test_an_empty_or_older_snapshot_is_refused() -> None:
    known = fresh()
    with pytest.raises(MalformedError):
        known.replace_all(R2, [], {})
    with pytest.raises(MalformedError):
        known.replace_all(Revision(1, 0, 9), [GOOD], {})
    assert known.revision == R1


def test_a_delta_that_starts_elsewhere_asks_for_a_snapshot() -> None:
    with pytest.raises(PositionGoneError):
        fresh().apply(Delta(R2, Revision(1, 1, 3), ()))


def test_a_delta_moves_the_map_on() -> None:
    known, moved = fresh(), replace(GOOD, epoch=6, standby=None)
    known.apply(Delta(R1, R2, (moved,)))
    assert (known.revision, known.shard(ShardId(3))) == (R2, moved)


def test_a_shard_that_is_not_shown_yet_is_asked_again_and_one_that_is_none_is_not() -> None:
    known = fresh()
    with pytest.raises(UnavailableError) as later:
        known.shard(ShardId(4))
    assert later.value.retry_after_s
    with pytest.raises(NotFoundError):
        known.shard(ShardId(known.topology.shards))


def test_an_override_wins_over_the_hash_until_it_is_taken_back() -> None:
    known = fresh()
    tenant = next(
        name
        for name in (TenantName(GeographyId("eu"), f"t{n}") for n in range(100))
        if home_shard(name, known.topology.geography(GeographyId("eu"))) != 3
    )
    with pytest.raises(UnavailableError):
        known.locate(tenant)
    known.apply(Delta(R1, R2, (), ((tenant, ShardId(3)),)))
    assert known.locate(tenant) == GOOD
    known.apply(Delta(R2, Revision(1, 1, 3), (), ((tenant, None),)))
    with pytest.raises(UnavailableError):
        known.locate(tenant)


def test_shards_are_found_by_node_and_by_data_center() -> None:
    assert shards_on([GOOD], NodeId("ams1-c1")) == shards_touching([GOOD], DcId("ams1")) == [GOOD]
    assert shards_on([GOOD], NodeId("fra1-c1")) == shards_touching([GOOD], DcId("fra1")) == []
