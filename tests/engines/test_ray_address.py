"""Fleets on a Ray cluster that somebody else runs, started as docs/ray-cluster.yaml says; and addresses of none."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ray.autoscaler._private.util import fillout_defaults, validate_config

from core.errors import MalformedError, NotAllowedError, UnavailableError
from core.names import DcId
from regions.io.proc import seen
from regions.io.ray_host import RayHost
from tests.engines.ray_commands import cluster, cluster_file
from tests.engines.test_ray_orphans import gone, orphanage

pytestmark = [pytest.mark.e2e, pytest.mark.engines]
ADDRESS = "127.50.1.1:6479"
NOBODY = "127.50.9.9:6478"
PROMPT_S = 5.0
DCS = [DcId("fra1"), DcId("ams1")]


@pytest.fixture(scope="module")
def joining() -> Iterator[None]:
    """A cluster; this process, and what it starts, may join it."""
    before = dict(os.environ)
    with cluster(ADDRESS, DCS) as environment:
        os.environ.update(environment)
        yield
    os.environ.clear()
    os.environ.update(before)


async def refusal(address: str, data_centers: Sequence[DcId], tmp_path: Path) -> str:
    """Open a host in vain; returns the one line."""
    with pytest.raises((UnavailableError, NotAllowedError)) as raised:
        await RayHost.open(tmp_path / "ray.log", [], address=address, data_centers=data_centers)
    assert "\n" not in raised.value.message
    return raised.value.message


def test_the_cluster_file_is_one_that_ray_takes() -> None:
    validate_config(fillout_defaults(cluster_file()))


@pytest.mark.usefixtures("joining")
@pytest.mark.parametrize("victims", [[0], [1], [0, 1]], ids=["host", "driver", "both"])
def test_whoever_is_killed_no_actor_is_left_and_the_cluster_stays(victims: Sequence[int], tmp_path: Path) -> None:
    with orphanage(tmp_path, ADDRESS) as (host, driver, *actors):
        raylets = {int(Path(f"/proc/{actor.pid}/stat").read_text().rpartition(")")[2].split()[1]) for actor in actors}
        for victim in victims:
            os.kill((host, driver)[victim].pid, signal.SIGKILL)
        assert gone([driver, *actors])
    assert all(seen(raylet) is not None for raylet in raylets)


@pytest.mark.usefixtures("joining")
async def test_a_data_center_that_the_cluster_has_no_place_for_is_named(tmp_path: Path) -> None:
    assert "no place for dc:xyz1: start a node of it with --resources='{\"dc:xyz1\": 1}'" in await refusal(
        ADDRESS, [*DCS, DcId("xyz1")], tmp_path
    )


@pytest.mark.usefixtures("joining")
async def test_a_wrong_token_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    assert "refuses our token: set RAY_AUTH_MODE=token" in await refusal(ADDRESS, DCS, tmp_path)


async def test_where_nobody_listens_nothing_is_started(tmp_path: Path) -> None:
    async with asyncio.timeout(PROMPT_S):
        assert f"no Ray cluster answers at {NOBODY}" in await refusal(NOBODY, DCS, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_somebody_who_listens_and_says_nothing_is_no_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.50.9.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        async with asyncio.timeout(PROMPT_S):
            assert f"no Ray cluster answers at {address}" in await refusal(address, DCS, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["somewhere", "ray://127.0.0.1:10001", "127.0.0.1:"])
async def test_an_address_is_host_and_port(address: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="expected HOST:PORT"):
        await RayHost.open(tmp_path / "ray.log", [], address=address, data_centers=DCS)


WITHOUT_RAY = """
import asyncio, sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Hidden(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "ray":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
from core.errors import UnavailableError
from regions.io.ray_host import RayHost

try:
    asyncio.run(RayHost.open(Path("/nowhere"), [], address="", data_centers=[]))
except UnavailableError as error:
    print(error.message)
"""


def test_without_ray_the_extra_is_named() -> None:
    said = subprocess.run([sys.executable, "-c", WITHOUT_RAY], capture_output=True, text=True, check=True).stdout
    assert said == "the Ray launcher needs the package ray: install it with: pip install 'twinhold[ray]'\n"
