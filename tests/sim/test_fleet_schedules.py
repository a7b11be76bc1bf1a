"""The whole fleet on virtual time: production nodes, journals, control planes and the client's machine, in trouble.

A failure prints its seed, or its file; ``twinhold sim replay`` repeats it and draws what happened.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.fleet_laws import Breach
from chaos.io.child import Fields
from chaos.schedule_file import saved
from chaos.sim.campaign import Limits, campaign
from chaos.sim.jobs import Input, cores, spread
from chaos.sim.run import SimResult, simulate
from chaos.sim.tasks import JUDGE_SAVED, heard
from chaos.sim.worlds import parts, schedule_of

SCHEDULES = 800
FAILURES = 5
OPERATIONS = 500
"""How many acknowledged ones a schedule has on average, at least: one that hardly does anything shows nothing."""
KEPT = Path(__file__).parent / "seeds"
REPEATED = 7


def run(seed: int) -> SimResult:
    return simulate(schedule_of(seed), parts())


async def test_fleets_in_trouble_keep_every_law_and_become_whole() -> None:
    broken: dict[int, Breach] = {}
    tally = await campaign(
        1,
        Limits(last_seed=SCHEDULES, for_s=None, failures=FAILURES),
        jobs=cores(),
        tell=lambda tally: None,
        broke=lambda result: broken.update({result.seed: result.broken[0]}),
    )
    assert broken == {}
    assert tally.schedules == SCHEDULES
    assert tally.operations / tally.schedules >= OPERATIONS


async def test_no_schedule_that_ever_failed_fails_again() -> None:
    files = sorted(KEPT.glob("*.json"))
    broken: dict[str, list[str]] = {}

    def take(one: Input, fields: Fields) -> None:
        if fields["broken"]:
            broken[str(one["file"])] = [str(breach) for breach in heard(fields).broken]

    inputs = [{"file": file.name, "content": file.read_text()} for file in files]
    await spread(JUDGE_SAVED, inputs, take, jobs=cores())
    assert files
    assert broken == {}


@pytest.mark.parametrize("file", sorted(KEPT.glob("*.json")), ids=lambda file: file.stem)
def test_a_kept_schedule_says_why_it_was_kept(file: Path) -> None:
    assert len(saved(file.read_text(), file.name).why.split()) > 5


def test_the_same_seed_gives_the_same_trace_on_any_run_of_python() -> None:
    code = f"from tests.sim.test_fleet_schedules import run; print(run({REPEATED}).trace_hash)"
    top = Path(__file__).parents[2]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            cwd=top,
            env={**os.environ, "PYTHONHASHSEED": salt},
            text=True,
            timeout=120,
        ).stdout
        for salt in ("1", "2")
    }
    assert hashes == {f"{run(REPEATED).trace_hash}\n"}
