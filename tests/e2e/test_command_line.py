"""A day on call: a fleet brought up, used, broken and ended by commands alone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exits import Exit
from regions.io import fleet_file

pytestmark = pytest.mark.e2e

TWINHOLD = str(Path(sys.executable).parent / "twinhold")
ACME = "tenants/eu/acme"
BASE = ("--address-base", "196")
WAIT_S = 60


class Shell:
    """Runs commands against the fleet of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "TWINHOLD_FLEET": str(folder)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        return subprocess.Popen(
            [TWINHOLD, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out, err

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; returns its data."""
        code, out, err = self.run(*arguments)
        assert code == Exit.DONE, err
        return out

    def file(self) -> fleet_file.FleetFile:
        """Read what the running fleet says of itself."""
        found = fleet_file.read(self.folder)
        assert found is not None, "a fleet runs here"
        return found

    def kill(self, *names: str) -> None:
        """End processes of the fleet without warning."""
        for name in names:
            os.kill(self.file().processes[name].pid, signal.SIGKILL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose fleet, if any is left, is ended."""
    opened = Shell(tmp_path / "fleet")
    yield opened
    if fleet_file.read(opened.folder) is not None:
        opened.run("down")


def primary_dc(shell: Shell) -> str:
    """Say in which data center the tenant's primary stands."""
    line = next(line for line in shell.ok("tenant", "locate", ACME).splitlines() if line.startswith("primary"))
    return line.split()[1].split("-")[0]


def test_a_fleet_is_used_broken_and_ended_by_commands_alone(shell: Shell) -> None:
    shell.ok("up", "small", "--detach", *BASE)
    assert shell.ok("status").startswith("Nothing is wrong.")
    shell.ok("tenant", "create", ACME)
    assert shell.ok("chat", "post", ACME, "general", "one") == "general #1\n"

    before = primary_dc(shell)
    shell.ok("shard", "switchover", shell.ok("tenant", "locate", ACME).splitlines()[1].split()[1], "--yes")
    lost = primary_dc(shell)
    assert lost != before

    shell.kill(f"{lost}-c1", f"{lost}-cp")
    assert shell.ok("chat", "post", ACME, "general", "two") == "general #2\n"
    assert f"dataCenters/{lost}" in shell.ok("status")
    assert "failover.promoted" in shell.ok("failover", "history")

    shell.kill(*(name for name in shell.file().processes if name.endswith("-cp") and name != f"{lost}-cp"))
    code, _, err = shell.run("status")
    assert (code, "no control plane answers" in err) == (Exit.UNREACHABLE, True)
    assert shell.ok("chat", "post", ACME, "general", "three") == "general #3\n"
    posts = shell.ok("chat", "read", ACME, "general").splitlines()[1:]
    assert [post.split()[-1] for post in posts] == ["one", "two", "three"]

    processes = [shell.file().host, *shell.file().processes.values()]
    shell.ok("down")
    assert [process for process in processes if process.alive] == []
    assert fleet_file.read(shell.folder) is None


def test_a_fleet_in_the_foreground_ends_when_it_is_interrupted(shell: Shell) -> None:
    fleet = shell.start("up", "small", *BASE)
    assert fleet.stderr is not None
    assert "ready" in (line.strip() for line in fleet.stderr)
    tail = shell.start("chat", "tail", "tenants/eu/nobody", "general")
    assert tail.wait(WAIT_S) == Exit.NOT_FOUND
    tail.communicate()
    code, _, err = shell.run("up", "small", *BASE)
    assert (code, "a fleet runs in" in err.splitlines()[-1]) == (Exit.UNREACHABLE, True)
    processes = list(shell.file().processes.values())
    fleet.send_signal(signal.SIGINT)
    fleet.communicate(timeout=WAIT_S)
    assert fleet.returncode == Exit.DONE
    assert [process for process in processes if process.alive] == []


def test_an_interrupted_start_leaves_nothing_behind(shell: Shell) -> None:
    fleet = shell.start("up", "small", *BASE)
    assert fleet.stderr is not None
    assert any("processes ready" in line for line in fleet.stderr)
    processes = list(shell.file().processes.values())
    fleet.send_signal(signal.SIGINT)
    _, err = fleet.communicate(timeout=WAIT_S)
    assert fleet.returncode in (Exit.INTERRUPTED, Exit.DONE), err
    assert "Traceback" not in err
    assert [process for process in processes if process.alive] == []
    assert fleet_file.read(shell.folder) is None


def test_a_followed_channel_shows_what_is_posted(shell: Shell) -> None:
    shell.ok("up", "small", "--detach", *BASE)
    shell.ok("tenant", "create", ACME)
    shell.ok("chat", "post", ACME, "general", "one")
    tail = shell.start("chat", "tail", ACME, "general")
    assert tail.stdout is not None
    assert tail.stdout.readline().rstrip().endswith("one")
    shell.ok("chat", "post", ACME, "random", "elsewhere")
    shell.ok("chat", "post", ACME, "general", "two")
    assert tail.stdout.readline().rstrip().endswith("two")
    tail.send_signal(signal.SIGINT)
    _, err = tail.communicate(timeout=WAIT_S)
    assert (tail.returncode, err.strip()) == (Exit.INTERRUPTED, "twinhold: interrupted")


def test_an_operator_may_force_what_no_verdict_asks_for_and_everybody_sees_why(shell: Shell) -> None:
    shell.ok("up", "small", "--detach", *BASE)
    shell.ok("tenant", "create", ACME)
    watch = shell.start("events", "--watch", "-o", "json")
    assert watch.stdout is not None
    shard = shell.ok("tenant", "locate", ACME).splitlines()[1].split()[1]
    lost = primary_dc(shell)

    refused, _, why = shell.run("shard", "promote", shard, "--reason", "its disk smells")
    assert (refused, "needs --yes" in why) == (Exit.USAGE, True)
    shell.ok("shard", "promote", shard, "--yes", "--reason", "its disk smells")
    assert primary_dc(shell) != lost
    assert "its disk smells" in shell.ok("events")

    shell.ok("dc", "evacuate", lost, "--yes", "--reason", "the roof leaks")
    assert "the roof leaks" in shell.ok("failover", "status")
    listed = json.loads(shell.ok("shard", "list", "-o", "json"))
    assert [one for one in listed if one["assignment"]["primary"]["node"].startswith(lost)] == []
    assert len(listed) == 48
    assert shell.ok("failover", "resume", "--yes", "--reason", "a drill").strip() == "Nothing was halted."
    assert shell.ok("chat", "post", ACME, "general", "one") == "general #1\n"

    types = []
    while "evacuation.finished" not in types:
        types.append(json.loads(watch.stdout.readline())["type"])
    assert {"failover.promoted", "evacuation.recorded"} <= set(types)
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=WAIT_S)
    assert watch.returncode == Exit.INTERRUPTED
