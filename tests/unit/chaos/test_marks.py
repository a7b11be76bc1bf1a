"""Marks: which paths many runs took, and which none did."""

from chaos.marks import Mark, missed


def test_what_no_run_reached_is_missed_and_nothing_else() -> None:
    runs = [{Mark.SWITCHED.name: 2}, {Mark.ORPHANED.name: 1, Mark.BRAKED.name: 0}]
    left = missed(runs)
    assert set(left) == set(Mark) - {Mark.SWITCHED, Mark.ORPHANED}


def test_no_run_misses_everything() -> None:
    assert missed([]) == tuple(Mark)
