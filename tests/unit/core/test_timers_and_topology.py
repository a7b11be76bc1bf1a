"""Timers that would be unsafe are refused; distances can be recomputed."""

from dataclasses import replace

import pytest

from core.errors import MalformedError, NotFoundError
from core.names import DcId
from core.timers import PROFILES, timers
from core.topology import rtt_table_s
from tests.unit.core.fleets import two_geographies


@pytest.mark.parametrize("profile", PROFILES)
def test_a_heartbeat_above_a_quarter_of_the_lease_is_refused(profile: str) -> None:
    good = timers(profile)
    with pytest.raises(MalformedError):
        replace(good, heartbeat_s=good.lease_s / 3)
    with pytest.raises(MalformedError):
        replace(good, silence_s=good.lease_s * 0.9)


def test_an_unknown_profile_names_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match="default, fast"):
        timers("slow")


def test_round_trips_follow_the_globe() -> None:
    table = rtt_table_s(two_geographies())
    assert 0.085 < table[DcId("fra1"), DcId("iad1")] < 0.11, "6,500 km of great circle"
    assert table[DcId("iad1"), DcId("fra1")] == table[DcId("fra1"), DcId("iad1")]
    assert table[DcId("fra1"), DcId("fra1")] == 0.0
