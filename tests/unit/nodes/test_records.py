"""The chain of a journal: whatever is altered, moved, left out or put in is found, and named by shard and lsn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DamagedError
from nodes.apps.wire import Entry, entry_body, entry_of
from nodes.records import EMPTY, Generation, Record, Tip, following, tip_of, verify

SHARD = 7
GENERATIONS = st.builds(Generation, st.integers(1, 9), st.integers(1, 1 << 40), st.integers(0, 1 << 20))
DECIDED = st.lists(st.tuples(GENERATIONS, st.binary(max_size=40)), min_size=1, max_size=12)
TEXTS = st.text(max_size=12)
ENTRIES = st.builds(
    Entry,
    TEXTS,
    TEXTS,
    st.integers(0, 1 << 31),
    TEXTS,
    TEXTS,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 1 << 50),
    st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    st.binary(max_size=20),
)


def chained(decided: list[tuple[Generation, bytes]], after: Tip = EMPTY) -> list[Record]:
    records: list[Record] = []
    tip = after
    for generation, body in decided:
        records.append(following(tip, generation, body))
        tip = tip_of(records[-1])
    return records


@given(DECIDED, st.data())
def test_a_whole_chain_verifies_from_any_place_in_it(
    decided: list[tuple[Generation, bytes]], data: st.DataObject
) -> None:
    records = chained(decided)
    start = data.draw(st.integers(0, len(records)))
    tip = tip_of(records[start - 1]) if start else EMPTY
    assert verify(SHARD, tip, records[start:]) == tip_of(records[-1])


@given(DECIDED, st.data())
def test_a_flipped_bit_is_found_at_its_place(decided: list[tuple[Generation, bytes]], data: st.DataObject) -> None:
    records = chained(decided)
    place = data.draw(st.integers(0, len(records) - 1))
    hit = records[place]
    where = data.draw(st.sampled_from(["body", "hash", *Generation._fields]))
    records[place] = flipped(hit, where, data.draw(st.integers(0, 7)))
    if records[place] == hit:
        return
    with pytest.raises(DamagedError) as found:
        verify(SHARD, EMPTY, records)
    assert (found.value.facts["shard"], found.value.facts["lsn"]) == (str(SHARD), str(place + 1))


@given(DECIDED.filter(lambda decided: len(decided) > 2), st.data())
def test_a_record_left_out_or_moved_is_found(decided: list[tuple[Generation, bytes]], data: st.DataObject) -> None:
    records = chained(decided)
    place = data.draw(st.integers(0, len(records) - 2))
    without = records[:place] + records[place + 1 :]
    swapped = [*records]
    swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    for wrong in (without, swapped):
        with pytest.raises(DamagedError):
            verify(SHARD, EMPTY, wrong)


@given(DECIDED, DECIDED)
def test_two_journals_that_differ_never_meet_again(
    decided: list[tuple[Generation, bytes]], others: list[tuple[Generation, bytes]]
) -> None:
    """Equal hashes at a place say that everything before it is equal: what finding a common entry rests on (I8)."""
    mine, theirs = chained(decided), chained(others)
    for place, (own, other) in enumerate(zip(mine, theirs, strict=False)):
        assert (own.hash == other.hash) == (mine[: place + 1] == theirs[: place + 1])


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was_written(entry: Entry) -> None:
    assert entry_of(entry_body(entry)) == entry


def flipped(record: Record, where: str, bit: int) -> Record:
    """Change one bit of a record, if there is one to change."""
    if where in Generation._fields:
        number = getattr(record.generation, where) ^ (1 << bit)
        return record._replace(generation=record.generation._replace(**{where: number}))
    held = bytearray(record.body if where == "body" else record.hash)
    if held:
        held[bit % len(held)] ^= 1 << bit
    return record._replace(body=bytes(held)) if where == "body" else record._replace(hash=bytes(held))
