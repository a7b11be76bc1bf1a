"""What a fault is done to: which processes a target stands for, and where each of them is knocked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from core.errors import MalformedError, NotFoundError
from core.names import DcId, control_plane_id, dc_id, node_id
from core.topology import ControlPlane, Node, Topology
from regions.servers import Server, Servers, Service, chosen_servers


class Scope(Enum):
    """What it is done to."""

    DATA_CENTER = "dataCenters"
    NODE = "nodes"
    CONTROL_PLANE = "controlPlanes"
    CASSANDRA = "cassandra"
    CONSUL = "consul"


ALL = "*"
"""Every server, or every control plane; when restarting, of those whose data centers live."""
SERVICES = {Scope.CASSANDRA: Service.CASSANDRA, Scope.CONSUL: Service.CONSUL}


@dataclass(frozen=True, slots=True)
class Target:
    """What it is done to, e.g. ``dataCenters/fra1`` or ``controlPlanes/*``."""

    scope: Scope
    id: str
    servers: bool = False
    """Of a data center: the servers of Cassandra and Consul that stand in it share its fate."""

    def __str__(self) -> str:
        return f"{self.scope.value}/{self.id}{' with its servers' if self.servers else ''}"


def target(text: str) -> Target:
    """Parse a target.

    Raises:
        MalformedError: it is neither of ``dataCenters/{dc}``, ``nodes/{node}``, ``controlPlanes/{id}``,
            ``controlPlanes/*``, ``cassandra``, ``cassandra/{dc}``, ``consul``, ``consul/{dc}``.
    """
    collection, _, name = text.partition("/")
    match collection:
        case Scope.CASSANDRA.value | Scope.CONSUL.value:
            return Target(Scope(collection), ALL if name in ("", ALL) else dc_id(name))
        case "dataCenters":
            return Target(Scope.DATA_CENTER, dc_id(name))
        case "nodes":
            return Target(Scope.NODE, node_id(name))
        case "controlPlanes":
            return Target(Scope.CONTROL_PLANE, ALL if name == ALL else control_plane_id(name))
        case _:
            raise MalformedError(
                "target",
                text,
                expected="dataCenters/{dc}, nodes/{node}, controlPlanes/{id}, controlPlanes/*, "
                "cassandra, cassandra/{dc}, consul or consul/{dc}",
            )


class Tongue(Enum):
    """What a server speaks to its clients."""

    GRPC = "gRPC"
    CQL = "CQL"
    HTTP = "HTTP"


TONGUES = {Service.CASSANDRA: Tongue.CQL, Service.CONSUL: Tongue.HTTP}


@dataclass(frozen=True, slots=True)
class Door:
    """Where a process is knocked at, and in which tongue."""

    endpoint: str
    tongue: Tongue = Tongue.GRPC


def members(topology: Topology, target: Target, servers: Sequence[Server]) -> Mapping[str, Door]:
    """List the processes that a target stands for, with the door of each.

    Args:
        topology: the fleet.
        target: what is meant.
        servers: of engines, that the fleet has started itself.

    Raises:
        NotFoundError: the fleet has no such thing.
    """
    if target.scope in SERVICES:
        found = chosen_servers(servers, aimed(target))
    elif target.servers:
        found = tuple(server for server in servers if server.site == target.id)
    else:
        found = ()
    own = {} if target.scope in SERVICES else _hosted(topology, target)
    return {
        **{name: Door(endpoint) for name, endpoint in own.items()},
        **{server.name: Door(server.endpoint, TONGUES[server.service]) for server in found},
    }


def aimed(target: Target) -> Servers:
    """Say which servers a target of theirs means."""
    return Servers(SERVICES[target.scope], None if target.id == ALL else DcId(target.id))


def _hosted(topology: Topology, target: Target) -> Mapping[str, str]:
    nodes: dict[str, str] = {node.id: node.endpoint for node in topology.nodes}
    control_planes: dict[str, str] = {plane.id: plane.endpoint for plane in topology.control_planes}
    match target.scope:
        case Scope.DATA_CENTER:
            topology.data_center(dc_id(target.id))
            inside: list[Node | ControlPlane] = [*topology.nodes, *topology.control_planes]
            return {member.id: member.endpoint for member in inside if member.dc == target.id}
        case Scope.NODE:
            return {target.id: _known(nodes, target)}
        case Scope.CONTROL_PLANE:
            return dict(control_planes) if target.id == ALL else {target.id: _known(control_planes, target)}
        case _:
            raise AssertionError(f"{target} stands for servers")


def _known(endpoints: Mapping[str, str], target: Target) -> str:
    for name, endpoint in endpoints.items():
        if name == target.id:
            return endpoint
    raise NotFoundError(target.scope.value, target.id, remedy=f"one of {', '.join(sorted(endpoints))}")
