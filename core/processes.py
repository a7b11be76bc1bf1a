"""What each process of a fleet is started with; plain values that a host hands to a fresh process."""

from dataclasses import dataclass
from pathlib import PurePath

from core.engines import EMBEDDED, Engines
from core.names import ControlPlaneId, NodeId
from core.topology import Topology


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node."""

    topology: Topology
    node: NodeId
    profile: str
    """Timer profile: ``default`` or ``fast``."""
    data_dir: PurePath
    """Its own directory: journal, last good map, ``log.jsonl``, ``ready``."""
    seed: int
    life_fd: int | None
    """A pipe held by the host; at its end of file the process ends. None: not hosted."""
    engines: Engines = EMBEDDED


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """One control plane."""

    topology: Topology
    control_plane: ControlPlaneId
    profile: str
    data_dir: PurePath
    seed: int
    life_fd: int | None
    engines: Engines = EMBEDDED


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The embedded assignment store: outside every data center, standing for the vote sites."""

    topology: Topology
    data_dir: PurePath
    life_fd: int | None
