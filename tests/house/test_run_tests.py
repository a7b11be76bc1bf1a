"""``make test``: every test once, in two halves side by side, and an end that says how it went."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.run_tests import SCHEDULES

RUN = Path(__file__).parents[2] / "tools" / "run_tests.py"
PASSES = "def test_it() -> None:\n    pass\n"
FAILS = "def test_it() -> None:\n    assert 'seen' == 'here'\n"
WAITS = """\
import pathlib, time

def test_it() -> None:
    pathlib.Path(__file__).with_suffix(".waits").touch()
    time.sleep(60)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a repository with a test in each part."""
    schedules, _, name = SCHEDULES.partition("::")
    write(tmp_path, {schedules: f"def {name}() -> None:\n    pass\n", "tests/unit/core/test_pure.py": PASSES})
    write(tmp_path, {"tests/e2e/test_live.py": PASSES})
    return tmp_path


def write(tree: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)


def run(tree: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments], cwd=tree, env=surroundings(), capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout.splitlines()


def surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def test_every_part_runs_and_the_last_line_sums_up(tree: Path) -> None:
    code, lines = run(tree)
    assert code == 0
    assert lines[-1].startswith("3 passed, 0 failed, 0 skipped in ")


@pytest.mark.parametrize("file", ["tests/unit/core/test_pure.py", "tests/e2e/test_live.py"])
def test_a_failure_in_either_half_is_shown_and_fails_the_run(tree: Path, file: str) -> None:
    write(tree, {file: FAILS})
    code, lines = run(tree)
    assert code == 1
    assert lines[-1].startswith("2 passed, 1 failed, 0 skipped in ")
    assert any(file in line and line.startswith("FAILED") for line in lines)


def test_with_arguments_only_what_they_name_runs(tree: Path) -> None:
    write(tree, {"tests/e2e/test_live.py": FAILS})
    code, lines = run(tree, "tests/unit/core", "-x")
    assert code == 0
    assert "1 passed" in lines[-1]


def test_an_interruption_ends_both_halves_and_says_so(tree: Path) -> None:
    files = [tree / "tests/unit/core/test_pure.py", tree / "tests/e2e/test_live.py"]
    write(tree, {str(file.relative_to(tree)): WAITS for file in files})
    with subprocess.Popen([sys.executable, str(RUN)], cwd=tree, env=surroundings(), stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not all(file.with_suffix(".waits").exists() for file in files):
            assert time.monotonic() < deadline, "both halves begin"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.decode().count("KeyboardInterrupt") >= 2
    assert "0 passed, " in told.decode().splitlines()[-1]
