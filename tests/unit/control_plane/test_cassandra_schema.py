"""Which keyspaces a fleet's records may stand in, and that nothing is written to them but on a condition."""

import re
from collections.abc import Mapping

import pytest

from control_plane.cassandra_events import PUT_ROW, event_statements
from control_plane.cassandra_schema import (
    TABLES,
    Home,
    Keyspace,
    create_keyspace,
    create_tables,
    wrong_home,
    wrong_keyspace,
    wrong_sites,
)
from control_plane.io.store_rows import COLUMNS, DOC_COLUMNS
from core.names import DcId

SITES = {"dc1": DcId("fra1"), "dc2": DcId("ber1"), "dc3": DcId("ams1")}
FLEET = frozenset({DcId("fra1"), DcId("ber1"), DcId("ams1"), DcId("waw1")})
NODES = {"dc1": 1, "dc2": 1, "dc3": 1}
NO_LIVES = dict.fromkeys(TABLES, 0)


def keyspace(copies: Mapping[str, int], *, strategy: str = "NetworkTopologyStrategy") -> Keyspace:
    return Keyspace("twinhold", strategy, copies, NO_LIVES)


@pytest.mark.parametrize(
    ("judged", "says"),
    [
        pytest.param(keyspace({"dc1": 1, "dc2": 1, "dc3": 1}), "", id="one copy in each of three"),
        pytest.param(keyspace({"dc1": 3, "dc2": 3, "dc3": 3}), "", id="three in each"),
        pytest.param(keyspace({"dc1": 1, "dc2": 1}), "copies in 2 sites (ber1 1, fra1 1): 3 must vote", id="two sites"),
        pytest.param(keyspace({"dc1": 1, "dc2": 1, "dc3": 0}), "copies in 2 sites", id="none in the third"),
        pytest.param(keyspace({"dc1": 3, "dc2": 1, "dc3": 1}), "3 of 5 copies in fra1", id="a majority in one"),
        pytest.param(keyspace({"dc1": 2, "dc2": 1, "dc3": 1}), "2 of 4 copies in fra1", id="half in one"),
        pytest.param(keyspace({"dc1": 1, "dc2": 1, "dc4": 1}), "copies in dc4, of which store.sites", id="a stranger"),
        pytest.param(keyspace({}, strategy="SimpleStrategy"), "has SimpleStrategy", id="places nobody knows"),
        pytest.param(
            Keyspace("k", "NetworkTopologyStrategy", NODES, NO_LIVES | {"records": 60}),
            "table k.records has a TTL of 60 s",
            id="a TTL",
        ),
        pytest.param(
            Keyspace("k", "NetworkTopologyStrategy", NODES, {"records": 0}), "has no table events", id="a table missing"
        ),
    ],
)
def test_a_keyspace_is_taken_only_if_any_one_site_may_be_lost_and_nothing_is_forgotten(
    judged: Keyspace, says: str
) -> None:
    wrong = wrong_keyspace(judged, SITES)
    assert bool(wrong) == bool(says)
    assert says in wrong


@pytest.mark.parametrize(
    ("sites", "says"),
    [
        pytest.param(SITES, "", id="three"),
        pytest.param({**SITES, "dc3": DcId("fra1")}, "names 2 data centers of the fleet: 3 must vote", id="two"),
        pytest.param({}, "names 0 data centers", id="none"),
        pytest.param({**SITES, "dc9": DcId("waw1")}, "names dc9, and Cassandra has dc1, dc2, dc3", id="no such one"),
        pytest.param({**SITES, "dc3": DcId("tyo1")}, "puts dc3 in tyo1, which is no data center", id="outside"),
    ],
)
def test_sites_are_three_data_centers_that_both_sides_know(sites: Mapping[str, DcId], says: str) -> None:
    wrong = wrong_sites(sites, NODES, FLEET)
    assert bool(wrong) == bool(says)
    assert says in wrong


@pytest.mark.parametrize(
    ("home", "says"),
    [
        pytest.param(Home("eu", 1), "", id="ours"),
        pytest.param(Home("us", 1), "belongs to fleet us, not to eu", id="another fleet's"),
        pytest.param(Home("eu", 9), "schema has version 9, and this twinhold knows 1", id="too new"),
    ],
)
def test_a_store_is_ours_and_not_too_new(home: Home, says: str) -> None:
    wrong = wrong_home(home, "eu")
    assert bool(wrong) == bool(says)
    assert says in wrong


def test_the_keyspace_gets_as_many_copies_in_each_site() -> None:
    assert create_keyspace("twinhold", SITES, 1).endswith(
        "{'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1, 'dc3': 1} AND durable_writes = true"
    )


def test_tables_hold_every_column_of_a_record_and_a_doc_and_forget_nothing() -> None:
    records, *others = create_tables("twinhold")
    columns = set(re.findall(r"(\w+) (?:text|int|bigint|blob)\b", records))
    assert set(COLUMNS.split(", ")) <= columns
    assert set(DOC_COLUMNS.split(", ")) - {"key"} <= columns
    assert all("default_time_to_live = 0" in statement for statement in (records, *others))


def test_every_write_of_events_is_conditional_or_part_of_one_that_is() -> None:
    plain = [name for name, text in event_statements("k").items() if text.startswith("UPDATE") and " IF " not in text]
    assert plain == [PUT_ROW], "which goes in one batch with the head of its slot"
