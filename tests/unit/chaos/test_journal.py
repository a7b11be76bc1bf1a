"""A fault is on disk before it is done, and what a killed run left frozen is ended by the next one."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import Deed, Entry
from chaos.io.journal import NAME, Journal, identified, undo_left_behind


@pytest.fixture
def frozen() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()


def journalled(folder: Path, process: subprocess.Popen[bytes], reverted_at_s: float | None) -> None:
    folder.mkdir()
    journal = Journal(folder, {"seed": 1})
    pids = identified({"iad1-c1": process.pid})
    journal.entries.append(Entry(1, "x", Deed.PAUSE, "nodes/iad1-c1", 2.0, pids, reverted_at_s=reverted_at_s))
    journal.write()


def test_the_journal_is_whole_json(tmp_path: Path, frozen: subprocess.Popen[bytes]) -> None:
    journalled(tmp_path / "run", frozen, None)
    (entry,) = json.loads((tmp_path / "run" / NAME).read_text())["entries"]
    assert (entry["kind"], entry["target"], entry["reverted_at_s"]) == ("pause", "nodes/iad1-c1", None)


def test_a_process_that_was_left_frozen_is_ended(tmp_path: Path, frozen: subprocess.Popen[bytes]) -> None:
    journalled(tmp_path / "run", frozen, None)
    (line,) = undo_left_behind(tmp_path)
    assert "ended 1 processes" in line
    assert frozen.wait(timeout=5) == -signal.SIGKILL


def test_what_was_undone_is_left_alone(tmp_path: Path, frozen: subprocess.Popen[bytes]) -> None:
    journalled(tmp_path / "run", frozen, 3.0)
    assert undo_left_behind(tmp_path) == []
    assert frozen.poll() is None


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path, frozen: subprocess.Popen[bytes]) -> None:
    journalled(tmp_path / "run", frozen, None)
    path = tmp_path / "run" / NAME
    document = json.loads(path.read_text())
    document["entries"][0]["pids"]["iad1-c1"][1] += 1
    path.write_text(json.dumps(document))
    assert undo_left_behind(tmp_path) == []
    assert frozen.poll() is None


def test_a_damaged_journal_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NAME).write_text("{")
    assert undo_left_behind(tmp_path) == []
