"""Where a fleet can be reached: by the file that it leaves in its folder, by one endpoint, or by asking Consul."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import UnavailableError
from regions.io import fleet_file

DEFAULT_DIR = Path("run")
CONSUL_SCHEME = "consul://"
REMEDY = "start one with: twinhold up, or point at one with --fleet DIR, TWINHOLD_FLEET or --endpoint HOST:PORT"


@dataclass(frozen=True, slots=True)
class Doors:
    """The endpoints, "host:port" by id, at which a fleet can be asked."""

    control_planes: Mapping[str, str]
    nodes: Mapping[str, str]

    def turns(self) -> Iterator[str]:
        """Go round the control planes.

        Raises:
            UnavailableError: not one of them lives, as far as is known.
        """
        if not self.control_planes:
            raise UnavailableError("no control plane of this fleet lives: start one again")
        return itertools.cycle(self.control_planes.values())


def named_doors(endpoint: str) -> Doors:
    """Know a fleet by what ``--endpoint`` says: ``HOST:PORT``, whatever stands there, or ``consul://HOST:PORT[/FLEET]``.

    Raises:
        TwinholdError: Consul can't be asked, or knows no such fleet.
    """
    if endpoint.startswith(CONSUL_SCHEME):
        from cli.consul_doors import consul_doors  # nobody else pays for it

        return consul_doors(endpoint)
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
