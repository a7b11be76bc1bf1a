"""What a fleet consists of: its processes, who falls together, which sites vote."""

import pytest

from core.engines import CassandraEngine, Engines
from core.errors import NotFoundError
from core.names import DcId, NodeId
from core.topology import rtt_table_s
from regions.fleet import STORE, Sites, chosen, members, rtt_lines
from regions.io.load import load

FLEET = load("small")


def test_every_process_has_a_name_and_a_folder_of_its_own() -> None:
    everybody = members(load("reference"))
    assert len(everybody) == 32 + 5 + 1
    assert len({member.name for member in everybody}) == len({member.folder for member in everybody}) == 38


def test_with_another_store_there_is_no_embedded_one() -> None:
    cassandra = Engines(store=CassandraEngine((), "twinhold", {}))
    assert STORE not in {member.name for member in members(FLEET, cassandra)}


def test_a_control_plane_falls_with_its_data_center() -> None:
    assert {member.name for member in chosen(FLEET, DcId("fra1"))} == {"fra1-cp", "fra1-c1"}


def test_a_node_is_chosen_alone() -> None:
    assert [member.name for member in chosen(FLEET, NodeId("fra1-c1"))] == ["fra1-c1"]


@pytest.mark.parametrize("target", ["nowhere", STORE])
def test_only_what_stands_in_a_data_center_is_chosen(target: str) -> None:
    with pytest.raises(NotFoundError, match=r"a data center \(fra1, ams1, waw1\)"):
        chosen(FLEET, DcId(target))


def test_a_lost_site_counts_again_when_it_is_back() -> None:
    sites = Sites(FLEET, set())
    sites.set(DcId("ams1"), lives=False)
    assert sites.living() == ["fra1", "waw1"]
    sites.set(DcId("ams1"), lives=True)
    assert sites.living() == ["fra1", "ams1", "waw1"]


def test_round_trips_are_printed_once_per_pair() -> None:
    lines = list(rtt_lines(FLEET, rtt_table_s(FLEET)))
    assert [len(line.split()) for line in lines] == [1, 2, 3, 3]
    assert lines[-1].split() == ["fra1", "ams1", "waw1"]
