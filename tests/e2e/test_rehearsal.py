"""The small rehearsal, played for real: it passes, its history is good, and Ctrl-C leaves nothing behind."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.io.check import run as check
from chaos.io.rehearsal import run as rehearse
from regions.io import fleet_file

SMALL = Path(__file__).parents[2] / "chaos" / "scenarios" / "small.yaml"
PLAYING = "load and probes"
"""Stands in the line that tells of the steady load: the first fault is near."""
END_S = 30.0

pytestmark = pytest.mark.e2e


def test_the_small_rehearsal_passes_and_its_history_is_good(tmp_path: Path) -> None:
    code = rehearse(SMALL, seed=1, out=tmp_path, tenants=None, rate=None, preset=None, profile=None)
    found = json.loads((tmp_path / "verdict.json").read_text())
    assert (code, found["verdict"]) == (0, "PASS"), found["causes"]
    assert found["acknowledged"] > 500
    assert all(fault["receipt"] for fault in found["faults"])
    assert check(tmp_path / "history.jsonl") == 0
    assert (tmp_path / "report.html").read_text().count("<svg") == 3
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert all(entry["reverted_at_s"] is not None for entry in journal["entries"] if entry["kind"] != "restart")


def test_ctrl_c_leaves_no_process_and_keeps_every_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    twinhold = Path(sys.executable).with_name("twinhold")
    command = [str(twinhold), "rehearse", str(SMALL), "--seed", "2", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if PLAYING in line:
            break
    file = fleet_file.read(out / "fleet")
    assert file is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=END_S) == 130
    assert not [name for name, found in file.processes.items() if found.alive]
    assert check(out / "history.jsonl") in (0, 10)
    process.stderr.close()
