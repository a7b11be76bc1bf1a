"""Where an event of the audit journal lies in Cassandra's ring."""

from hypothesis import given
from hypothesis import strategies as st

from control_plane.cassandra_events import (
    PER_SLOT,
    SLOTS,
    Head,
    fitting,
    lap_of,
    laps_back,
    place_of,
    slot_of,
)
from control_plane.store_rules import EVENTS_KEPT

NUMBERS = st.integers(1, 10**9)


@given(NUMBERS)
def test_a_number_has_one_place_and_the_next_lap_of_its_slot_comes_a_ring_later(number: int) -> None:
    assert lap_of(number) * PER_SLOT + place_of(number) + 1 == number
    assert slot_of(lap_of(number + SLOTS * PER_SLOT)) == slot_of(lap_of(number))
    assert lap_of(number + SLOTS * PER_SLOT) == lap_of(number) + SLOTS


@given(NUMBERS, st.integers(1, 1000))
def test_what_fits_stays_in_one_lap(number: int, count: int) -> None:
    fits = fitting(number, [b""] * count)
    assert 1 <= fits <= count
    assert lap_of(number + fits - 1) == lap_of(number)
    assert fits == count or place_of(number + fits) == 0


@given(NUMBERS)
def test_as_many_events_as_are_kept_can_be_read_back(newest: int) -> None:
    laps = list(laps_back(newest))
    assert laps[0] == lap_of(newest)
    assert laps == sorted(laps, reverse=True)
    assert lap_of(max(1, newest - EVENTS_KEPT + 1)) in laps
    assert len({slot_of(lap) for lap in laps}) == len(laps)


def test_a_slot_is_full_at_the_end_of_its_lap() -> None:
    assert [Head(2, last).is_full for last in (3 * PER_SLOT - 1, 3 * PER_SLOT)] == [False, True]
    assert not Head().is_full
