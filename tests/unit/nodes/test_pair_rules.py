"""The judgements that a pair's safety rests on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.assignments import Assignment, Copy
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from nodes.pair_rules import Rules, common_lsn
from nodes.ports import Intent, Span
from nodes.records import EMPTY, Generation, Record, Tip, following, tip_of

A, B, C = (Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.1")) for dc in ("fra1", "ams1", "waw1"))
SYNC = Assignment(ShardId(7), Kind.COLLAB, 1, 4, A, B)
SOLO = Assignment(ShardId(7), Kind.COLLAB, 1, 4, A, None)
ADD, SWAP = Intent("add", 1, 4, C, 9), Intent("swap", 1, 4, C, 9)
DRAIN = Intent("drain", 1, 4, None, 9)


@pytest.mark.parametrize(
    ("assignment", "intents", "needed"),
    [
        pytest.param(SYNC, (), (B,), id="SYNC needs the standby"),
        pytest.param(SOLO, (), (), id="SOLO needs nobody"),
        pytest.param(SOLO, (ADD,), (C,), id="ADD in flight needs the learner too"),
        pytest.param(SYNC, (SWAP,), (B, C), id="SWAP in flight needs both"),
        pytest.param(SYNC, (DRAIN,), (B,), id="DRAIN needs the standby"),
    ],
)
def test_both_assignments_are_satisfied_while_a_change_is_in_flight(
    assignment: Assignment, intents: tuple[Intent, ...], needed: tuple[Copy, ...]
) -> None:
    assert Rules().acknowledgers(assignment, intents) == needed
    assert Rules().grantors(assignment, intents) == needed


@given(st.integers(0, 99), st.lists(st.integers(-1, 99), max_size=3))
def test_nothing_is_committed_beyond_anybodys_disk(durable: int, acked: list[int]) -> None:
    lsn = Rules().committed_lsn(durable, acked)
    assert lsn <= durable
    assert all(lsn <= other for other in acked)


def journal(generations: list[int]) -> list[Record]:
    """Write one entry per generation number given."""
    records: list[Record] = []
    tip = EMPTY
    for number in generations:
        records.append(following(tip, Generation(1, number, 0), b"%d" % len(records)))
        tip = tip_of(records[-1])
    return records


def spans_of(records: list[Record], floor: int) -> list[Span]:
    found: list[Span] = []
    for record in records[floor:]:
        if not found or found[-1].generation != record.generation:
            found.append(Span(record.generation, record.lsn))
    return found


def place(records: list[Record], lsn: int) -> Tip:
    return tip_of(records[lsn - 1]) if lsn else EMPTY


prefixes = st.lists(st.integers(1, 3), max_size=6).map(sorted)


@given(prefix=prefixes, mine=st.integers(0, 4), theirs=st.integers(0, 4), data=st.data())
def test_the_common_place_is_where_two_journals_part(
    prefix: list[int], mine: int, theirs: int, data: st.DataObject
) -> None:
    """Suffixes of different generations; each side may have a snapshot of the common part."""
    own, other = journal(prefix + [10] * mine), journal(prefix + [20] * theirs)
    own_floor, other_floor = (data.draw(st.integers(0, len(prefix))) for _ in range(2))
    found = common_lsn(
        spans=spans_of(own, own_floor),
        tip=place(own, len(own)),
        floor=place(own, own_floor),
        their_spans=spans_of(other, other_floor),
        their_tip=place(other, len(other)),
        their_floor=place(other, other_floor),
    )
    if found is not None:
        assert place(own, found) == place(other, found)
        assert found >= own_floor
    if own_floor == other_floor == 0:
        assert found == len(prefix)


def test_a_suffix_that_an_override_gave_up_is_in_no_common_part() -> None:
    """Epochs grow on across incarnations, and neither counts alone: (1, 6) and (2, 6) are two journals."""
    prefix = journal([4, 4, 4])
    lost, kept = prefix[:], prefix[:]
    for suffix, incarnation in ((lost, 1), (kept, 2)):
        suffix.append(following(tip_of(prefix[-1]), Generation(incarnation, 6, 0), b"%d" % incarnation))
    found = common_lsn(
        spans=spans_of(kept, 0),
        tip=place(kept, 4),
        floor=EMPTY,
        their_spans=spans_of(lost, 0),
        their_tip=place(lost, 4),
        their_floor=EMPTY,
    )
    assert found == 3


def test_nothing_in_common_above_the_snapshot_means_a_snapshot() -> None:
    own = journal([1, 1, 2, 2])
    found = common_lsn(
        spans=spans_of(own, 3),
        tip=place(own, 4),
        floor=place(own, 3),
        their_spans=(),
        their_tip=EMPTY,
        their_floor=EMPTY,
    )
    assert found is None
