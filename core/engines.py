"""Which engines stand behind a fleet's ports: the embedded ones, or Cassandra, Consul and Ray.

Plain values that a process is started with; ``regions`` reads them from configuration, composition roots act on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from core.names import DcId


class Launcher(Enum):
    """What starts the processes of a fleet."""

    PROCESSES = "processes"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is secured; files are read by the process that connects."""

    ca_file: str
    """Certificates that may sign the server's, PEM."""
    cert_file: str = ""
    """Our own certificate, PEM; empty: none is shown."""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class CassandraEngine:
    """An Apache Cassandra cluster that holds assignments, and the archive."""

    contact_points: tuple[str, ...]
    """``HOST:PORT``; one that answers is enough to find the others. Empty: a fleet on one machine starts its own."""
    keyspace: str
    sites: Mapping[str, DcId]
    """In which data center of the fleet each of Cassandra's stands, by Cassandra's name for it."""
    username: str = ""
    """Empty: no credentials are sent."""
    password: str = field(default="", repr=False)
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class ConsulEngine:
    """A HashiCorp Consul datacenter that finds processes and holds the leader lock."""

    addresses: tuple[str, ...]
    """``HOST:PORT`` of agents or servers, tried in this order. Empty: a fleet on one machine starts its own."""
    datacenter: str
    """Where the lock stands; empty: the agent's own."""
    token: str = field(default="", repr=False)
    """Of the ACL system; empty: none."""
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Engines:
    """One fleet's choice."""

    launcher: Launcher = Launcher.PROCESSES
    store: CassandraEngine | None = None
    """Who holds assignments; None: the embedded store."""
    discovery: ConsulEngine | None = None
    """Who finds processes and holds the leader lock; None: the topology and the embedded store."""
    archive_dir: str = ""
    """Where sealed segments and snapshots are copied to; empty: to Cassandra if it is the store, else nowhere."""
    ray_address: str = ""
    """Of a Ray cluster; empty: one on this machine."""


EMBEDDED = Engines()
