"""The total adds up, and says where to go on."""

import pytest

from chaos.proof import NOTHING, Run, printed, proof, with_run
from regions.document import DocumentError

FIRST = Run("2026-01-31", 1, 100, 99, 1, 1.5, 5_000)
NEXT = Run("2026-01-31", 101, 150, 50, 0, 0.75, 2_000)
LAWS = ("I1", "LOST")


def test_runs_add_up_and_come_back_as_they_were_written() -> None:
    total = with_run(with_run(NOTHING, FIRST, ()), Run("2026-02-01", 101, 110, 10, 0, 0.1, 9), LAWS)
    assert (total.schedules, total.next_seed, total.laws) == (109, 111, LAWS)
    assert proof(printed(total), "proof.json") == total


def test_runs_of_a_day_that_go_on_from_each_other_are_one() -> None:
    total = with_run(with_run(NOTHING, FIRST, LAWS), NEXT, LAWS)
    assert total.runs == (Run("2026-01-31", 1, 150, 149, 1, 2.25, 7_000),)


def test_a_total_that_is_none_is_told_by_line() -> None:
    content = printed(with_run(NOTHING, FIRST, LAWS)).replace('"broken": 1', '"broken": -1')
    with pytest.raises(DocumentError, match=r"proof.json:\d+: runs\[0\].broken is -1"):
        proof(content, "proof.json")
