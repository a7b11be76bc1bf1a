"""The command as a process: quick to start, and interruptible at any moment."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cli.exits import Exit
from tests.unit.cli.conftest import write_fleet_file
from tests.unit.cli.small_fleet import SmallFleet
from tests.unit.client.pocket_fleet import PocketFleet

TWINHOLD = str(Path(sys.executable).parent / "twinhold")
ACME = "tenants/eu/acme"


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command with pipes."""
    return subprocess.Popen([TWINHOLD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


IMPORTS = (
    "import asyncio, doctest, ftplib, http.server, imaplib, logging.config, multiprocessing.pool, optparse, pydoc,"
    " smtplib, sqlite3, tarfile, unittest.mock, xml.dom.minidom, zipfile"
)
IMPORTS_S = 0.140
"""CPU time of an interpreter that loads them, on the core for which the limits below are meant."""


def cpu_s(*command: str) -> float:
    """Measure the CPU time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    ("arguments", "limit_s"),
    [
        pytest.param(("--help",), 0.150, id="help"),
        pytest.param(("version",), 0.150, id="version"),
        pytest.param(("rehearse", "--help"), 0.150, id="help of a command"),
        pytest.param(("status", "--fleet", "/nonexistent"), 0.350, id="a command that dials"),
    ],
)
def test_a_command_starts_within_its_share_of_cpu(arguments: tuple[str, ...], limit_s: float) -> None:
    # by turns, and the best of each: a core that others use too may run at half speed, for seconds or for minutes
    turns = [(cpu_s(sys.executable, "-c", IMPORTS), cpu_s(TWINHOLD, *arguments)) for _ in range(5)]
    imports_s, command_s = (min(spent) for spent in zip(*turns, strict=True))
    slowness = max(1.0, imports_s / IMPORTS_S)
    assert command_s <= limit_s * slowness, f"this core is slower by {slowness:.2f}, counted in"


def test_interrupting_a_drain_leaves_it_going(fleet: SmallFleet, fleet_dir: Path) -> None:
    fleet.drain_steps = 1_000_000
    process = start("dc", "drain", "fra1", "--yes", "--fleet", str(fleet_dir))
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == Exit.INTERRUPTED
    assert "operations/1 goes on" in err
    assert "Traceback" not in err
    assert not fleet.operations["operations/1"].done


def test_watching_events_tells_the_past_then_the_present_until_interrupted(fleet: SmallFleet, fleet_dir: Path) -> None:
    fleet.decided("verdict.withheld", "dataCenters/fra1", "one observer only", actor="controlPlanes/fra1-cp")
    process = start("events", "-w", "--fleet", str(fleet_dir))
    assert process.stdout is not None
    assert "verdict.withheld" in process.stdout.readline()
    fleet.decided("failover.promoted", "shards/2", "fra1 is lost", actor="controlPlanes/fra1-cp")
    assert "failover.promoted" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == Exit.INTERRUPTED
    assert err.splitlines()[-1] == "twinhold: interrupted"


def test_a_reader_that_goes_away_gets_no_traceback(fleet_dir: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [TWINHOLD, "dc", "list", "--fleet", str(fleet_dir)],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.FAILED, "")


@pytest_asyncio.fixture
async def chat_dir(tmp_path: Path) -> AsyncIterator[Path]:
    """The folder of a fleet that has chat."""
    pocket = PocketFleet()
    door = await pocket.start("control plane")
    nodes = {name: await pocket.start(name) for name in ("left", "right")}
    write_fleet_file(tmp_path, control_planes={"fra1-cp": door}, nodes=nodes)
    yield tmp_path
    await pocket.close()


async def twinhold(*arguments: str) -> tuple[int | None, str, str]:
    """Run the command while this loop serves it."""
    process = await asyncio.create_subprocess_exec(
        TWINHOLD, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_post_is_read_back_once_even_when_posted_again(chat_dir: Path) -> None:
    door = ("--fleet", str(chat_dir))
    for _ in range(2):
        sent = await twinhold("chat", "post", ACME, "general", "hello", "--request-id", "r1", *door)
        assert sent == (Exit.DONE, "general #1\n", "")
    code, out, _ = await twinhold("chat", "read", ACME, "general", *door)
    assert (code, [line.split()[-1] for line in out.splitlines()]) == (Exit.DONE, ["text", "hello"])
