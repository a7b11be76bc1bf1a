"""What goes over the wire comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.assignments import Assignment, Copy
from core.errors import AnswerTooLargeError, MalformedError, OverloadedError
from core.fleet_map import Delta, Revision
from core.names import CopyId, GeographyId, NodeId, ShardId, TenantName
from core.topology import Kind
from core.wire import (
    command_error,
    delta_from_pb,
    delta_to_pb,
    error_of_command,
    snapshot_from_pb,
    snapshot_to_pb,
    topology_from_pb,
    topology_to_pb,
)
from tests.unit.core.fleets import two_geographies

copies = st.builds(
    Copy, st.sampled_from([NodeId("ber1-c1"), NodeId("ams1-c1")]), st.sampled_from([CopyId("a.0"), CopyId("b.1")])
)
assignments = st.builds(
    Assignment,
    st.integers(0, 99).map(ShardId),
    st.sampled_from(Kind),
    st.integers(1, 3),
    st.integers(1, 2**40),
    copies,
    st.one_of(st.none(), copies),
)
tenants = st.builds(TenantName, st.just(GeographyId("eu")), st.from_regex(r"[a-z]{1,8}", fullmatch=True))
maps = st.lists(assignments, unique_by=lambda a: a.shard, max_size=8).map(lambda m: sorted(m, key=lambda a: a.shard))


@given(held=maps, overrides=st.dictionaries(tenants, st.integers(0, 9).map(ShardId), max_size=3))
def test_a_map_snapshot_round_trips(held: list[Assignment], overrides: dict[TenantName, ShardId]) -> None:
    message = snapshot_to_pb(Revision(1, 2, 3), held, overrides, two_geographies())
    assert snapshot_from_pb(message) == (held, overrides)


@given(held=maps, moved=st.lists(st.tuples(tenants, st.one_of(st.none(), st.integers(0, 9).map(ShardId))), max_size=3))
def test_a_map_delta_round_trips(held: list[Assignment], moved: list[tuple[TenantName, ShardId | None]]) -> None:
    delta = Delta(Revision(1, 1, 1), Revision(1, 1, 2), tuple(held), tuple(moved))
    assert delta_from_pb(delta_to_pb(delta, "f"), "f") == delta
    with pytest.raises(MalformedError):
        delta_from_pb(delta_to_pb(delta, "f"), "another")


def test_a_snapshot_whose_columns_do_not_fit_is_refused() -> None:
    one = Assignment(
        ShardId(1), Kind.COLLAB, 1, 1, Copy(NodeId("ber1-c1"), CopyId("a")), Copy(NodeId("ams1-c1"), CopyId("b"))
    )
    message = snapshot_to_pb(Revision(1, 1, 1), [one], {}, two_geographies())
    message.epochs.append(9)
    with pytest.raises(MalformedError):
        snapshot_from_pb(message)
    del message.epochs[1:]
    message.primaries[0] = 3
    with pytest.raises(MalformedError):
        snapshot_from_pb(message)


def test_a_newcomer_learns_the_fleet_but_not_where_its_store_stands() -> None:
    fleet = two_geographies()
    seen = topology_from_pb(topology_to_pb(fleet))
    assert (seen.geographies, seen.nodes, seen.control_planes) == (fleet.geographies, fleet.nodes, fleet.control_planes)
    assert seen.store_host == ""


def test_an_error_in_a_field_comes_back_as_its_own_class() -> None:
    seen = error_of_command(command_error(OverloadedError("wait", retry_after_s=0.25, tenant="tenants/eu/a")))
    assert isinstance(seen, OverloadedError)
    assert (seen.retry_after_s, seen.facts, seen.reason) == (0.25, {"tenant": "tenants/eu/a"}, "OVERLOADED")


def test_an_answer_that_is_too_large_says_how_large_it_was_and_where_to_ask() -> None:
    seen = error_of_command(command_error(AnswerTooLargeError(size_bytes=70_000, limit_bytes=65_536)))
    assert isinstance(seen, AnswerTooLargeError)
    assert seen.facts == {"size_bytes": "70000", "limit_bytes": "65536"}
    assert "ask by Query" in seen.message
