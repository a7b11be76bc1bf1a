"""The hosts of processes, forked ones and actors of Ray: signals, ends, groups, and that nothing outlives a host."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from core.errors import UnavailableError
from core.names import DcId
from regions.io.host import Host
from regions.io.proc import State, is_alive, seen
from regions.io.process_host import LOOK_S, ProcessHost
from regions.io.ray_host import RayHost

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
SLEEPER = "tests.e2e.sleeper"
KINDS = ["forkserver", pytest.param("ray", marks=pytest.mark.engines)]
SAID_S = 30.0
DC = ("fra1-c1", "fra1-c2")


async def opened(kind: str, log: Path, module: str) -> ProcessHost:
    if kind == "forkserver":
        return await Host.open(log, [module])
    return await RayHost.open(log, [module], address="", data_centers=[DcId("fra1"), DcId("ams1")])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ProcessHost]:
    host = await opened(request.param, tmp_path_factory.mktemp("host") / "server.log", SLEEPER)
    yield host
    await host.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host(server: ProcessHost) -> AsyncIterator[ProcessHost]:
    yield server
    await server.end(grace_s=0.1)


async def begin(host: ProcessHost, names: Sequence[str], tmp_path: Path, what: str = "wait") -> list[int]:
    return [
        await host.start(
            name,
            f"{SLEEPER}:{what}",
            host.life_fd,
            group=name.split("-")[0],
            niceness=3,
            output=tmp_path / name / "output.log",
        )
        for name in names
    ]


async def said(what: str, output: Path) -> None:
    async with asyncio.timeout(SAID_S):
        while not output.exists() or output.read_text() != what:
            await asyncio.sleep(LOOK_S)


async def test_a_process_runs_as_it_was_told(host: ProcessHost, tmp_path: Path) -> None:
    (pid,) = await begin(host, ["fra1-c1"], tmp_path)
    assert (host.state("fra1-c1"), host.pid("fra1-c1"), host.exit_code("fra1-c1")) == (State.RUNNING, pid, None)
    assert is_alive(pid, host.started_ticks("fra1-c1"))


async def test_a_frozen_data_center_goes_on_when_told(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, [*DC, "ams1-c1"], tmp_path)
    host.signal(DC, signal.SIGSTOP)
    await host.reached(State.FROZEN, DC)
    assert host.state("ams1-c1") is State.RUNNING
    host.signal(DC, signal.SIGCONT)
    await host.reached(State.RUNNING, DC)


async def test_a_killed_data_center_stays_dead(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, [*DC, "ams1-c1"], tmp_path)
    host.signal(DC, signal.SIGKILL)
    await host.reached(State.DEAD, DC)
    assert [await host.ended(name) for name in DC] == [-signal.SIGKILL] * 2
    assert [host.state(name) for name in (*DC, "ams1-c1")] == [State.DEAD, State.DEAD, State.RUNNING]


async def test_one_of_a_data_center_is_killed_alone_and_started_again(host: ProcessHost, tmp_path: Path) -> None:
    first, second = await begin(host, DC, tmp_path)
    host.signal(DC[:1], signal.SIGKILL)
    await host.reached(State.DEAD, DC[:1])
    await begin(host, DC[:1], tmp_path)
    assert host.pid(DC[0]) not in (None, first)
    assert host.pid(DC[1]) == second


async def test_a_frozen_one_can_be_killed(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, DC[:1], tmp_path)
    host.signal(DC[:1], signal.SIGSTOP)
    await host.reached(State.FROZEN, DC[:1])
    host.signal(DC[:1], signal.SIGKILL)
    await host.reached(State.DEAD, DC[:1])


async def test_whoever_does_not_end_politely_is_killed(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, ["fra1-c1"], tmp_path, "stubborn")
    await host.end(grace_s=0.1)
    assert host.state("fra1-c1") is State.DEAD


async def test_who_ends_politely_says_how(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, ["fra1-c1"], tmp_path, "obey")
    await said("ready\n", tmp_path / "fra1-c1" / "output.log")
    host.signal(["fra1-c1"], signal.SIGTERM)
    await host.reached(State.DEAD, ["fra1-c1"])
    assert await host.ended("fra1-c1") == signal.SIGTERM


async def test_a_process_that_fails_leaves_its_words_and_its_code(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, ["fra1-c1"], tmp_path, "fail")
    await host.reached(State.DEAD, ["fra1-c1"])
    assert await host.ended("fra1-c1") == 3
    assert (tmp_path / "fra1-c1" / "output.log").read_text() == "no luck today\n"


async def test_the_work_of_a_process_counts_also_when_it_is_gone(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, ["fra1-c1"], tmp_path)
    worked_s = host.cpu_s("fra1-c1")
    host.signal(["fra1-c1"], signal.SIGKILL)
    await host.reached(State.DEAD, ["fra1-c1"])
    await begin(host, ["fra1-c1"], tmp_path)
    assert host.cpu_s("fra1-c1") >= worked_s


async def test_its_niceness_is_its_own(host: ProcessHost, tmp_path: Path) -> None:
    await begin(host, ["fra1-c1"], tmp_path, "niceness")
    assert await host.ended("fra1-c1") == os.nice(0) + 3


@pytest.mark.parametrize("kind", KINDS)
async def test_modules_that_can_not_be_imported_are_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No module named 'nowhere'"):
        await opened(kind, tmp_path / "server.log", "nowhere")


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_lives_when_a_host_closes_is_killed(kind: str, tmp_path: Path) -> None:
    host = await opened(kind, tmp_path / "server.log", SLEEPER)
    (pid,) = await begin(host, ["fra1-c1"], tmp_path, "stubborn")
    host.signal(["fra1-c1"], signal.SIGSTOP)
    ticks = host.started_ticks("fra1-c1")
    await host.close()
    assert not is_alive(pid, ticks)
    assert seen(pid) is None
