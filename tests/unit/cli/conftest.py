"""A small fleet, up for one test, and the command line pointed at it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from cli.main import run
from regions.io import fleet_file
from tests.unit.cli.small_fleet import SmallFleet
from tests.unit.cli.small_servers import serve_follower, serve_leader


@dataclass(frozen=True)
class Told:
    """What one command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        """Parse what stdout holds."""
        return json.loads(self.out)


Twinhold = Callable[..., Told]


def write_fleet_file(folder: Path, *, control_planes: dict[str, str], nodes: dict[str, str]) -> None:
    """Leave the file that a running fleet leaves; this process stands for its host."""
    content = fleet_file.FleetFile(
        fleet="small",
        topology="small",
        profile="default",
        host=fleet_file.this_process(),
        endpoints={"control_planes": control_planes, "nodes": nodes, "store": {}},
        processes={},
    )
    fleet_file.write(folder, content)


@pytest.fixture
def fleet() -> SmallFleet:
    """The state of a small fleet."""
    return SmallFleet()


@pytest.fixture
def leader(fleet: SmallFleet) -> Iterator[tuple[grpc.Server, str]]:
    """The leader of the small fleet, up."""
    server, endpoint = serve_leader(fleet)
    yield server, endpoint
    server.stop(None).wait()


@pytest.fixture
def follower(leader: tuple[grpc.Server, str]) -> Iterator[str]:
    """A control plane that names the leader, up."""
    server, endpoint = serve_follower(leader[1])
    yield endpoint
    server.stop(None).wait()


@pytest.fixture
def fleet_dir(tmp_path: Path, leader: tuple[grpc.Server, str], follower: str) -> Path:
    """The folder of the small fleet; its file names the follower first."""
    write_fleet_file(tmp_path, control_planes={"ams1-cp": follower, "fra1-cp": leader[1]}, nodes={})
    return tmp_path


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Twinhold:
    """Run `twinhold` with some arguments."""

    def command(*arguments: str) -> Told:
        code = run(arguments)
        out, err = capfd.readouterr()
        return Told(code, out, err)

    return command


@pytest.fixture
def twinhold(shell: Twinhold, fleet_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Twinhold:
    """Run `twinhold` against the small fleet."""
    monkeypatch.setenv("TWINHOLD_FLEET", str(fleet_dir))
    return shell
