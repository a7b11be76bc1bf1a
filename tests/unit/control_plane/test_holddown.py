"""How long what came back is given no primaries by plan: a law of the records, kept by every leader."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.books import Evacuation, Homecoming, Shelf
from control_plane.holddown import DOUBLINGS_MAX, because, holddown, quiet_s
from control_plane.views import Asked, DcState, Started
from core.errors import TwinholdError
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, dc_of
from tests.unit.control_plane.lands import two_lands
from tests.unit.control_plane.pocket_world import PocketWorld

ASKED = Asked("users/ada", "a test", "6e9e2f0c-0000-4000-8000-000000000001")
WAW, BER = DcId("waw1"), DcId("ber1")
BASE_S = 10.0
CAP_S = BASE_S * 2**DOUBLINGS_MAX
QUIET_S = quiet_s(BASE_S)
BORN_MS = 1_800_000_000_000


def history(spans_s: Iterable[tuple[float, float]]) -> list[Evacuation]:
    """Write the records of falls: each after so long up, and so long down."""
    at_ms, records = BORN_MS, []
    for number, (up_s, down_s) in enumerate(spans_s, start=1):
        since_ms = at_ms + round(up_s * 1000)
        at_ms = since_ms + round(down_s * 1000)
        name = f"waw1-{number}"
        records.append(Evacuation(name, WAW, None, GeographyId("eu"), True, since_ms, since_ms, (), "closed", at_ms))
    return records


def length_s(records: list[Evacuation], *, after_s: float = 0.0) -> float:
    """Work the hold-down out, so long after the last return."""
    now_ms = max(record.ended_ms for record in records) + round(after_s * 1000)
    return holddown(records, base_s=BASE_S, now_ms=now_ms).length_s


SOON = (QUIET_S / 2, 5.0)
LATE = (QUIET_S, 5.0)


@pytest.mark.parametrize(
    ("spans", "expected_s"),
    [
        pytest.param([LATE], BASE_S, id="the first fall"),
        pytest.param([LATE, SOON], 2 * BASE_S, id="one flap"),
        pytest.param([LATE, SOON, SOON], 4 * BASE_S, id="two in a row"),
        pytest.param([LATE] + [SOON] * 9, CAP_S, id="many: the cap"),
        pytest.param([LATE, LATE], BASE_S, id="two falls with a quiet time between"),
        pytest.param([LATE, SOON, SOON, LATE], BASE_S, id="flaps, then quiet"),
        pytest.param([LATE, SOON, LATE, SOON], 2 * BASE_S, id="a flap after quiet begins anew"),
        pytest.param([LATE, (CAP_S + QUIET_S / 2 - 1, 5.0)], 2 * BASE_S, id="a fall after the longest hold-down"),
    ],
)
def test_a_flap_doubles_and_quiet_ends_it(spans: list[tuple[float, float]], expected_s: float) -> None:
    assert length_s(history(spans)) == expected_s


def test_falls_that_overlap_are_one_fall() -> None:
    first, second = history([LATE, SOON])
    node = replace(second, id="waw1-c1-1", node=NodeId("waw1-c1"), since_ms=second.since_ms - 200)
    assert length_s([first, second, node]) == 2 * BASE_S
    still_open = replace(node, state="open", ended_ms=0)
    assert length_s([first, second, still_open]) == 2 * BASE_S


seconds = st.floats(min_value=0.1, max_value=3 * QUIET_S, allow_nan=False)
falls = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=12)


@given(falls, st.randoms(use_true_random=False))
def test_it_lies_between_base_and_cap_and_depends_on_nothing_but_the_records(
    spans: list[tuple[float, float]], chance: "object"
) -> None:
    records = history(spans)
    shuffled = sorted(records, key=lambda record: hash((record.id, repr(chance))))
    assert BASE_S <= length_s(records) <= CAP_S
    assert length_s(shuffled) == length_s(records)


@given(falls, st.floats(min_value=0.1, max_value=QUIET_S - 0.01))
def test_one_more_flap_doubles_it_up_to_the_cap(spans: list[tuple[float, float]], up_s: float) -> None:
    before_s = length_s(history(spans))
    assert length_s(history([*spans, (up_s, 1.0)])) == min(2 * before_s, CAP_S)


@given(falls, st.floats(min_value=QUIET_S, max_value=10 * QUIET_S))
def test_it_is_the_base_again_after_quiet(spans: list[tuple[float, float]], quiet_for_s: float) -> None:
    assert length_s(history(spans), after_s=quiet_for_s) == BASE_S
    assert length_s(history([*spans, (quiet_for_s, 1.0)])) == BASE_S


@pytest.mark.parametrize(
    ("flaps", "said"),
    [(0, "it has not flapped"), (1, "once in a row within 320 s"), (5, "5 times in a row"), (5, "does not grow")],
)
def test_it_says_why_it_is_as_long_as_it_is(flaps: int, said: str) -> None:
    assert said in because(flaps, BASE_S)


# Whole control planes.


@pytest.fixture
def world() -> PocketWorld:
    """A fleet that has come up, with its first leader in fra1."""
    fleet = PocketWorld(two_lands())
    fleet.run(4.0)
    return fleet


def until(world: PocketWorld, true: Callable[[], bool], *, within_s: float) -> None:
    """Let time pass until something holds."""
    began = world.world.now
    while not true():
        assert world.world.now - began < within_s, f"not within {within_s} virtual seconds"
        world.run(0.05)


def fall_and_return(world: PocketWorld, dc: DcId) -> float:
    """Let a data center fall and come back, with the brake released before; answers when it was welcomed.

    While it is held down its partners evict its standbys before there is a verdict: it then falls with no copy at all.
    """
    world.lead().resume(ASKED, lambda _: None)
    world.run(0.5)
    returns = world.types().count("dc.returned")
    world.freeze_dc(dc)
    until(world, lambda: world.lead().data_center(dc).state is DcState.LOST, within_s=10.0)
    world.thaw_dc(dc, frozen_s=5.0)
    until(world, lambda: world.types().count("dc.returned") > returns, within_s=20.0)
    return world.world.now


def reasons(world: PocketWorld) -> str:
    """Join the reasons of the last welcome in the audit journal."""
    return "; ".join(next(event for event in reversed(world.events()) if event.type == "dc.returned").reasons)


def no_primaries_before(world: PocketWorld, dc: DcId, at: float) -> None:
    """See that a data center is given no primary before a time, and one soon after it."""
    while world.world.now < at:
        assert not world.led_in(dc)
        world.run(0.1)
    until(world, lambda: bool(world.led_in(dc)), within_s=10.0)


def test_each_flap_doubles_the_time_without_planned_primaries(world: PocketWorld) -> None:
    for flaps in range(3):
        back_at = fall_and_return(world, WAW)
        expected_s = world.timers.holddown_s * 2**flaps
        assert f"primaries after {expected_s:g} s" in reasons(world)
        no_primaries_before(world, WAW, back_at + expected_s - 0.5)
    assert "2 times in a row" in reasons(world)


def test_the_next_leader_keeps_to_it_and_counts_on(world: PocketWorld) -> None:
    fall_and_return(world, WAW)
    back_at = fall_and_return(world, WAW)
    shown = world.lead().data_center(WAW)
    assert shown.holddown_because.startswith("it fell again once")
    world.crash_control_plane(ControlPlaneId("fra1-cp"))
    until(world, lambda: world.leader() not in (None, "fra1-cp"), within_s=3.0)
    world.run(1.0)
    assert world.lead().data_center(WAW).holddown_until_ms == shown.holddown_until_ms
    no_primaries_before(world, WAW, back_at + 2 * world.timers.holddown_s - 0.5)
    fall_and_return(world, WAW)
    assert "primaries after 40 s" in reasons(world)


def test_status_says_for_how_long_and_why(world: PocketWorld) -> None:
    fall_and_return(world, WAW)
    fall_and_return(world, WAW)
    told = [p.message for p in world.lead().status().problems if p.subject == f"dataCenters/{WAW}"]
    assert len(told) == 1
    assert "primaries by plan in 20 s (it fell again once in a row" in told[0]
    until(world, lambda: world.lead().data_center(WAW).holddown_until_ms == 0, within_s=25.0)
    assert world.lead().data_center(WAW).holddown_because == ""


def test_a_blip_of_one_node_never_shortens_the_hold_down_of_its_data_center(world: PocketWorld) -> None:
    for _ in range(3):
        fall_and_return(world, WAW)
    before_ms = world.lead().data_center(WAW).holddown_until_ms
    closed = world.types().count("evacuation.closed")
    world.hosts["waw1-c1"].crash()
    world.break_stream("waw1-c1")
    until(world, lambda: "nodes/waw1-c1" in lost(world), within_s=5.0)
    world.hosts["waw1-c1"].start()
    world.nodes[NodeId("waw1-c1")].process_id += 1
    world.nodes[NodeId("waw1-c1")].begin()
    until(world, lambda: world.types().count("evacuation.closed") > closed, within_s=20.0)
    world.run(0.5)
    assert world.lead().data_center(WAW).holddown_until_ms >= before_ms


def lost(world: PocketWorld) -> list[str]:
    """Name what is held lost."""
    return [evacuation.subject for evacuation in shelf(world).evacuations(open_only=True)]


def shelf(world: PocketWorld) -> Shelf:
    """Look into the leader's books."""
    leader = world.leader()
    assert leader is not None, "nobody leads"
    return world.drivers[leader].leading().must_write().shelf


