"""What a machine lacks to fetch the real servers is one line, with the command that installs it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.test_setup import machine

SCRIPT = Path(__file__).parents[2] / "tools" / "servers.sh"
JAVA_17 = "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2\n"
JAVA_11 = "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2\n"
BASICS = ("sed", "head", "mkdir", "mktemp", "rm", "find", "cut", "sort", "grep", "id", "tail", "cat", "touch")
NO_SUCH_SUITE = 'case "$*" in indextargets*) echo "http://mirror.invalid/debian bookworm" ;; *) exit 100 ;; esac\n'


@pytest.mark.parametrize(
    ("there", "commands", "says"),
    [
        pytest.param([], {}, "needs Java 17 or later; install it with: apt-get", id="no Java"),
        pytest.param([], {"java": JAVA_11}, "needs Java 17 or later but found 11", id="an old Java"),
        pytest.param(["consul/1.8"], {"java": JAVA_17}, "needs Maven to fetch Cassandra", id="no Maven"),
        pytest.param([], {"java": JAVA_17}, "needs apt-get to fetch Consul's Debian package", id="no apt"),
        pytest.param(
            [],
            {"java": JAVA_17, "apt_get": NO_SUCH_SUITE, "dpkg": ""},
            "no apt source of this machine carries Debian bullseye",
            id="a mirror without it",
        ),
    ],
)
def test_what_is_missing_is_one_line_with_its_remedy(
    tmp_path: Path, there: list[str], commands: dict[str, str], says: str
) -> None:
    path = machine(tmp_path / "bin", **commands)
    for tool in BASICS:
        (path / tool).symlink_to(str(shutil.which(tool)))
    for stamp in there:
        (tmp_path / ".tools" / f"{stamp}.stamp").parent.mkdir(parents=True)
        (tmp_path / ".tools" / f"{stamp}.stamp").touch()
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run(
        [shell, str(SCRIPT)], cwd=tmp_path, env={"PATH": str(path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert says in done.stderr.splitlines()[-1]
    assert not list((tmp_path / ".tools").glob("fetch.*")), "it leaves nothing half done behind"
