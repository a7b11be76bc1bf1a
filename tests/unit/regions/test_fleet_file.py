"""The file that a running fleet leaves: written whole, read with suspicion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.engines import CassandraEngine, Engines
from core.errors import UnavailableError
from regions.io import fleet_file
from regions.io.fleet_file import FleetFile, Process
from regions.io.load import load
from regions.io.up import down
from regions.servers import own_servers

FLEET = load("small")


def content(host: Process, **processes: Process) -> FleetFile:
    endpoints = fleet_file.endpoints(FLEET, (), embedded_store=True)
    return FleetFile("small", "small", "default", host, endpoints, processes)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = content(fleet_file.this_process(), store=Process(1, 2))
    fleet_file.write(tmp_path, written)
    assert fleet_file.read(tmp_path) == written


def test_it_names_the_servers_that_the_fleet_has_started_and_no_store_that_it_has_not() -> None:
    engines = Engines(store=CassandraEngine((), "twinhold", {}))
    found = fleet_file.endpoints(FLEET, own_servers(FLEET, engines), embedded_store=False)
    assert found["store"] == {}
    assert found["servers"]["cassandra-ams1"] == "127.43.10.2:9042"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fleet": 1, "host": 2}'])
def test_a_file_that_is_none_is_taken_for_none(tmp_path: Path, text: str) -> None:
    (tmp_path / fleet_file.NAME).write_text(text)
    assert fleet_file.read(tmp_path) is None


def test_a_pid_that_was_used_again_is_another_process() -> None:
    me = fleet_file.this_process()
    assert me.alive
    assert not Process(me.pid, me.started_ticks + 1).alive


def test_down_ends_only_what_the_fleet_started(tmp_path: Path) -> None:
    """The host is gone; of two recorded pids, one is another process by now."""
    mine, other = (
        subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        for _ in range(2)
    )
    ticks = {child.pid: fleet_file.process_of(child.pid).started_ticks for child in (mine, other)}
    left = {"fra1-c1": Process(mine.pid, ticks[mine.pid]), "ams1-c1": Process(other.pid, ticks[other.pid] - 1)}
    fleet_file.write(tmp_path, content(Process(os.getpid(), 1), **left))
    said: list[str] = []
    down(tmp_path, say=said.append)
    assert said == ["the fleet's host is gone already: what it left is ended"]
    mine.communicate()
    assert (mine.returncode, other.poll()) == (-9, None)
    assert not (tmp_path / fleet_file.NAME).exists()
    other.communicate()


def test_down_without_a_fleet_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no fleet runs in"):
        down(tmp_path, say=print)
