"""The servers of engines that a fleet on one machine starts itself, when nobody has named others: three of each.

They stand in the vote sites of the geography in which the first control plane lives, so that no data center's loss
takes a majority of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from core.engines import CassandraEngine, ConsulEngine, Engines
from core.errors import NotFoundError
from core.names import DcId
from core.topology import Topology


class Service(Enum):
    """What a server is."""

    CASSANDRA = "cassandra"
    CONSUL = "consul"


THIRD_OCTET = {Service.CASSANDRA: 10, Service.CONSUL: 20}
"""Beside the embedded store's address, in the same /16."""
PORT = {Service.CASSANDRA: 9042, Service.CONSUL: 8500}


@dataclass(frozen=True, slots=True)
class Server:
    """One server."""

    service: Service
    site: DcId
    """The data center of the fleet in which it stands."""
    host: str

    @property
    def name(self) -> str:
        """Name its process: ``cassandra-fra1``."""
        return f"{self.service.value}-{self.site}"

    @property
    def endpoint(self) -> str:
        """Where its clients dial it."""
        return f"{self.host}:{PORT[self.service]}"


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers to be hurt or started: all of a service, or the one that stands in a site."""

    service: Service
    site: DcId | None = None

    def __str__(self) -> str:
        return f"{self.service.value}/{self.site or '*'}"


def sites(topology: Topology) -> tuple[DcId, ...]:
    """Choose the data centers in which a fleet's own servers stand."""
    first = topology.data_center(topology.control_planes[0].dc)
    return topology.geography(first.geography).vote_sites


def own_servers(topology: Topology, engines: Engines) -> tuple[Server, ...]:
    """List the servers that a fleet has to start itself; none where clusters are named, or nothing needs them."""
    services = []
    if engines.store is not None and not engines.store.contact_points:
        services.append(Service.CASSANDRA)
    if engines.discovery is not None and not engines.discovery.addresses:
        services.append(Service.CONSUL)
    network = topology.store_host.split(".")[1]
    return tuple(
        Server(service, site, f"127.{network}.{THIRD_OCTET[service]}.{place}")
        for service in services
        for place, site in enumerate(sites(topology), start=1)
    )


def dialled(engines: Engines, servers: Iterable[Server]) -> Engines:
    """Point engines at a fleet's own servers, where it has any."""
    cassandra = [server for server in servers if server.service is Service.CASSANDRA]
    consul = [server for server in servers if server.service is Service.CONSUL]
    store, discovery = engines.store, engines.discovery
    if store is not None and cassandra:
        points = tuple(server.endpoint for server in cassandra)
        store = replace(store, contact_points=points, sites={server.site: server.site for server in cassandra})
    if discovery is not None and consul:
        discovery = replace(discovery, addresses=tuple(server.endpoint for server in consul))
    return replace(engines, store=store, discovery=discovery)


def of_its_own(engines: Engines) -> Engines:
    """Take the kinds of engines that were chosen, and none of those that were named.

    For a rehearsal: on the clusters of a fleet in use it would take over what that fleet stands on.
    """
    store = None if engines.store is None else CassandraEngine((), engines.store.keyspace, {})
    discovery = None if engines.discovery is None else ConsulEngine((), "")
    return Engines(launcher=engines.launcher, store=store, discovery=discovery, ray_address=engines.ray_address)


def chosen_servers(servers: Iterable[Server], target: Servers) -> tuple[Server, ...]:
    """List the servers that a target stands for.

    Raises:
        NotFoundError: the fleet has started none such itself.
    """
    own = [server for server in servers if server.service is target.service]
    found = tuple(server for server in own if target.site in (None, server.site))
    if not found:
        having = ", ".join(server.site for server in own)
        remedy = f"this fleet has one in each of {having}" if own else "this fleet has not started any itself"
        raise NotFoundError(f"{target.service.value} server", target.site or "*", remedy=remedy)
    return found
