"""An engine that can't be used is one line of the whole command, with nothing started and nothing left behind."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.exits import Exit
from regions.io import fleet_file

pytestmark = pytest.mark.engines
TWINHOLD = str(Path(sys.executable).with_name("twinhold"))
LONGEST_S = 60.0
"""For a command that takes five seconds, on a machine on which others work too."""


def told(folder: Path, *options: str) -> tuple[int, Sequence[str]]:
    """Try to bring a fleet up; returns the exit code, and everything that was said."""
    command = [TWINHOLD, "up", "small", "--address-base", "178", "--fleet", str(folder), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=LONGEST_S)
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--store", "cassandra", "--set", "store.contact_points=127.178.9.1:9042", "--set", "store.sites=a=fra1"),
            "no Cassandra answers at 127.178.9.1:9042",
        ),
        (
            ("--discovery", "consul", "--set", "discovery.addresses=127.178.9.1:8500"),
            "Consul does not answer at 127.178.9.1:8500",
        ),
        (
            ("--launcher", "ray", "--set", "launcher.address=127.178.9.1:6379"),
            "no Ray cluster answers at 127.178.9.1:6379",
        ),
    ],
    ids=["cassandra", "consul", "ray"],
)
@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=["in the foreground", "detached"])
def test_where_nobody_answers_is_one_line(
    tmp_path: Path, options: tuple[str, ...], said: str, detach: tuple[str, ...]
) -> None:
    code, lines = told(tmp_path, *options, *detach)
    assert (code, len(lines)) == (Exit.UNREACHABLE, 1), lines
    assert said in lines[0]
    assert not (tmp_path / fleet_file.NAME).exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"host.log"}


def test_a_site_that_the_fleet_does_not_have_is_one_line(tmp_path: Path) -> None:
    points = ("--set", "store.contact_points=127.178.9.1:9042")
    code, lines = told(tmp_path, "--store", "cassandra", *points, "--set", "store.sites=one=ber1")
    assert (code, lines) == (
        Exit.USAGE,
        ["twinhold: --set store.sites: store.sites puts one in ber1: expected one of ams1, fra1, waw1"],
    )
