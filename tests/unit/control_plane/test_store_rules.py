"""What the store's adapters decide alike."""

import pytest

from control_plane.store_rules import nearest_majority_s, numbered, outdated
from core.names import DcId
from twinhold.v1 import event_pb2

HOME, NEAR, FAR, FARTHER, FARTHEST = SITES = tuple(DcId(dc) for dc in ("a", "b", "c", "d", "e"))
RTT_S = {(HOME, HOME): 0.0, (HOME, NEAR): 0.01, (HOME, FAR): 0.1, (HOME, FARTHER): 0.2, (HOME, FARTHEST): 0.3}


@pytest.mark.parametrize(
    ("sites", "living", "trip_s"),
    [
        pytest.param((HOME, NEAR, FAR), (HOME, NEAR, FAR), 0.01, id="the second nearest of three"),
        pytest.param((HOME, NEAR, FAR), (HOME, FAR), 0.1, id="the farther one when the nearer is lost"),
        pytest.param((HOME, NEAR, FAR), (HOME,), None, id="no majority of three"),
        pytest.param((NEAR, FAR, FARTHER), SITES, 0.1, id="standing at none of the sites"),
        pytest.param(SITES, SITES, 0.1, id="the third nearest of five"),
        pytest.param(SITES, (HOME, FARTHER, FARTHEST), 0.3, id="two of five lost"),
        pytest.param(SITES, (HOME, NEAR), None, id="no majority of five"),
    ],
)
def test_a_call_travels_to_the_nearest_living_majority(
    sites: tuple[DcId, ...], living: tuple[DcId, ...], trip_s: float | None
) -> None:
    assert nearest_majority_s(HOME, sites, living=frozenset(living), rtt_s=RTT_S) == trip_s


@pytest.mark.parametrize("number", [1, 127, 128, 300, 2**40])
def test_an_event_is_completed_by_its_number(number: int) -> None:
    bare = event_pb2.Event(type="brake.halted", reasons=["two data centers look dead"])
    whole = event_pb2.Event.FromString(numbered(bare.SerializeToString(), number))
    assert (whole.number, whole.type, list(whole.reasons)) == (number, bare.type, list(bare.reasons))


@pytest.mark.parametrize(("term", "held", "writes"), [(3, 2, True), (2, 2, True), (1, 2, False)])
def test_a_term_below_the_held_one_is_outdated(term: int, held: int, writes: bool) -> None:
    assert (outdated(term, held) is None) == writes
