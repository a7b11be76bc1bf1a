"""Which servers a fleet starts itself, where they stand, and how its processes then dial them."""

import pytest

from core.engines import EMBEDDED, CassandraEngine, ConsulEngine, Engines
from core.errors import NotFoundError
from core.names import DcId
from regions.io.load import load
from regions.servers import Servers, Service, chosen_servers, dialled, of_its_own, own_servers, sites

OWN = Engines(store=CassandraEngine((), "twinhold", {}), discovery=ConsulEngine((), ""))
NAMED = Engines(
    store=CassandraEngine(("10.0.0.1:9042",), "twinhold", {"one": DcId("fra1")}),
    discovery=ConsulEngine(("10.0.0.1:8500",), "dc1"),
)


@pytest.mark.parametrize(
    ("preset", "where"),
    [
        ("reference", ["ber1", "ams1", "fra1"]),
        ("small", ["fra1", "ams1", "waw1"]),
        ("laptop", ["fra1", "ams1", "waw1"]),
    ],
)
def test_they_stand_in_the_vote_sites_around_the_first_control_plane(preset: str, where: list[str]) -> None:
    assert list(sites(load(preset))) == where


def test_three_of_each_are_started_on_addresses_of_their_own() -> None:
    found = own_servers(load("small"), OWN)
    assert [server.name for server in found if server.service is Service.CASSANDRA] == [
        "cassandra-fra1",
        "cassandra-ams1",
        "cassandra-waw1",
    ]
    assert len({server.host for server in found}) == 6
    assert all(server.host.startswith("127.43.") for server in found)


@pytest.mark.parametrize("engines", [EMBEDDED, NAMED], ids=["nothing needs them", "others are named"])
def test_otherwise_none_is_started(engines: Engines) -> None:
    assert own_servers(load("small"), engines) == ()
    assert dialled(engines, ()) == engines


def test_engines_are_pointed_at_them() -> None:
    small = load("small")
    found = dialled(OWN, own_servers(small, OWN))
    assert found.store is not None
    assert found.discovery is not None
    assert found.store.contact_points == ("127.43.10.1:9042", "127.43.10.2:9042", "127.43.10.3:9042")
    assert found.store.sites == {"fra1": "fra1", "ams1": "ams1", "waw1": "waw1"}
    assert found.discovery.addresses[0] == "127.43.20.1:8500"


def test_a_rehearsal_goes_on_servers_of_its_own_whatever_is_named() -> None:
    in_use = Engines(
        store=CassandraEngine(("10.0.0.1:9042",), "mine", {"one": DcId("fra1")}, "twin", "sesame"),
        discovery=ConsulEngine(("10.0.0.1:8500",), "dc1", "sesame"),
        archive_dir="/srv/archive",
    )
    found = of_its_own(in_use)
    assert found == Engines(store=CassandraEngine((), "mine", {}), discovery=ConsulEngine((), ""))
    assert len(own_servers(load("small"), found)) == 6
    assert of_its_own(EMBEDDED) == EMBEDDED


def test_they_are_chosen_by_service_and_site() -> None:
    found = own_servers(load("small"), OWN)
    assert len(chosen_servers(found, Servers(Service.CONSUL))) == 3
    assert [one.name for one in chosen_servers(found, Servers(Service.CONSUL, DcId("ams1")))] == ["consul-ams1"]
    with pytest.raises(NotFoundError, match="this fleet has one in each of fra1, ams1, waw1"):
        chosen_servers(found, Servers(Service.CASSANDRA, DcId("ber1")))
