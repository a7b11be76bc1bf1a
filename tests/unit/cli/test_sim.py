"""`twinhold sim`: what it prints, how it ends, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.proof import proof
from chaos.schedule import Crash, Freeze, Schedule, SlowDisk, Timed
from chaos.schedule_file import printed, saved
from chaos.setting import SMALL
from cli.exits import Exit
from core.names import NodeId
from tests.unit.cli.conftest import Twinhold

TWINHOLD = str(Path(sys.executable).parent / "twinhold")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Write down a schedule that breaks a law: nobody gives the fleet time to become whole."""
    faults = (
        Timed(4.0, SlowDisk(NodeId("fra1-c1"), 0.01, 0.5)),
        Timed(5.0, Crash("ber1-c1", 3.0)),
        Timed(5.5, Freeze("ams1-cp", 0.2)),
    )
    path = tmp_path / "broken.json"
    path.write_text(printed(Schedule(3, SMALL, faults, 7.0, 0.0), why="it has no time to become whole"))
    return path


def test_a_run_adds_up_what_passed(shell: Twinhold, tmp_path: Path) -> None:
    total = tmp_path / "proof.json"
    told = shell("sim", "run", "--seeds", "1..2", "--jobs", "1", "--total", str(total), "-o", "json")
    assert told.code == Exit.DONE
    figures = json.loads(told.out)
    assert (figures["schedules"], figures["broken"], figures["shortest"]) == (2, [], None)
    assert "seeds from 1 to 2, 1 processes" in told.err
    kept = proof(total.read_text(), "proof.json")
    assert (kept.schedules, kept.next_seed) == (2, 3)


@pytest.mark.parametrize("seeds", ["1-5", "5..1", "x..2", "7"])
def test_what_is_no_range_of_seeds_is_told_with_one_that_is(shell: Twinhold, seeds: str) -> None:
    told = shell("sim", "run", "--seeds", seeds)
    assert told.code == Exit.USAGE
    assert told.err == f"twinhold: range of seeds '{seeds}' is malformed: expected like 1..200\n"


def test_a_replay_tells_the_law_what_shows_it_and_the_last_moments(shell: Twinhold, broken: Path) -> None:
    told = shell("sim", "replay", str(broken))
    assert told.code == Exit.FAILED
    assert "  at 5 s Crash(name='ber1-c1', for_s=3.0)" in told.out
    assert "broken at 7.000 s: LIVENESS: 0 s after healing" in told.out
    assert "~~~ everything heals ~~~" in told.out


def test_a_replay_is_the_same_every_time_and_its_trace_can_be_seen(shell: Twinhold, broken: Path) -> None:
    first, again = (shell("sim", "replay", str(broken), "-o", "json").json() for _ in range(2))
    assert first == again
    traced = shell("sim", "replay", str(broken), "--trace")
    assert "ber1-c1 crashes" in traced.out


def test_a_shrunk_schedule_breaks_the_same_law_with_less(shell: Twinhold, broken: Path, tmp_path: Path) -> None:
    out = tmp_path / "short.json"
    told = shell("sim", "shrink", str(broken), "--out", str(out))
    assert told.code == Exit.DONE
    assert "3 faults became " in told.err
    short = saved(out.read_text(), "short.json")
    assert len(short.schedule.faults) <= 1
    assert short.why.startswith("LIVENESS")
    assert shell("sim", "replay", str(out)).code == Exit.FAILED


def test_what_keeps_every_law_can_not_be_shrunk(shell: Twinhold, tmp_path: Path) -> None:
    calm = tmp_path / "calm.json"
    calm.write_text(printed(Schedule(1, SMALL, (), 6.0, 20.0), why="calm"))
    told = shell("sim", "shrink", str(calm))
    assert told.code == Exit.USAGE
    assert "this one keeps them all" in told.err


@pytest.mark.parametrize("argument", ["nowhere.json", "-1"])
def test_what_is_neither_seed_nor_file_is_told_in_one_line(shell: Twinhold, argument: str) -> None:
    told = shell("sim", "replay", "--", argument)
    assert told.code == Exit.NOT_FOUND
    assert told.err.count("\n") == 1
    assert "name a seed, or a file" in told.err


def test_an_interrupted_run_says_so_and_leaves_no_process() -> None:
    process = subprocess.Popen(
        [TWINHOLD, "sim", "run", "--seeds", "1..100000", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    process.stderr.readline()
    while len(workers := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == Exit.INTERRUPTED
    assert err.splitlines()[-1] == "twinhold: interrupted"
    assert "Traceback" not in err
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker), 0)
