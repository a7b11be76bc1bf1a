"""One rhythm for a process."""

import pytest

from core.io.beat import Beat


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.999])
def test_the_next_moment_is_about_one_interval_away_at_most_and_never_nearly_there(phase: float) -> None:
    beat = Beat(0.2, phase)
    assert all(0.02 < beat.next_in_s() <= 0.22 for _ in range(1000))
