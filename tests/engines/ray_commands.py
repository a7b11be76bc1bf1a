"""Runs the commands of docs/ray-cluster.yaml here: a cluster that is not a fleet's own, in a session of its own."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "docs" / "ray-cluster.yaml"
START_S = 90.0


def cluster_file() -> dict[str, Any]:
    """Read the file; ``Any``: it is Ray's, and Ray says what stands in it."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


@contextmanager
def cluster(address: str, data_centers: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Start a head as the file says; gives what has to be in the environment of whoever joins it.

    Args:
        address: ``HOST:PORT`` on this machine.
        data_centers: what it offers a place for.
    """
    ip, _, port = address.rpartition(":")
    with tempfile.TemporaryDirectory(prefix="twinhold-head-", dir="/tmp") as folder:
        token, resources = Path(folder, "token"), Path(folder, "resources.json")
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        resources.write_text(json.dumps({f"dc:{dc}": 1 for dc in data_centers}))
        joining = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        environment = {
            **os.environ,
            **joining,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TWINHOLD_RAY_IP": ip,
            "TWINHOLD_RAY_PORT": port,
            "TWINHOLD_RAY_RESOURCES": str(resources),
            "TWINHOLD_RAY_TEMP": f"{folder}/ray",
        }
        commands = " && ".join(cluster_file()["head_start_ray_commands"])
        # What it starts stays behind in its session, by which it is found again; and so does what they start.
        shell = subprocess.Popen(
            ["bash", "-c", commands], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            assert shell.wait(START_S) == 0, "the head does not start"
            yield joining
        finally:
            while left := list(session(shell.pid)):
                for pid in left:
                    os.kill(pid, signal.SIGKILL)


def session(leader: int) -> Iterator[int]:
    """List the living processes of a session."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its) == leader and state not in "ZX":
            yield int(stat.parent.name)
