"""Laws of ``legal_successor``: C2 to C6, residency, and the two-data-center rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.assignments import (
    Add,
    Assignment,
    Cancel,
    Change,
    Copy,
    Evict,
    Fence,
    Leader,
    Operator,
    Override,
    Promote,
    Proposer,
    Swap,
    Switchover,
    first_assignment,
    fits_base,
    legal_successor,
    successor,
)
from core.errors import ConflictError, MalformedError, RefusedBySafetyError, StaleEpochError
from core.fleet_map import residency
from core.names import CopyId, NodeId, ShardId, dc_of
from core.topology import Kind
from tests.unit.core.fleets import two_geographies

GEOGRAPHY_OF = residency(two_geographies()).__getitem__
EU = tuple(Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.0")) for dc in ("ber1", "ams1", "fra1"))
OTHER_DISK = Copy(NodeId("ber1-c1"), CopyId("ber1.1"))
ABROAD = Copy(NodeId("iad1-c1"), CopyId("iad1.0"))
SYNC = Assignment(ShardId(1), Kind.COLLAB, 1, 7, EU[0], EU[1])
SOLO = replace(SYNC, standby=None)

copies = st.sampled_from([*EU, OTHER_DISK, ABROAD])
changes = st.one_of(
    st.just(Evict()), st.just(Promote()), st.just(Switchover()), st.just(Cancel()),
    st.builds(Add, copies), st.builds(Swap, copies, copies), st.builds(Override, copies, st.just("token")),
)  # fmt: skip
proposers = st.one_of(copies, st.just(Leader()), st.builds(Operator, st.sampled_from(["token", "other"])))
records = st.builds(
    Assignment,
    st.just(ShardId(1)),
    st.just(Kind.COLLAB),
    st.integers(1, 2),
    st.integers(6, 9),
    copies,
    st.one_of(st.none(), copies),
)


def judge(old: Assignment, new: Assignment, change: Change, proposer: Proposer) -> bool:
    try:
        legal_successor(old, new, change, proposer=proposer, geography_of=GEOGRAPHY_OF)
    except (RefusedBySafetyError, StaleEpochError, MalformedError):
        return False
    return True


@given(old=st.sampled_from([SYNC, SOLO]), new=records, change=changes, proposer=proposers)
def test_whatever_is_accepted_keeps_the_guarantees_of_the_store(
    old: Assignment, new: Assignment, change: Change, proposer: Proposer
) -> None:
    if not judge(old, new, change, proposer):
        return
    assert new.fence > old.fence, "C2"
    if not isinstance(change, Override):
        assert new.primary in old.in_sync, "C3, I2"
    if not isinstance(change, Add | Swap | Override):
        assert set(new.in_sync) <= set(old.in_sync), "C4"
    if isinstance(change, Promote):
        assert new.in_sync == (new.primary,), "C5"
        assert proposer == Leader()
    if isinstance(change, Override):
        assert new.incarnation == old.incarnation + 1, "C6"
        assert proposer == Operator("token")
    if not old.solo and isinstance(change, Swap | Switchover | Cancel):
        assert not new.solo, "I13"
    dcs = [dc_of(copy.node) for copy in new.in_sync]
    assert len(set(dcs)) == len(dcs)
    assert {GEOGRAPHY_OF(dc) for dc in dcs} == {"eu"}


LEGAL = [
    pytest.param(SYNC, Evict(), SYNC.primary, id="evict"),
    pytest.param(SOLO, Add(EU[2]), SOLO.primary, id="add"),
    pytest.param(SYNC, Swap(EU[1], EU[2]), SYNC.primary, id="swap"),
    pytest.param(SYNC, Promote(), Leader(), id="promote"),
    pytest.param(SYNC, Switchover(), SYNC.primary, id="switchover"),
    pytest.param(SYNC, Cancel(), SYNC.primary, id="cancel"),
    pytest.param(SOLO, Override(EU[1], "token"), Operator("token"), id="override"),
]


@pytest.mark.parametrize(("old", "change", "proposer"), LEGAL)
def test_every_change_has_a_legal_form(old: Assignment, change: Change, proposer: Proposer) -> None:
    assert judge(old, successor(old, change, reason="test"), change, proposer)


@pytest.mark.parametrize(("old", "change", "proposer"), LEGAL)
def test_nobody_else_may_propose_it(old: Assignment, change: Change, proposer: Proposer) -> None:
    new = successor(old, change, reason="test")
    everybody: list[Proposer] = [*EU, Leader(), Operator("other")]
    others = [other for other in everybody if other != proposer]
    assert not any(judge(old, new, change, other) for other in others)


def test_a_standby_in_the_primarys_data_center_is_refused() -> None:
    assert not judge(SOLO, successor(SOLO, Add(OTHER_DISK), reason=""), Add(OTHER_DISK), SOLO.primary)


def test_a_standby_outside_the_geography_is_refused() -> None:
    assert not judge(SOLO, successor(SOLO, Add(ABROAD), reason=""), Add(ABROAD), SOLO.primary)


@pytest.mark.parametrize(
    ("stale", "token"),
    [
        pytest.param(ABROAD, "token", id="to another geography"),
        pytest.param(OTHER_DISK, "token", id="to the data center that is gone"),
        pytest.param(EU[1], " ", id="by nobody"),
    ],
)
def test_an_override_is_refused(stale: Copy, token: str) -> None:
    change = Override(stale, token)
    assert not judge(SOLO, successor(SOLO, change, reason=""), change, Operator(token))


def test_a_shard_starts_in_sync_in_two_data_centers() -> None:
    first_assignment(replace(SYNC, epoch=1), geography_of=GEOGRAPHY_OF)
    for wrong in (SYNC, replace(SYNC, epoch=1, standby=None), replace(SYNC, epoch=1, standby=OTHER_DISK)):
        with pytest.raises(RefusedBySafetyError):
            first_assignment(wrong, geography_of=GEOGRAPHY_OF)


def test_a_change_on_another_base_is_a_conflict() -> None:
    fits_base(SYNC, Fence(1, 7))
    for current, base in ((SYNC, Fence(1, 6)), (None, Fence(1, 7))):
        with pytest.raises(ConflictError, match="read it again"):
            fits_base(current, base)
