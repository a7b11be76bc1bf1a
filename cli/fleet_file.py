"""Where a fleet can be reached: the file that a running fleet leaves in its folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import UnavailableError

DEFAULT_DIR = Path("run")
FILE_NAME = "fleet.json"
REMEDY = "start one with: twinhold up, or point at it with --fleet DIR, TWINHOLD_FLEET or --endpoint HOST:PORT"


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
        UnavailableError: no fleet runs there, or its file can't be read.
    """
    path = folder / FILE_NAME
    try:
        document = json.loads(path.read_text())
        endpoints = document["endpoints"]
        return Doors(control_planes=dict(endpoints["control_planes"]), nodes=dict(endpoints["nodes"]))
    except FileNotFoundError as error:
        raise UnavailableError(f"no fleet runs in {folder}: {REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{path} does not describe a fleet ({error}): {REMEDY}") from error
