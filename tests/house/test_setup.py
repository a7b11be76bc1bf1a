"""What a machine lacks is one line, with the command that installs it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "tools" / "setup.sh"
OLD_PYTHON = '[ "$1" = -V ] && echo "Python 3.9.2" && exit 0\nexit 1\n'
PYTHON_WITHOUT_VENV = (
    'case "$2" in *"import venv"*) exit 1 ;; *print*) echo python3.12 ;; -V) echo "Python 3.12.1" ;; esac\n'
)


def machine(folder: Path, **commands: str) -> Path:
    """Lay out a PATH that holds these commands and no others."""
    folder.mkdir()
    for name, script in {"uname": "echo Linux\n", **commands}.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)
    return folder


def set_up(tmp_path: Path, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run the set-up on that machine."""
    shell = shutil.which("sh")
    assert shell is not None
    return subprocess.run(
        [shell, str(SETUP), "dev", "stamp"],
        cwd=tmp_path,
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def complaint(tmp_path: Path, path: Path) -> str:
    """Run the set-up on that machine; returns the one line that it complains with."""
    done = set_up(tmp_path, path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "stamp").exists()
    return done.stderr


@pytest.mark.parametrize(
    ("commands", "says"),
    [
        pytest.param({"uname": "echo Darwin\n"}, "in a container: docker run", id="another system"),
        pytest.param({}, "found no python3", id="no Python"),
        pytest.param({"apt_get": "", "python3": OLD_PYTHON}, "apt-get install -y python3 python3-venv", id="Debian"),
        pytest.param({"dnf": "", "python3": OLD_PYTHON}, "found Python 3.9.2; install one with: dnf", id="Fedora"),
        pytest.param({"zypper": "", "python3": OLD_PYTHON}, "zypper install -y python312", id="SUSE"),
        pytest.param(
            {"apt_get": "", "python3": PYTHON_WITHOUT_VENV},
            "apt-get install -y python3.12 python3.12-venv",
            id="no venv",
        ),
    ],
)
def test_what_is_missing_is_one_line_with_its_remedy(tmp_path: Path, commands: dict[str, str], says: str) -> None:
    assert says in complaint(tmp_path, machine(tmp_path / "bin", **commands))


def interpreter(cost: int) -> str:
    """Write an interpreter of our own version that costs so much, and makes no environment."""
    return f'case "$2" in *process_time*) echo {cost} ;; *version*) exec {sys.executable} "$@" ;; esac\n'


@pytest.mark.parametrize(
    ("cost", "taken"),
    [
        pytest.param(80, "python3.13", id="the one that costs least"),
        pytest.param(95, "python3", id="the usual one, where another costs little less"),
    ],
)
def test_of_several_interpreters_one_is_taken_and_named(tmp_path: Path, cost: int, taken: str) -> None:
    path = machine(tmp_path / "bin", python3=interpreter(100), **{"python3.13": interpreter(cost)})
    assert f"creating .venv with {path / taken} (" in set_up(tmp_path, path).stderr
