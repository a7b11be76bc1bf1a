"""Nothing that runs on Ray outlives the host, whichever of its processes is killed, and whoever is frozen then."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.names import DcId
from regions.io.fleet_file import Process, process_of
from regions.io.proc import State
from regions.io.ray_host import FOLDER_PREFIX, FOLDERS, RayHost
from tests.engines.ray_orphanage import descendants

pytestmark = [pytest.mark.e2e, pytest.mark.engines]
GONE_S = 90.0
"""Two agents of Ray's own try to reach a dead cluster for a minute, if there is nobody left to kill them."""


@contextmanager
def orphanage(folder: Path, address: str) -> Iterator[Sequence[Process]]:
    """Run a host; gives itself, its driver, its two actors, and all others that it started."""
    arguments = [sys.executable, "-m", "tests.engines.ray_orphanage", str(folder), address]
    host = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host.stdout as lines:
        told = [line.split() for line in iter(lines.readline, "ready\n") if line]
    try:
        yield [Process(int(pid), int(ticks)) for pid, ticks in told]
    finally:
        host.kill()
        host.wait()


def gone(processes: Sequence[Process]) -> bool:
    """Wait until none is there; says whether that came to be."""
    until = time.monotonic() + GONE_S
    while any(process.alive for process in processes) and time.monotonic() < until:
        os.sched_yield()
    return not any(process.alive for process in processes)


@pytest.mark.parametrize("victim", [0, 1], ids=["host", "driver"])
def test_whoever_is_killed_nothing_is_left_of_a_cluster_of_our_own(victim: int, tmp_path: Path) -> None:
    with orphanage(tmp_path, "") as everybody:
        os.kill(everybody[victim].pid, signal.SIGKILL)
        assert gone(everybody[1:])


def test_of_a_host_and_a_driver_killed_together_no_actor_is_left_and_the_next_host_tidies_up(tmp_path: Path) -> None:
    before = set(FOLDERS.glob(f"{FOLDER_PREFIX}*"))
    with orphanage(tmp_path, "") as everybody:
        (left,) = set(FOLDERS.glob(f"{FOLDER_PREFIX}*")) - before
        for process in everybody[:2]:
            os.kill(process.pid, signal.SIGKILL)
        assert gone(everybody[1:4])
    with orphanage(tmp_path, ""):
        assert not left.exists()
    assert gone(everybody[4:])


async def test_a_cluster_that_has_lost_its_gcs_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "600")
    others = set(descendants(os.getpid()))
    host = await RayHost.open(tmp_path / "ray.log", [], address="", data_centers=[DcId("fra1")])
    try:
        await host.start("fra1-c1", "tests.e2e.sleeper:wait", None, group="fra1", niceness=0, output=tmp_path / "out")
        everybody = [process_of(pid) for pid in descendants(os.getpid()) if pid not in others]
        (gcs,) = (one for one in everybody if b"gcs_server" in Path(f"/proc/{one.pid}/cmdline").read_bytes())
        os.kill(gcs.pid, signal.SIGKILL)
        assert host.state("fra1-c1") is State.RUNNING
    finally:
        await host.end(grace_s=0.1)
        await host.close()
    assert gone(everybody)
