"""The leader's small records: written, read by the next leader, versioned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.books import (
    Book,
    Cordon,
    Evacuation,
    Halt,
    Homecoming,
    OperationBook,
    Resume,
    Shelf,
    body_of,
    book_of,
    closed,
    key_of,
)
from control_plane.ports import Doc
from core.errors import MalformedError
from core.names import DcId, GeographyId, NodeId, ShardId

FRA = DcId("fra1")
EVACUATION = Evacuation("fra1-1", FRA, None, GeographyId("eu"), True, 5, 4, ("7 of 8 observers miss fra1-c1",))
BOOKS: list[Book] = [
    EVACUATION,
    Evacuation("fra1-c1-1", FRA, NodeId("fra1-c1"), GeographyId("eu"), False, 5, 4, ()),
    Cordon(FRA, 7, "users/ada", "work on the power"),
    Homecoming(FRA, 7, 10_007),
    Halt(None, 8, ("two data centers look dead",)),
    Halt(GeographyId("eu"), 8, ()),
    Resume(9, "users/ada", "seen"),
    OperationBook("drain-fra1-1", "drain", FRA, None, 12, 5, "users/ada", "", "id"),
    OperationBook("switchover-3-1", "switchover", None, ShardId(3), 1, 5, "users/ada", "", "id", base_epoch=4),
]


@pytest.mark.parametrize("book", BOOKS, ids=key_of)
def test_a_book_is_read_as_it_was_written(book: Book) -> None:
    assert book_of(Doc(key_of(book), 1, body_of(book))) == book


def test_keys_are_all_different() -> None:
    assert len({key_of(book) for book in BOOKS}) == len(BOOKS)


def test_a_deleted_book_is_none() -> None:
    assert book_of(Doc("cordons/fra1", 2, b"")) is None


def test_a_kind_that_only_a_newer_leader_knows_is_passed_over() -> None:
    assert book_of(Doc("futures/1", 1, b"{}")) is None


def test_a_field_that_a_newer_leader_added_is_passed_over() -> None:
    body = body_of(BOOKS[2]).replace(b"{", b'{"color":"red",', 1)
    assert book_of(Doc("cordons/fra1", 1, body)) == BOOKS[2]


@pytest.mark.parametrize("body", [b"\xff", b"[1]", b"{}", b"null"], ids=repr)
def test_a_damaged_book_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        book_of(Doc("cordons/fra1", 1, body))


def test_a_shelf_writes_the_next_version_and_forgets_what_was_deleted() -> None:
    shelf, cordon = Shelf(), Cordon(FRA, 7, "users/ada", "")
    shelf.seen(shelf.next(cordon))
    assert shelf.cordoned() == {FRA}
    gone = shelf.gone(cordon)
    assert gone.version == 2
    shelf.seen(gone)
    assert shelf.cordoned() == frozenset()
    assert shelf.next(cordon).version == 3


def test_an_open_evacuation_holds_its_data_center_lost_until_it_is_closed() -> None:
    shelf = Shelf()
    shelf.seen(shelf.next(EVACUATION))
    assert shelf.lost_dcs() == {FRA}
    shelf.seen(shelf.next(closed(EVACUATION, 9)))
    assert shelf.lost_dcs() == frozenset()
    assert len(shelf.evacuations(open_only=False)) == 1


@given(st.permutations([1, 2, 3, 4]))
def test_an_older_version_never_replaces_a_newer_one(order: list[int]) -> None:
    shelf = Shelf()
    for version in order:
        shelf.seen(Doc("cordons/fra1", version, body_of(Cordon(FRA, version, "users/ada", ""))))
    assert [cordon.since_ms for cordon in shelf.all(Cordon)] == [4]
