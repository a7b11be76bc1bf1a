"""The configuration as typed settings, once every value in it is allowed: what a fleet is to be brought up with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.engines import CassandraEngine, ConsulEngine, Engines, Launcher, Tls
from core.names import DcId
from core.topology import Topology
from regions.configuration import Chosen
from regions.configuration_file import ConfigurationError
from regions.configuration_keys import CASSANDRA, CONSUL, KEYS


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What ``up`` brings up."""

    topology: str
    """A preset, or the path of a YAML file."""
    profile: str
    seed: int
    address_base: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration, typed."""

    fleet: FleetSettings
    engines: Engines
    """Which engines are to be used."""
    cassandra: CassandraEngine
    """What is configured of Cassandra, whether it is the store or not."""
    chosen: Mapping[str, Chosen]


def settled(chosen: Mapping[str, Chosen]) -> Settings:
    """Make typed settings of the values in force.

    Raises:
        ConfigurationError: two values do not go together.
    """
    _together(chosen)
    of = _Values(chosen)
    cassandra = CassandraEngine(
        contact_points=of.texts("store.contact_points"),
        keyspace=of.text("store.keyspace"),
        sites={name: DcId(dc) for name, dc in of.pairs("store.sites").items()},
        username=of.text("store.username"),
        password=of.text("store.password"),
        tls=of.tls("store"),
    )
    consul = ConsulEngine(
        addresses=of.texts("discovery.addresses"),
        datacenter=of.text("discovery.datacenter"),
        token=of.text("discovery.token"),
        tls=of.tls("discovery"),
    )
    engines = Engines(
        launcher=Launcher(of.text("launcher.engine")),
        store=cassandra if of.text("store.engine") == CASSANDRA else None,
        discovery=consul if of.text("discovery.engine") == CONSUL else None,
        archive_dir=of.text("archive.directory"),
        ray_address=of.text("launcher.address"),
    )
    seed, base = chosen["fleet.seed"].value, chosen["fleet.address_base"].value
    assert isinstance(seed, int), "its kind allows nothing else"
    assert isinstance(base, int | None), "its kind allows nothing else"
    fleet = FleetSettings(of.text("fleet.topology"), of.text("fleet.profile"), seed, base)
    return Settings(fleet, engines, cassandra, chosen)


def chosen_words(engines: Engines) -> tuple[str, ...]:
    """Say the choice of engines as options of the command line; none for what is chosen anyway."""
    store = () if engines.store is None else (f"--store {CASSANDRA}",)
    discovery = () if engines.discovery is None else (f"--discovery {CONSUL}",)
    launcher = () if engines.launcher is Launcher.PROCESSES else (f"--launcher {engines.launcher.value}",)
    return store + discovery + launcher


def placed(settings: Settings, topology: Topology) -> None:
    """Check the configuration against the fleet that it is for.

    Raises:
        ConfigurationError: a site of Cassandra is no data center of the fleet.
    """
    known = {dc.id for dc in topology.data_centers}
    for name, site in settings.cassandra.sites.items():
        if site not in known:
            origin = settings.chosen["store.sites"].origin
            raise ConfigurationError(
                f"{origin}: store.sites puts {name} in {site}: expected one of {', '.join(sorted(known))}",
                key="store.sites",
            )


@dataclass(frozen=True, slots=True)
class _Values:
    chosen: Mapping[str, Chosen]

    def text(self, key: str) -> str:
        return str(self.chosen[key].value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.chosen[key].value
        assert isinstance(value, tuple), f"{key} is a list"
        return value

    def pairs(self, key: str) -> Mapping[str, str]:
        value = self.chosen[key].value
        assert isinstance(value, dict), f"{key} is a table"
        return value

    def tls(self, section: str) -> Tls | None:
        ca, cert, key = (self.text(f"{section}.tls.{name}") for name in ("ca_file", "cert_file", "key_file"))
        return Tls(ca, cert, key) if ca else None


def _together(chosen: Mapping[str, Chosen]) -> None:
    for what, broken in _breaches(chosen):
        raise ConfigurationError(f"{chosen[what].origin}: {broken}", key=what)


def _breaches(chosen: Mapping[str, Chosen]) -> Iterator[tuple[str, str]]:
    given = {name: bool(it.value) for name, it in chosen.items()}
    if given["store.contact_points"] and not given["store.sites"]:
        yield (
            "store.contact_points",
            "store.contact_points names a cluster, and store.sites is empty: "
            f"expected {KEYS['store.sites'].kind.expected}",
        )
    if given["store.username"] and not given["store.password"]:
        remedy = f"set {KEYS['store.password'].variable}, or name a file in store.password_file"
        yield "store.username", f"store.username is set and store.password is not: {remedy}"
    if given["store.password"] and not given["store.username"]:
        yield "store.password", "store.password is set and store.username is not: set both or neither"
    for section in ("store.tls", "discovery.tls"):
        ca, cert, key = (f"{section}.{name}" for name in ("ca_file", "cert_file", "key_file"))
        if given[cert] != given[key]:
            yield (cert if given[cert] else key), f"{cert} and {key} go together: set both or neither"
        if given[cert] and not given[ca]:
            yield cert, f"{cert} is set and {ca} is not: name the certificates that may sign the server's"
