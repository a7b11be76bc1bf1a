"""The checker of histories sees what it is there for, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.contracts.cas_history import Operation, breaches
from tests.contracts.store_calls import born

FIRST = born(1).new
SECOND, THIRD = replace(FIRST, epoch=2), replace(FIRST, epoch=3)


def write(asked: float, answered: float, epoch: int) -> Operation:
    return Operation(asked, answered, replace(FIRST, epoch=epoch), wrote=True)


def read(asked: float, answered: float, epoch: int) -> Operation:
    return Operation(asked, answered, replace(FIRST, epoch=epoch))


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([write(0, 1, 2), read(2, 3, 2), write(4, 5, 3)], id="one after the other"),
        pytest.param([write(0, 9, 2), read(1, 2, 2), read(3, 4, 2)], id="seen before it is answered"),
        pytest.param([write(0, 9, 2), read(1, 2, 1), read(3, 4, 2)], id="not yet, then"),
        pytest.param([Operation(0, 1, None), write(2, 3, 3)], id="one whose answer is not known came between"),
        pytest.param([write(0, 9, 3), write(0, 9, 2)], id="at the same time"),
        pytest.param([], id="nothing"),
    ],
)
def test_what_may_be_is_not_complained_of(history: Sequence[Operation]) -> None:
    assert list(breaches(history)) == []


@pytest.mark.parametrize(
    ("history", "says"),
    [
        pytest.param([write(0, 1, 2), write(2, 3, 2)], "written twice", id="one epoch for two"),
        pytest.param(
            [write(0, 1, 2), Operation(2, 3, replace(SECOND, reason="other"))], "epoch 2 is both", id="a fork"
        ),
        pytest.param([write(0, 1, 2), read(2, 3, 1)], "seen after 2", id="a stale read"),
        pytest.param([read(0, 1, 3), write(2, 3, 3)], "written after 3", id="written after it was seen"),
        pytest.param([write(0, 1, 3), write(2, 3, 2)], "written after 3", id="an older epoch later"),
    ],
)
def test_what_can_t_be_is_seen(history: Sequence[Operation], says: str) -> None:
    assert any(says in line for line in breaches(history))
