"""The model of the protocol keeps its laws within small bounds, and each law is seen to fail for one mutant.

``make prove-model`` runs the larger bounds and all mutants.
"""

import os
import re
from pathlib import Path

import pytest

from tests.model.configurations import LAWS, MUTANTS, QUICK, SMALL, SOUND, Configuration
from tests.model.tlc import MODEL, UNKNOWN, Verdict, check, complaint, lacking, read

LINES_MAX = 200
HELD = "34,088 distinct states found\nModel checking completed. No error has been found.\n"
BROKEN = "Error: Invariant I4_Joint is violated.\nState 1: <Initial predicate>\nState 2: <Write>\n"


def ask(configuration: Configuration, folder: Path) -> Verdict:
    """Check, or skip where there is no Java; where tests must prove something, that fails."""
    missing = lacking()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return check(configuration, folder)


def test_the_protocol_keeps_its_laws(tmp_path: Path) -> None:
    unexpected = complaint(SMALL, ask(SMALL, tmp_path))
    assert not unexpected, unexpected


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=mutant.bug) for mutant in QUICK])
def test_each_law_fails_for_a_mutant(tmp_path: Path, mutant: Configuration) -> None:
    unexpected = complaint(mutant, ask(mutant, tmp_path))
    assert not unexpected, unexpected


def test_every_mutant_of_the_model_is_asked_for_and_no_other() -> None:
    named = set(re.findall(r'Bug = "([^"]+)"', MODEL.read_text()))
    assert named == {mutant.bug for mutant in MUTANTS}
    assert SOUND not in named


def test_every_law_of_the_model_is_checked() -> None:
    assert set(re.findall(r"^(I\d+_\w+) ==", MODEL.read_text(), re.MULTILINE)) == set(LAWS)


def test_the_model_stays_short_enough_to_be_read() -> None:
    assert len(MODEL.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize(
    ("output", "broken", "states", "depth"),
    [
        pytest.param(HELD, "", 34088, 0, id="all laws hold"),
        pytest.param(BROKEN, "I4_Joint", 0, 1, id="a law is broken"),
        pytest.param("Parse Error", UNKNOWN, 0, 0, id="TLC could not check"),
    ],
)
def test_a_verdict_is_only_what_tlc_said(output: str, broken: str, states: int, depth: int) -> None:
    verdict = read(output, took_s=1.0)
    assert (verdict.broken, verdict.states, verdict.depth) == (broken, states, depth)


def test_an_unexpected_verdict_is_told_with_its_trace_and_the_command_that_repeats_it() -> None:
    told = complaint(SMALL, read(BROKEN, took_s=1.0))
    assert "State 2: <Write>" in told
    assert f'repeat: .venv/bin/python -m tests.model.prove "{SMALL.name}"' in told
    assert complaint(SMALL, read(HELD, took_s=1.0)) == ""
