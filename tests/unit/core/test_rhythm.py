"""Moments that recur."""

from hypothesis import given
from hypothesis import strategies as st

from core.rhythm import Rhythm

INTERVAL_S = 0.2


@given(st.floats(0, 1e6))
def test_the_next_moment_is_at_most_a_little_more_than_an_interval_away_and_never_nearly_there(
    now: float,
) -> None:
    wait_s = Rhythm(INTERVAL_S).after(now) - now
    assert 0.019 < wait_s < 1.11 * INTERVAL_S


@given(st.floats(0, 1e6), st.floats(0, 0.5))
def test_everybody_who_asks_for_the_same_moment_gets_the_same_number(now: float, earlier_ratio: float) -> None:
    rhythm = Rhythm(INTERVAL_S)
    at = rhythm.after(now)
    assert rhythm.after(at - INTERVAL_S / 2 - earlier_ratio * INTERVAL_S / 2.5) == at
