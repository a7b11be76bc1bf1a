"""Admission: limits per tenant, fair turns, and who gives way when a node is full."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import OverloadedError
from nodes.admission import REMEMBERED, USUAL_LIMITS, Admission, Limits
from nodes.shedding import Work

SMALL = Limits(
    writes_per_s=10,
    writes_burst=5,
    bytes_per_s=1000,
    bytes_burst=2000,
    subscriptions_max=2,
    waiting_per_tenant_max=8,
    waiting_max=20,
)
ROOMY = replace(USUAL_LIMITS, writes_per_s=1e9, writes_burst=1e9)
QUIET, GREEDY = "tenants/eu/quiet", "tenants/eu/greedy"


def offer(
    door: Admission[str],
    tenant: str,
    item: str,
    *,
    work: Work = Work.COMMAND,
    size_bytes: int = 0,
    now: float = 0.0,
) -> list[str]:
    return door.offer(tenant, work, item, size_bytes=size_bytes, now=now)


def drained(door: Admission[str]) -> list[str]:
    taken = list[str]()
    while (item := door.next()) is not None:
        taken.append(item)
    return taken


def test_one_tenants_requests_keep_their_order() -> None:
    door = Admission[str](ROOMY)
    for number in range(5):
        offer(door, QUIET, str(number), work=Work.QUERY if number % 2 else Work.COMMAND)
    assert drained(door) == ["0", "1", "2", "3", "4"]


def test_tenants_take_turns() -> None:
    door = Admission[str](ROOMY)
    for number in range(4):
        offer(door, GREEDY, f"g{number}")
    for number in range(2):
        offer(door, QUIET, f"q{number}")
    assert drained(door) == ["g0", "q0", "g1", "q1", "g2", "g3"]


def test_turns_are_shared_by_size_not_by_number() -> None:
    door = Admission[str](ROOMY)
    for number in range(3):
        offer(door, GREEDY, f"g{number}", size_bytes=9 * 1024)
    for number in range(12):
        offer(door, QUIET, f"q{number}")
    order = drained(door)
    assert order.index("g1") == 11, "ten small requests weigh as much as a large one"


def test_a_tenant_that_was_away_has_not_saved_turns_up() -> None:
    door = Admission[str](ROOMY)
    for number in range(50):
        offer(door, GREEDY, f"g{number}")
    for _ in range(25):
        door.next()
    for number in range(50):
        offer(door, QUIET, f"q{number}")
    assert sum(item.startswith("q") for item in drained(door)[:20]) == 10


def test_writes_above_the_rate_are_refused_until_tokens_are_back() -> None:
    door = Admission[str](SMALL)
    for number in range(5):
        offer(door, QUIET, str(number))
    with pytest.raises(OverloadedError, match="limit of 10 writes/s") as raised:
        offer(door, QUIET, "6")
    assert raised.value.reason == "QUOTA"
    assert raised.value.retry_after_s == pytest.approx(0.1)
    offer(door, GREEDY, "another tenant's")
    offer(door, QUIET, "6", now=0.11)


def test_bytes_above_the_rate_are_refused_until_tokens_are_back() -> None:
    door = Admission[str](SMALL)
    offer(door, QUIET, "1", size_bytes=2000)
    with pytest.raises(OverloadedError, match="bytes/s") as raised:
        offer(door, QUIET, "2", size_bytes=500)
    assert raised.value.retry_after_s == pytest.approx(0.5)
    offer(door, QUIET, "2", size_bytes=500, now=0.51)


def test_a_request_larger_than_the_burst_is_taken_when_the_bucket_is_full() -> None:
    door = Admission[str](SMALL)
    offer(door, QUIET, "1", size_bytes=5000)
    with pytest.raises(OverloadedError):
        offer(door, QUIET, "2", size_bytes=1, now=3.0)
    offer(door, QUIET, "2", size_bytes=1, now=3.1)


def test_queries_are_not_writes() -> None:
    door = Admission[str](SMALL)
    for number in range(8):
        offer(door, QUIET, str(number), work=Work.QUERY, size_bytes=10_000)
    assert door.waiting == 8


def test_subscriptions_of_a_tenant_are_bounded() -> None:
    door = Admission[str](SMALL)
    for _ in range(2):
        door.subscribe(QUIET, 0.0)
    with pytest.raises(OverloadedError, match="2 subscriptions"):
        door.subscribe(QUIET, 0.0)
    door.unsubscribe(QUIET)
    door.subscribe(QUIET, 0.0)


def test_a_tenants_queue_is_bounded() -> None:
    door = Admission[str](SMALL)
    for number in range(8):
        offer(door, QUIET, str(number), work=Work.QUERY)
    with pytest.raises(OverloadedError, match="8 requests waiting") as raised:
        offer(door, QUIET, "9", work=Work.QUERY)
    assert raised.value.reason == "OVERLOADED"


def full_door(work: Work) -> Admission[str]:
    door = Admission[str](SMALL)
    for number in range(20):
        offer(door, f"tenants/eu/t{number}", str(number), work=work)
    return door


def test_on_a_full_node_the_newest_query_gives_way_to_a_command() -> None:
    door = full_door(Work.QUERY)
    assert offer(door, QUIET, "command") == ["19"]
    assert offer(door, QUIET, "command 2") == ["18"]
    assert door.waiting == 20
    assert set(drained(door)) == {*map(str, range(18)), "command", "command 2"}


@pytest.mark.parametrize(("waiting", "work"), [(Work.QUERY, Work.QUERY), (Work.COMMAND, Work.QUERY)])
def test_on_a_full_node_nothing_gives_way_to_a_query(waiting: Work, work: Work) -> None:
    door = full_door(waiting)
    with pytest.raises(OverloadedError, match="20 requests wait on this node"):
        offer(door, QUIET, "late", work=work)


def test_on_a_node_full_of_commands_a_command_is_refused() -> None:
    door = full_door(Work.COMMAND)
    with pytest.raises(OverloadedError):
        offer(door, QUIET, "late")
    assert (door.waiting, door.refused) == (20, 1)


def test_tenants_that_rest_are_forgotten() -> None:
    door = Admission[str](SMALL)
    for number in range(3 * REMEMBERED):
        offer(door, f"tenants/eu/t{number}", "x", now=float(number))
        door.next()
    assert door.tenants <= REMEMBERED + 1


def test_a_tenant_in_debt_is_not_forgotten() -> None:
    door = Admission[str](SMALL)
    offer(door, GREEDY, "x", size_bytes=2000)
    for number in range(50):
        offer(door, f"tenants/eu/t{number}", "x", now=0.1)
        door.next()
    with pytest.raises(OverloadedError):
        offer(door, GREEDY, "x", size_bytes=2000, now=0.1)


@settings(max_examples=100, deadline=None)
@given(st.integers(100, 1000), st.integers(1, 9), st.integers(0, 3))
def test_a_tenant_at_a_hundred_times_its_share_delays_each_other_one_by_a_turn(
    flood: int, others: int, done_before: int
) -> None:
    door = Admission[str](ROOMY)
    for number in range(flood):
        offer(door, GREEDY, f"g{number}")
    for _ in range(done_before):
        door.next()
    for number in range(others):
        offer(door, f"tenants/eu/t{number}", f"t{number}")
    first = [door.next() for _ in range(others + 1)]
    assert {f"t{number}" for number in range(others)} <= set(first)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "command", "query"]),
        st.integers(0, 4),
        st.integers(0, 3000),
        st.floats(0, 0.3),
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_bounds_hold_and_whatever_is_let_in_has_its_turn_or_is_given_back(
    steps: list[tuple[str, int, int, float]],
) -> None:
    door = Admission[str](SMALL)
    now, let_in, out, written = 0.0, set[str](), list[str](), dict[int, int]()
    for number, (what, tenant, size_bytes, pause_s) in enumerate(steps):
        now += pause_s
        item = f"{what} {number}"
        if what == "take":
            out += [taken] if (taken := door.next()) is not None else []
            continue
        work = Work.COMMAND if what == "command" else Work.QUERY
        try:
            gave_way = offer(door, f"t{tenant}", item, work=work, size_bytes=size_bytes, now=now)
        except OverloadedError:
            continue
        assert all(given_up.startswith("query") for given_up in gave_way), "a command that waits is never given up"
        let_in.add(item)
        out += gave_way
        written[tenant] = written.get(tenant, 0) + (work is Work.COMMAND)
        assert door.waiting <= SMALL.waiting_max
        assert written[tenant] <= SMALL.writes_burst + SMALL.writes_per_s * now + 1e-6
    out += drained(door)
    assert sorted(out) == sorted(let_in), "each exactly once"
    assert door.waiting == 0
