"""One rhythm for a process."""

import pytest

from core.io.beat import Beat


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.999])
def test_the_next_moment_is_never_further_than_one_interval(phase: float) -> None:
    beat = Beat(0.2, phase)
    assert all(0 < beat.next_in_s() <= 0.2 for _ in range(1000))
