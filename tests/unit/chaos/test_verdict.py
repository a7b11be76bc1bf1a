"""The verdict: safety fails first, an untrusted run proves nothing, limits decide the rest."""

import json
from dataclasses import replace

import pytest

from chaos.bystanders import Tally
from chaos.judgement import Finding, Law
from chaos.judgement import Verdict as Word
from chaos.probes import Gaps
from chaos.run import Run
from chaos.verdict import Outcome, document, steady_rate_min, verdict
from tests.unit.chaos.runs import DRAIN, JUDGEMENT, KILL, PAUSE, RUN, second

LOST = replace(
    JUDGEMENT, verdict=Word.VIOLATED, lost=1, violations=1, findings=(Finding(Law.LOST, (17, 90), "'m4' is missing"),)
)
UNPROVED = (replace(KILL, proved=False), PAUSE)
SLOW = replace(KILL, gaps=Gaps(123, 123, (2.5,) * 123))
SLOW_STEADY = tuple(replace(second(n / 2), writes_per_s=100.0) for n in range(200))
BROKEN_STEADY = tuple(replace(second(n / 2), failed_per_s=2.0) for n in range(200))


def test_a_clean_run_passes() -> None:
    judged = verdict(RUN)
    assert judged.outcome is Outcome.PASS
    assert judged.causes == ()
    assert len(judged.held) == 9


@pytest.mark.parametrize(
    ("run", "cause"),
    [
        pytest.param(replace(RUN, done=UNPROVED), "no receipt for kill dataCenters/fra1", id="no receipt"),
        pytest.param(replace(RUN, load=replace(RUN.load, late=1_001)), "could not keep time", id="late"),
        pytest.param(replace(RUN, done=(replace(KILL, gaps=Gaps(123, 110, (1.0,) * 110)),)), "coverage", id="coverage"),
        pytest.param(replace(RUN, seconds=SLOW_STEADY), "unsteady", id="too slow before the first fault"),
        pytest.param(replace(RUN, seconds=BROKEN_STEADY), "unsteady", id="failures before the first fault"),
        pytest.param(replace(RUN, cut_short=True), "cut short", id="cut short"),
        pytest.param(replace(RUN, audit_failed=3), "audit incomplete", id="audit"),
        pytest.param(
            replace(RUN, judgement=replace(JUDGEMENT, verdict=Word.UNDECIDED)), "undecided", id="undecided history"
        ),
    ],
)
def test_a_run_that_cannot_be_trusted_is_invalid(run: Run, cause: str) -> None:
    judged = verdict(run)
    assert judged.outcome is Outcome.INVALID
    assert cause in str(judged.causes[0])


@pytest.mark.parametrize(
    ("run", "cause"),
    [
        pytest.param(replace(RUN, done=(SLOW,)), "killed, writable again, p99", id="slow failover"),
        pytest.param(replace(RUN, bystanders=Tally(80_000, 1)), "bystanders' operations failed", id="bystander"),
        pytest.param(replace(RUN, leaderless=Tally(9_000, 1)), "without any control plane", id="leaderless"),
        pytest.param(replace(RUN, planned_writes=Tally(6_000, 1)), "failed in the drain", id="drain"),
        pytest.param(replace(RUN, missed=("drain of waw1 began at 93 s",)), "not done in time", id="missed"),
        pytest.param(
            replace(RUN, planned=tuple(replace(gap, gap_ms=150.0) for gap in RUN.planned)), "pause", id="long pause"
        ),
    ],
)
def test_a_broken_limit_fails(run: Run, cause: str) -> None:
    judged = verdict(run)
    assert judged.outcome is Outcome.FAIL
    assert cause in str(judged.causes[0])


def test_a_lost_write_fails_even_a_run_that_cannot_be_trusted() -> None:
    judged = verdict(replace(RUN, judgement=LOST, done=UNPROVED, cut_short=True))
    assert judged.outcome is Outcome.FAIL
    assert "line 17 and line 90" in str(judged.causes[0])


def test_a_good_fault_does_not_hide_a_slow_one() -> None:
    assert verdict(replace(RUN, done=(KILL, SLOW))).outcome is Outcome.FAIL


def test_the_document_has_what_programs_read() -> None:
    found = json.loads(json.dumps(document(RUN, verdict(RUN))))
    assert found["verdict"] == "PASS"
    assert (found["acknowledged"], found["lost"], found["duplicated"], found["stale_reads"]) == (33_402, 0, 0, 0)
    kill, _, drain = found["faults"]
    assert {"kind", "target", "receipt", "shards", "coverage", "write_gap_s"} <= set(kill)
    assert set(kill["write_gap_s"]) == {"p50", "p99", "max"}
    assert drain["kind"] == DRAIN.deed.value
    assert found["bystanders"] == {"operations": 80_112, "failed": 0}
    assert set(found["load"]) == {"late_ratio", "writes_per_s", "p99_ms"}


def test_a_short_look_at_a_small_load_allows_for_chance_and_a_long_one_does_not() -> None:
    assert steady_rate_min(40, seconds=2) < 30
    assert steady_rate_min(300, seconds=9) == pytest.approx(270)
