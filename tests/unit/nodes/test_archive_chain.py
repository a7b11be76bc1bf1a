"""Pieces of an archive fit together by their hashes; a state as of a time comes out of them as it was."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.assignments import Fence
from core.errors import DamagedError, NotFoundError, PositionGoneError
from nodes.apps.wire import Entry, entry_body
from nodes.archive import DamagedPieceError, Form, Piece, Sealed, checked, entries
from nodes.archive_aside import Aside
from nodes.archive_chain import Gap, Line, course_to, end_of, line_to, moment
from nodes.archive_heads import head_line, head_of
from nodes.ledger import Ledger, entry
from nodes.records import EMPTY, Generation, Record, Tip, tip_of
from nodes.restoring import exported
from tests.archived import FENCE, START_MS, bare, chained, sealed, sealed_state, talked
from tests.unit.nodes.test_ledger import ACME, SHARD, TABLE, WINDOW, Copy, create, post


def places(records: list[Record]) -> dict[int, Tip]:
    return {0: EMPTY, **{record.lsn: tip_of(record) for record in records}}


def line(records: list[Record], pieces: list[Piece]) -> Line:
    end = end_of(pieces, places(records).get)
    assert end is not None
    return line_to(end, pieces)


def state_at(records: list[Record], kept: list[Sealed], at_ms: int, tenant: str = ACME) -> Aside:
    """Rebuild a tenant from an archive alone, as a node does."""
    held = {it.piece.name: it for it in kept}
    course = course_to(at_ms, line(records, [it.piece for it in kept]))
    aside = Aside(SHARD, tenant, TABLE, at_ms=at_ms)
    if course.base is not None:
        for part in held[course.base.name].parts:
            aside.part(part)
        aside.begin(course.base.after)
    for piece in course.segments:
        aside.take(entries(piece, held[piece.name].parts))
    return aside


def test_pieces_that_continue_each_other_make_a_line_from_the_first_entry() -> None:
    records = bare(9)
    pieces = [sealed(records, first, first + 2).piece for first in (1, 4, 7)]
    assert line(records, pieces) == Line(EMPTY, tip_of(records[8]), tuple(pieces), ())


def test_what_a_lost_primary_alone_had_is_no_part_of_the_line() -> None:
    records = bare(6)
    lost = chained([b"lost"], tip=tip_of(records[3]))
    stale = replace(sealed(records, 4, 5).piece, after=tip_of(lost[0]))
    pieces = [sealed(records, 1, 3).piece, stale, sealed(records, 4, 6, fence=Fence(1, 2)).piece]
    assert line(records, pieces).steps == (pieces[0], pieces[2])


def test_an_archive_goes_on_where_it_and_the_live_journal_agree_last() -> None:
    records = bare(6)
    pieces = [sealed(records, 1, 3).piece, sealed(records, 4, 5).piece]
    assert end_of(pieces, places(records).get) == tip_of(records[4])
    assert end_of(pieces, places(records[:4]).get) == tip_of(records[2])
    assert end_of(pieces, places([]).get) is None


def test_where_entries_are_missing_the_snapshot_after_them_tells_what_came_before() -> None:
    _, records = talked([f"text {number}" for number in range(8)])
    old, new = sealed(records, 1, 3).piece, sealed(records, 7, 9).piece
    state = sealed_state(records, 6, archived_lsn=3).piece
    found = line(records, [old, new, state])
    assert found.steps == (old, Gap(tip_of(records[2]), tip_of(records[5])), new)


def test_what_another_fleet_left_in_the_same_place_is_no_part_of_the_line() -> None:
    _, records = talked([f"text {number}" for number in range(8)])
    _, others = talked([f"other {number}" for number in range(8)])
    new, state = sealed(records, 7, 9).piece, sealed_state(records, 6, archived_lsn=0).piece
    foreign = [sealed(others, 1, 5).piece, sealed_state(others, 5).piece]
    found = line(records, [*foreign, new, state])
    assert (found.start, found.steps, found.snapshots) == (tip_of(records[5]), (new,), (state,))


def test_a_time_in_a_gap_is_refused_and_says_which_times_can_be_had() -> None:
    _, records = talked([f"text {number}" for number in range(8)])
    kept = [sealed(records, 1, 3), sealed_state(records, 6, archived_lsn=3), sealed(records, 7, 9)]
    with pytest.raises(PositionGoneError, match="entries 4 to 6") as refused:
        state_at(records, kept, START_MS + 4000)
    below, above = moment(START_MS + 1999), moment(START_MS + 5000)
    assert f"choose {below} or earlier, {above} or later" in refused.value.message
    assert state_at(records, kept, START_MS + 1999).as_of_lsn == 2
    assert state_at(records, kept, START_MS + 5000).as_of_lsn == 6


def test_a_time_before_the_archive_begins_is_refused_and_says_when_it_does() -> None:
    _, records = talked([f"text {number}" for number in range(8)])
    kept = [sealed_state(records, 6), sealed(records, 7, 9)]
    with pytest.raises(PositionGoneError, match=f"begins at {moment(START_MS + 5000)}"):
        state_at(records, kept, START_MS + 4999)


def test_a_tenant_that_did_not_exist_yet_is_not_found() -> None:
    _, records = talked(["one"])
    with pytest.raises(NotFoundError, match="created after that time"):
        state_at(records, [sealed(records, 1, 2)], START_MS - 1).state()


def test_a_snapshot_of_another_journal_is_noticed_before_it_is_used() -> None:
    _, records = talked([f"text {number}" for number in range(8)])
    _, others = talked([f"other {number}" for number in range(8)])
    foreign = sealed_state(others, 5)
    with pytest.raises(DamagedError, match="of another journal"):
        state_at(records, [sealed(records, 1, 9), foreign], START_MS + 5000)


def test_a_missing_entry_is_noticed() -> None:
    _, records = talked(["one", "two", "three"])
    aside = Aside(SHARD, ACME, TABLE, at_ms=START_MS + 9000)
    aside.take(records[:2])
    with pytest.raises(DamagedError, match="is missing"):
        aside.take(records[3:])


cuts = st.lists(st.integers(1, 24), max_size=6, unique=True).map(sorted)


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(st.text(min_size=1, max_size=8), min_size=24, max_size=24),
    gaps_ms=st.lists(st.integers(0, 3), min_size=25, max_size=25),
    cut_lsns=cuts,
    state_lsns=cuts,
    offset_ms=st.integers(0, 40),
)
def test_the_state_as_of_a_time_is_that_of_the_last_entry_up_to_it(
    texts: list[str], gaps_ms: list[int], cut_lsns: list[int], state_lsns: list[int], offset_ms: int
) -> None:
    copy, at_ms = Copy(), START_MS
    copy.submit(create(), "create", at_ms=at_ms)
    other = "tenants/eu/other"
    copy.submit(create(), "create other", tenant=other, at_ms=at_ms)
    for number, (text, gap_ms) in enumerate(zip(texts, gaps_ms, strict=False)):
        at_ms += gap_ms
        copy.submit(post(text), f"r{number}", at_ms=at_ms, tenant=other if number % 3 == 0 else ACME)
    records = chained(copy.journal)
    ends = sorted({*cut_lsns, len(records)})
    starts = [1, *(end + 1 for end in ends[:-1])]
    kept = [sealed(records, first, last) for first, last in zip(starts, ends, strict=True)]
    kept += [sealed_state(records, lsn) for lsn in state_lsns]
    aside = state_at(records, kept, START_MS + offset_ms)

    expected = Ledger(SHARD, TABLE, WINDOW)
    for record in records:
        if entry(record.body).at_ms <= START_MS + offset_ms:
            expected.apply(record.lsn, record.body)
    assert aside.as_of_lsn == expected.applied_lsn
    assert list(exported(TABLE, aside.state())) == list(exported(TABLE, expected.held(ACME)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damaged_byte_of_a_piece_is_noticed(data: st.DataObject) -> None:
    _, records = talked(["one", "two", "three"])
    it = data.draw(st.sampled_from([sealed(records, 1, 4), sealed(records, 3, 4), sealed_state(records, 3)]))
    part = bytearray(it.parts[0])
    at = data.draw(st.integers(0, len(part) - 1))
    part[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedPieceError):
        checked(it.piece, [bytes(part)])
    if it.piece.form is Form.SEGMENT:
        # The chain notices by itself what a checksum that was made anew would not.
        with pytest.raises(DamagedPieceError):
            entries(it.piece, [bytes(part)])


@given(
    lsn=st.integers(0, 2**60),
    numbers=st.lists(st.integers(0, 2**60), min_size=8, max_size=8),
    hashed=st.binary(min_size=16, max_size=16),
    form=st.sampled_from(Form),
)
def test_a_head_is_read_as_it_was_written(lsn: int, numbers: list[int], hashed: bytes, form: Form) -> None:
    place = Tip(lsn, Generation(*numbers[:3]), hashed)
    piece = Piece(form, SHARD, Fence(*numbers[3:5]), EMPTY, place, numbers[5], numbers[6], numbers[7], hashed)
    assert head_of(head_line(piece)) == piece


def test_a_piece_is_named_by_what_is_in_it() -> None:
    body = entry_body(Entry(ACME, "chat", 1, "a", "r", bytes(16), START_MS, (), b""))
    one = sealed(chained([body]), 1, 1)
    assert one.piece.name == sealed(chained([body]), 1, 1).piece.name
    assert one.piece.name != sealed(chained([body], generation=Generation(1, 1, 2)), 1, 1).piece.name
    assert one.piece.sealed_by == FENCE
