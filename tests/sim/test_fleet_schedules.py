"""The whole fleet on virtual time: production nodes, journals, control planes and the client's machine, in trouble.

A failure prints its seed; ``pytest tests/sim/test_fleet_schedules.py -k "seed-17"`` repeats it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.sim.run import SimResult, simulate
from chaos.sim.worlds import parts, schedule_of

SEEDS = range(1, 81)
REPEATED = 7


def run(seed: int) -> SimResult:
    return simulate(schedule_of(seed), parts())


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_a_fleet_in_trouble_keeps_the_laws_and_becomes_whole(seed: int) -> None:
    result = run(seed)
    assert result.broken == ()
    assert result.acknowledged > 50, "a run in which nobody got anything done shows nothing"


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
