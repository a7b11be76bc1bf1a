"""``fleet.json``: how commands find a running fleet, and how a fleet that was left behind is recognised."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.io.hosted import write_whole
from core.topology import Topology
from regions.io.proc import is_alive, seen
from regions.servers import Server

NAME = "fleet.json"


@dataclass(frozen=True, slots=True)
class Process:
    """One process, for ever: pids are used again, start times are not."""

    pid: int
    started_ticks: int

    @property
    def alive(self) -> bool:
        """Say whether it is there."""
        return is_alive(self.pid, self.started_ticks)


@dataclass(frozen=True, slots=True)
class FleetFile:
    """What stands in the file."""

    fleet: str
    topology: str
    """The preset or the file that it was read from."""
    profile: str
    host: Process
    endpoints: Mapping[str, Mapping[str, str]]
    """``control_planes``, ``nodes``, ``store`` and ``servers``: host:port by id."""
    processes: Mapping[str, Process]


def endpoints(
    topology: Topology, servers: Sequence[Server], *, embedded_store: bool
) -> Mapping[str, Mapping[str, str]]:
    """Tabulate where everything is dialled that a fleet has started, the servers of engines too."""
    return {
        "control_planes": {c.id: c.endpoint for c in topology.control_planes},
        "nodes": {n.id: n.endpoint for n in topology.nodes},
        "store": {"store": topology.store_endpoint} if embedded_store else {},
        "servers": {server.name: server.endpoint for server in servers},
    }


def process_of(pid: int) -> Process:
    """Name a living process for ever."""
    found = seen(pid)
    assert found is not None, f"process {pid} is not there"
    return Process(pid, found.started_ticks)


def this_process() -> Process:
    """Name the process that asks."""
    return process_of(os.getpid())


def write(folder: Path, content: FleetFile) -> None:
    """Write the file, all of it or nothing."""
    document = asdict(content)
    document["pid"] = content.host.pid
    document["pids"] = {name: process.pid for name, process in content.processes.items()}
    write_whole(folder / NAME, json.dumps(document, indent=2) + "\n")


def read(folder: Path) -> FleetFile | None:
    """Read the file; None: there is none, or it can't be read as one."""
    try:
        document = json.loads((folder / NAME).read_text())
        return FleetFile(
            fleet=str(document["fleet"]),
            topology=str(document["topology"]),
            profile=str(document["profile"]),
            host=_process(document["host"]),
            endpoints=document["endpoints"],
            processes={name: _process(value) for name, value in document["processes"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove(folder: Path) -> None:
    """Remove the file, if it is there."""
    (folder / NAME).unlink(missing_ok=True)


def _process(document: Mapping[str, object]) -> Process:
    return Process(int(str(document["pid"])), int(str(document["started_ticks"])))
