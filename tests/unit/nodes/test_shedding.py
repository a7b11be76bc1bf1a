"""Which work is turned away first."""

import pytest

from core.errors import OverloadedError
from nodes.shedding import RETRY_AFTER_S, SUBSCRIPTIONS_MAX, Shedder, Work


def filled(count: int) -> Shedder:
    shedder = Shedder()
    for _ in range(count):
        shedder.enter(Work.COMMAND)
    return shedder


def test_reads_are_shed_before_writes_and_subscriptions_before_reads() -> None:
    shedder = filled(Work.SUBSCRIPTION.value)
    with pytest.raises(OverloadedError):
        shedder.enter(Work.SUBSCRIPTION)
    shedder.enter(Work.QUERY)
    shedder = filled(Work.QUERY.value)
    with pytest.raises(OverloadedError):
        shedder.enter(Work.QUERY)
    shedder.enter(Work.COMMAND)


def test_whoever_is_turned_away_is_told_when_to_come_back() -> None:
    shedder = filled(Work.COMMAND.value)
    with pytest.raises(OverloadedError) as caught:
        shedder.enter(Work.COMMAND)
    assert caught.value.retry_after_s == RETRY_AFTER_S
    assert shedder.shed[Work.COMMAND] == 1


def test_room_comes_back_when_work_is_over() -> None:
    shedder = filled(Work.COMMAND.value)
    shedder.leave(Work.COMMAND)
    shedder.enter(Work.COMMAND)
    assert shedder.busy == Work.COMMAND.value


def test_subscriptions_have_a_bound_of_their_own() -> None:
    shedder = Shedder(subscriptions=SUBSCRIPTIONS_MAX)
    with pytest.raises(OverloadedError):
        shedder.enter(Work.SUBSCRIPTION)
    assert shedder.busy == 0
