"""A fleet's description: what is taken, and what every complaint says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.topology import Topology, rtt_s
from regions.document import DocumentError, parsed
from regions.io.load import PRESETS, load
from regions.topology import STANDBY_COST, VOTE_SITES, split, topology

GOOD = """\
fleet: tiny
address_base: 60
shards: 8
tenants: 800
weights_seed: 1
utilization: 0.45
collab_nodes: 1
control_planes: [aaa1]
geographies:
  eu:
    share: 1
    vote_sites: [aaa1, bbb1, ccc1]
    data_centers:
      aaa1: {region: de, latitude_deg: 50.0, longitude_deg: 8.0}
      bbb1: {region: nl, latitude_deg: 52.0, longitude_deg: 5.0}
      ccc1: {region: pl, latitude_deg: 52.0, longitude_deg: 21.0}
"""


def read(text: str) -> Topology:
    return topology(parsed(text, "tiny.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param("shards: 8", "shard: 8", "tiny.yaml:3: unknown field 'shard': did you mean 'shards'?", id="typo"),
        pytest.param("shards: 8", "xyzzy: 8", "tiny.yaml:3: unknown field 'xyzzy'; allowed: fleet,", id="unknown"),
        pytest.param("shards: 8\n", "", "tiny.yaml:1: the document lacks the field 'shards'", id="missing"),
        pytest.param("shards: 8", "shards: 0", "tiny.yaml:3: shards is 0: expected a whole number from 1", id="low"),
        pytest.param("shards: 8", "shards: yes", "tiny.yaml:3: shards is True: expected a whole number", id="type"),
        pytest.param("shards: 8", "shards: [1]", "tiny.yaml:3: shards is a list: expected a whole", id="list"),
        pytest.param("fleet: tiny", "fleet: Tiny!", "tiny.yaml:1: fleet 'Tiny!' is malformed", id="name"),
        pytest.param("[aaa1]", "[xxx1]", "tiny.yaml:8: control_planes[0] is 'xxx1': expected one of aaa1,", id="dc"),
        pytest.param("[aaa1]", "[aaa1, bbb1]", "tiny.yaml:8: control_planes has 2 entries: expected an odd", id="even"),
        pytest.param("[aaa1]", "[aaa1, aaa1]", "tiny.yaml:8: control_planes names 'aaa1' twice", id="twice"),
        pytest.param(", ccc1]", "]", "tiny.yaml:12: geographies.eu.vote_sites has 2 entries: expected 3", id="sites"),
        pytest.param("latitude_deg: 50.0", "latitude_deg: 95", "tiny.yaml:14: ", id="off the globe"),
        pytest.param("      bbb1:", "      aaa1:", "tiny.yaml:15: the field 'aaa1' stands here twice", id="key twice"),
        pytest.param("  eu:", "  E U:", "tiny.yaml:10: geography 'E U' is malformed", id="geography"),
        pytest.param("share: 1", "share: 1\n   x: 2", "not YAML", id="not YAML"),
        pytest.param("address_base: 60", "address_base: 254", "tiny.yaml:2: address_base is 254", id="address"),
    ],
)
def test_a_complaint_names_file_line_and_what_is_allowed(old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(DocumentError) as caught:
        read(GOOD.replace(old, new, 1))
    assert complaint in caught.value.message
    assert caught.value.message.startswith("tiny.yaml:")


def test_a_geography_of_three_votes_at_home() -> None:
    abroad = GOOD.replace("[aaa1, bbb1, ccc1]", "[aaa1, bbb1, ddd1]") + (
        "  us:\n    share: 1\n    vote_sites: [ddd1, eee1, aaa1]\n    data_centers:\n"
        "      ddd1: {region: us, latitude_deg: 39.0, longitude_deg: -77.0}\n"
        "      eee1: {region: us, latitude_deg: 45.0, longitude_deg: -122.0}\n"
    )
    with pytest.raises(DocumentError, match=r"tiny\.yaml:12: .* names ddd1: eu takes only data centers of its own"):
        read(abroad)


def test_an_empty_document_is_said_to_be_empty() -> None:
    with pytest.raises(DocumentError, match=r"tiny\.yaml:1: the document is empty"):
        parsed("", "tiny.yaml")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_a_fleet(preset: str) -> None:
    fleet = load(preset)
    assert sum(g.shards for g in fleet.geographies) == len(fleet.weights)
    assert all(len(g.vote_sites) == VOTE_SITES for g in fleet.geographies)
    endpoints = [n.endpoint for n in fleet.nodes] + [c.endpoint for c in fleet.control_planes] + [fleet.store_endpoint]
    assert len(set(endpoints)) == len(endpoints)


@pytest.mark.parametrize("preset", PRESETS)
def test_shards_of_geographies_follow_each_other(preset: str) -> None:
    for left, right in pairwise(load(preset).geographies):
        assert right.first_shard == left.first_shard + left.shards


@pytest.mark.parametrize("preset", PRESETS)
def test_normal_use_is_what_the_document_says(preset: str) -> None:
    fleet = load(preset)
    for geography in fleet.geographies:
        load_cores = sum(fleet.weights[geography.first_shard : geography.first_shard + geography.shards])
        capacity = sum(n.capacity for dc in fleet.dcs_in(geography.id) for n in fleet.nodes_in(dc.id))
        assert load_cores * (1 + STANDBY_COST) / capacity == pytest.approx(0.45)


def test_the_reference_fleet_is_the_one_of_the_design() -> None:
    fleet = load("reference")
    assert (len(fleet.data_centers), len({d.region for d in fleet.data_centers})) == (16, 9)
    assert (len(fleet.geographies), len(fleet.nodes), fleet.shards) == (6, 32, 1024)
    assert [c.id for c in fleet.control_planes] == ["fra1-cp", "iad1-cp", "ala1-cp", "gru1-cp", "bom1-cp"]


def test_frankfurt_and_virginia_are_about_95_ms_apart() -> None:
    fleet = load("reference")
    dcs = {dc.id: dc for dc in fleet.data_centers}
    trip_s = rtt_s(*(dc for name, dc in dcs.items() if name in {"fra1", "iad1"}))
    assert 0.090 < trip_s < 0.100


def test_another_address_base_moves_every_address() -> None:
    here, there = load("small"), load("small", address_base=90)
    assert {n.host for n in here.nodes}.isdisjoint(n.host for n in there.nodes)
    assert there.nodes[0].host.startswith("127.90.")


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=9), st.integers(0, 5000))
def test_a_split_gives_away_everything_and_leaves_nobody_without(shares: list[float], extra: int) -> None:
    parts = split(len(shares) + extra, shares)
    assert sum(parts) == len(shares) + extra
    assert min(parts) >= 1
