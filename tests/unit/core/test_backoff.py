"""Pauses between attempts: bounded, doubling, spread, and short again after an answer."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from core.backoff import SHORTEST_SHARE, Backoff


@given(first_s=st.floats(0.01, 1.0), factor=st.floats(1.0, 50.0), tries=st.integers(1, 20), seed=st.integers())
def test_every_pause_keeps_its_bounds_which_double_up_to_the_longest(
    first_s: float, factor: float, tries: int, seed: int
) -> None:
    longest_s = first_s * factor
    backoff = Backoff(first_s, longest_s, Random(seed))
    for attempt in range(tries):
        bound = min(longest_s, first_s * 2**attempt)
        assert SHORTEST_SHARE * bound <= backoff.next_s() <= bound * (1 + 1e-9)


def test_after_an_answer_it_begins_anew() -> None:
    backoff = Backoff(0.2, 2.0, Random(1))
    late = [backoff.next_s() for _ in range(8)]
    backoff.reset()
    assert backoff.next_s() <= 0.2
    assert late[-1] >= SHORTEST_SHARE * 2.0


def test_a_crowd_does_not_come_back_as_one() -> None:
    pauses = {Backoff(0.2, 2.0, Random(seed)).next_s() for seed in range(50)}
    assert len(pauses) == 50
