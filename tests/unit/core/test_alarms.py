"""Callbacks that wait for their time."""

import pytest

from core.alarms import Alarms
from core.machine import NEVER


def taken(alarms: Alarms, now: float) -> list[str]:
    """Run what is due; the callbacks write their names down."""
    alarms.ring(now, None)
    found, NAMES[:] = list(NAMES), []
    return found


NAMES: list[str] = []


def test_they_come_in_the_order_of_their_times_and_not_before() -> None:
    alarms = Alarms()
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        alarms.set(when, lambda name=name: NAMES.append(name))  # type: ignore[misc]  # bound per turn
    assert taken(alarms, 0.9) == []
    assert taken(alarms, 2.0) == ["a", "b"]
    assert alarms.next_at() == 3.0


def test_equal_times_keep_their_order() -> None:
    alarms = Alarms()
    for name in ("first", "second", "third"):
        alarms.set(1.0, lambda name=name: NAMES.append(name))  # type: ignore[misc]  # bound per turn
    assert taken(alarms, 1.0) == ["first", "second", "third"]


def test_what_is_cancelled_neither_runs_nor_wakes_anybody() -> None:
    alarms = Alarms()
    first = alarms.set(1.0, lambda: NAMES.append("first"))
    alarms.set(2.0, lambda: NAMES.append("second"))
    first.cancel()
    assert alarms.next_at() == 2.0
    assert taken(alarms, 5.0) == ["second"]
    first.cancel()
    assert alarms.next_at() == NEVER


def test_one_that_fails_leaves_the_others_to_the_next_ring_and_each_is_announced() -> None:
    alarms, announced = Alarms(), list[float]()

    def fail() -> None:
        raise AssertionError("impossible")

    alarms.set(1.0, fail)
    alarms.set(1.0, lambda: NAMES.append("other"))
    with pytest.raises(AssertionError, match="impossible"):
        alarms.ring(1.0, lambda: announced.append(1.0))
    assert alarms.next_at() == 1.0
    alarms.ring(1.0, lambda: announced.append(2.0))
    assert (taken(alarms, 1.0), announced) == (["other"], [1.0, 2.0])
