"""What is the forkserver's own among the hosts of processes: real process groups, and no life after the host."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from regions.io.host import Host
from regions.io.proc import State, is_alive, seen

pytestmark = pytest.mark.e2e
SLEEPER = "tests.e2e.sleeper"
DC = ("fra1-c1", "fra1-c2")


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    opened = await Host.open(tmp_path / "forkserver.log", [SLEEPER])
    yield opened
    await opened.end(grace_s=1.0)
    await opened.close()


async def begin(host: Host, names: Sequence[str], tmp_path: Path) -> list[int]:
    return [
        await host.start(
            name,
            f"{SLEEPER}:wait",
            host.life_fd,
            group=name.split("-")[0],
            niceness=3,
            output=tmp_path / name / "output.log",
        )
        for name in names
    ]


async def test_a_data_center_is_one_process_group(host: Host, tmp_path: Path) -> None:
    pids = await begin(host, [*DC, "ams1-c1"], tmp_path)
    groups = [os.getpgid(pid) for pid in pids]
    assert groups[0] == groups[1] != groups[2]


async def test_one_that_is_started_again_is_in_its_group_again(host: Host, tmp_path: Path) -> None:
    await begin(host, DC, tmp_path)
    host.signal(DC[:1], signal.SIGKILL)
    await host.reached(State.DEAD, DC[:1])
    (pid,) = await begin(host, DC[:1], tmp_path)
    second = host.pid(DC[1])
    assert second is not None
    assert os.getpgid(pid) == os.getpgid(second)


ORPHANAGE = """
import asyncio, signal, sys
from pathlib import Path
from regions.io.host import Host

async def main():
    folder = Path(sys.argv[1])
    host = await Host.open(folder / "forkserver.log", ["tests.e2e.sleeper"])
    for name in ("fra1-c1", "ams1-c1"):
        entry = "tests.e2e.sleeper:wait"
        pid = await host.start(name, entry, host.life_fd, group=name[:4], niceness=0, output=folder / "output.log")
        print(pid, host.started_ticks(name), flush=True)
    host.signal(["ams1-c1"], signal.SIGSTOP)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_when_the_host_is_killed_all_die_the_frozen_ones_too(tmp_path: Path) -> None:
    host = subprocess.Popen([sys.executable, "-c", ORPHANAGE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host.stdout as lines:
        children = [tuple(map(int, next(lines).split())) for _ in range(2)]
        assert next(lines) == "ready\n"
    server = seen(host.pid)
    assert server is not None
    host.kill()
    host.wait()
    while any(is_alive(pid, ticks) for pid, ticks in children):
        os.sched_yield()