def test_what_falls_again_with_no_copy_is_recorded_and_costs_none_of_the_brake(world: PocketWorld) -> None:
    fall_and_return(world, WAW)
    world.freeze_dc(WAW)
    until(world, lambda: "dataCenters/waw1" in lost(world), within_s=5.0)
    assert [e.empty for e in shelf(world).evacuations(open_only=True)] == [True]
    assert "brake.halted" not in world.types()


def test_a_drain_gives_no_primaries_to_a_data_center_that_is_held_down(world: PocketWorld) -> None:
    back_at = fall_and_return(world, WAW)
    until(world, lambda: stands_by(world, BER), within_s=9.0)
    found: list[Started | TwinholdError] = []
    world.lead().drain(BER, validate_only=False, accept_exposure=True, asked=ASKED, done=found.append)
    until(world, lambda: bool(found), within_s=2.0)
    started = found[0]
    assert isinstance(started, Started)
    assert started.operation is not None
    while world.world.now < back_at + world.timers.holddown_s - 0.5:
        assert not world.led_in(WAW)
        world.run(0.1)
    id_ = started.operation.id
    assert "wait for the end of a hold-down" in world.lead().operation(id_).detail
    until(world, lambda: world.lead().operation(id_).done, within_s=60.0)
    assert world.led_in(WAW)


def stands_by(world: PocketWorld, dc: DcId) -> bool:
    """Say whether some shard that a data center leads has its standby in waw1."""
    return any(a.standby is not None and dc_of(a.standby.node) == WAW for a in world.led_in(dc))


def test_a_homecoming_is_written_with_the_end_of_its_evacuation(world: PocketWorld) -> None:
    seen: list[tuple[bool, bool]] = []
    returns = world.types().count("dc.returned")
    world.freeze_dc(WAW)
    until(world, lambda: not world.in_dc(WAW), within_s=10.0)
    world.thaw_dc(WAW, frozen_s=5.0)
    while world.types().count("dc.returned") == returns:
        world.run(0.01)
        books = shelf(world)
        seen.append((bool(books.lost_dcs()), any(book.dc == WAW for book in books.all(Homecoming))))
    assert set(seen) == {(True, False), (False, True)}
    assert all(before == after or after == (False, True) for before, after in pairwise(seen))
