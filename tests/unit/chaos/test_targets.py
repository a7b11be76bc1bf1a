"""What a fault is done to: processes of the fleet, and servers that it has started itself."""

from dataclasses import replace

import pytest

from chaos.targets import Tongue, members, target
from core.engines import CassandraEngine, ConsulEngine, Engines
from core.errors import MalformedError, NotFoundError
from regions.io.load import load
from regions.servers import own_servers

REFERENCE = load("reference")
ENGINES = Engines(store=CassandraEngine((), "twinhold", {}), discovery=ConsulEngine((), ""))
SERVERS = own_servers(REFERENCE, ENGINES)


def test_a_data_center_stands_for_its_nodes_and_its_control_plane() -> None:
    assert set(members(REFERENCE, target("dataCenters/fra1"), ())) == {"fra1-c1", "fra1-c2", "fra1-cp"}
    assert set(members(REFERENCE, target("dataCenters/waw1"), ())) == {"waw1-c1", "waw1-c2"}
    assert len(members(REFERENCE, target("controlPlanes/*"), ())) == 5
    assert set(members(REFERENCE, target("nodes/waw1-c2"), ())) == {"waw1-c2"}


def test_a_data_center_takes_its_servers_along_only_when_asked_to() -> None:
    fra1 = target("dataCenters/fra1")
    assert set(members(REFERENCE, fra1, SERVERS)) == {"fra1-c1", "fra1-c2", "fra1-cp"}
    found = members(REFERENCE, replace(fra1, servers=True), SERVERS)
    assert set(found) == {"fra1-c1", "fra1-c2", "fra1-cp", "cassandra-fra1", "consul-fra1"}
    assert found["cassandra-fra1"].tongue is Tongue.CQL
    assert found["fra1-c1"].tongue is Tongue.GRPC
    assert str(replace(fra1, servers=True)) == "dataCenters/fra1 with its servers"


@pytest.mark.parametrize("text", ["cassandra", "cassandra/*"])
def test_servers_are_meant_all_together_or_by_their_site(text: str) -> None:
    assert set(members(REFERENCE, target(text), SERVERS)) == {"cassandra-ber1", "cassandra-ams1", "cassandra-fra1"}
    assert set(members(REFERENCE, target("consul/ams1"), SERVERS)) == {"consul-ams1"}
    assert str(target(text)) == "cassandra/*"


@pytest.mark.parametrize("text", ["dataCenters/xyz9", "nodes/fra1-c9", "controlPlanes/waw1-cp", "cassandra/waw1"])
def test_what_is_not_in_the_fleet_is_not_found(text: str) -> None:
    with pytest.raises(NotFoundError):
        members(REFERENCE, target(text), SERVERS)


def test_servers_of_others_are_nobodys_to_hurt() -> None:
    with pytest.raises(NotFoundError, match="has not started any itself"):
        members(REFERENCE, target("cassandra"), ())


@pytest.mark.parametrize("text", ["", "fra1", "dataCenters/", "nodes/*", "racks/r1", "cassandra/FRA 1"])
def test_a_malformed_target_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        target(text)
