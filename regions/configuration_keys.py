"""Every key of the configuration: what it is for, what is allowed, and what holds when nobody says anything."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from core.engines import Launcher
from core.errors import MalformedError
from core.names import dc_id
from core.timers import PROFILES

Plain: TypeAlias = "str | int | tuple[str, ...] | dict[str, str] | None"
"""A value of the configuration, once it is known to be allowed."""

PREFIX = "TWINHOLD_"
EMBEDDED = "embedded"
CASSANDRA = "cassandra"
CONSUL = "consul"
ADDRESS_BASE_MAX = 200
SEED_MAX = 2**32
_KEYSPACE = re.compile(r"[a-z][a-z0-9_]{0,47}")
_ENDPOINT = re.compile(r"(\[[0-9a-f:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value."""

    expected: str
    """What is allowed, for people."""
    of_text: Callable[[str], object]
    """Make of an environment variable or an option what a file would have held."""
    plain: Callable[[object], Plain]
    """Take a value; None when it is not allowed."""
    is_path: Callable[[str], bool] = lambda _: False
    """Say whether a text is a path, relative to the file that names it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    name: str
    kind: Kind
    default: Plain
    what: str
    """What it is for, in a few words."""
    secret: bool = False
    """Taken from the environment, or from the file that ``{name}_file`` names; never shown."""

    @property
    def variable(self) -> str:
        """Name its environment variable."""
        return PREFIX + self.name.upper().replace(".", "_")


def one_of(*words: str) -> Kind:
    """Allow some words."""
    return Kind(f"one of {', '.join(words)}", str, lambda it: it if isinstance(it, str) and it in words else None)


def whole(least: int, most: int) -> Kind:
    """Allow whole numbers within bounds, both included."""

    def plain(value: object) -> Plain:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return value if fits and isinstance(value, int) else None

    return Kind(
        f"a whole number from {least} to {most}", lambda it: int(it) if re.fullmatch(r"-?\d{1,18}", it) else it, plain
    )


def _texts(value: object) -> Plain:
    return value if isinstance(value, str) and value else None


def _keyspace(value: object) -> Plain:
    return value if isinstance(value, str) and _KEYSPACE.fullmatch(value) else None


def _endpoints(value: object) -> Plain:
    if not isinstance(value, list) or not value:
        return None
    found = [_ENDPOINT.fullmatch(one) if isinstance(one, str) else None for one in value]
    return tuple(value) if all(one is not None and 0 < int(one[2]) <= 65535 for one in found) else None


def _sites(value: object) -> Plain:
    if not isinstance(value, dict) or not value:
        return None
    try:
        return {str(name): dc_id(str(dc)) for name, dc in value.items()}
    except MalformedError:
        return None


def _pairs(text: str) -> object:
    """Read ``dc1=fra1,dc2=ams1``."""
    parts = [part.partition("=") for part in text.split(",")]
    return {name.strip(): dc.strip() for name, _, dc in parts} if all(sign for _, sign, _ in parts) else text


TEXT = Kind("a text", str, _texts)
PATH = Kind("the path of a file", str, _texts, is_path=lambda _: True)
FOLDER = Kind("the path of a folder", str, _texts, is_path=lambda _: True)
TOPOLOGY = Kind("a preset or the path of a YAML file", str, _texts, lambda it: it.endswith((".yaml", ".yml")))
KEYSPACE = Kind("a lower-case letter, then letters, digits and _, 48 at most", str, _keyspace)
ENDPOINTS = Kind("a list of HOST:PORT", lambda it: [part.strip() for part in it.split(",")], _endpoints)
SITES = Kind("for each data center of Cassandra one of the fleet, e.g. { dc1 = 'fra1' }", _pairs, _sites)

_ALL = (
    Key("fleet.topology", TOPOLOGY, "reference", "a preset or a YAML file"),
    Key("fleet.profile", one_of(*PROFILES), "default", "of the timers"),
    Key("fleet.seed", whole(0, SEED_MAX), 1, "for everything that is left to chance"),
    Key("fleet.address_base", whole(1, ADDRESS_BASE_MAX), None, "use addresses from 127.N on"),
    Key("store.engine", one_of(EMBEDDED, CASSANDRA), EMBEDDED, "what holds assignments"),
    Key("store.contact_points", ENDPOINTS, (), "of Cassandra; none: a fleet on one machine starts its own"),
    Key("store.keyspace", KEYSPACE, "twinhold", "of this fleet's records"),
    Key("store.sites", SITES, {}, "where each of Cassandra's data centers stands"),
    Key("store.username", TEXT, "", "of Cassandra"),
    Key("store.password", TEXT, "", "of Cassandra", secret=True),
    Key("store.password_file", PATH, "", "holds the password"),
    Key("store.tls.ca_file", PATH, "", "certificates that may sign Cassandra's, PEM"),
    Key("store.tls.cert_file", PATH, "", "our own certificate, PEM"),
    Key("store.tls.key_file", PATH, "", "its key, PEM"),
    Key("discovery.engine", one_of(EMBEDDED, CONSUL), EMBEDDED, "what finds processes and holds the leader lock"),
    Key("discovery.addresses", ENDPOINTS, (), "of Consul; none: a fleet on one machine starts its own"),
    Key("discovery.datacenter", TEXT, "", "of Consul, in which the lock stands; none: the agent's own"),
    Key("discovery.token", TEXT, "", "of Consul's ACL system", secret=True),
    Key("discovery.token_file", PATH, "", "holds the token"),
    Key("discovery.tls.ca_file", PATH, "", "certificates that may sign Consul's, PEM"),
    Key("discovery.tls.cert_file", PATH, "", "our own certificate, PEM"),
    Key("discovery.tls.key_file", PATH, "", "its key, PEM"),
    Key("launcher.engine", one_of(*(launcher.value for launcher in Launcher)), "processes", "what starts processes"),
    Key("launcher.address", TEXT, "", "of a Ray cluster; none: one on this machine"),
    Key("archive.directory", FOLDER, "", "where sealed segments and snapshots are copied to"),
)
KEYS: Mapping[str, Key] = {key.name: key for key in _ALL}
SECRET_FILES: Mapping[str, str] = {key.name: f"{key.name}_file" for key in _ALL if key.secret}
"""By secret, the key that names the file in which it stands."""
