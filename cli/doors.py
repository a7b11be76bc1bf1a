"""Where a fleet can be reached: by the file that a running fleet leaves in its folder, or by one endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import UnavailableError
from regions.io import fleet_file

DEFAULT_DIR = Path("run")
REMEDY = "start one with: twinhold up, or point at one with --fleet DIR, TWINHOLD_FLEET or --endpoint HOST:PORT"


@dataclass(frozen=True, slots=True)
class Doors:
    """The endpoints, "host:port" by id, at which a fleet can be asked."""

    control_planes: Mapping[str, str]
    nodes: Mapping[str, str]


def one_door(endpoint: str) -> Doors:
    """Know a fleet by a single endpoint, whatever stands there."""
    return Doors(control_planes={"": endpoint}, nodes={"": endpoint})


def read_doors(folder: Path) -> Doors:
    """Read the endpoints of the fleet that runs in a folder.

    Raises:
        UnavailableError: no fleet runs there.
    """
    found = fleet_file.read(folder)
    if found is None:
        raise UnavailableError(f"{folder / fleet_file.NAME} describes no fleet: {REMEDY}")
    if not found.host.alive:
        raise UnavailableError(f"the fleet in {folder} has ended (its host was process {found.host.pid}): {REMEDY}")
    return Doors(control_planes=found.endpoints["control_planes"], nodes=found.endpoints["nodes"])
