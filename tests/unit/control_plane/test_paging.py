"""Pages join up to the whole list, and a foreign token is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.paging import number_of, page, page_by_number, page_size, place_of, token
from core.errors import MalformedError


@given(items=st.lists(st.text(min_size=1), unique=True), size=st.integers(1, 7))
def test_pages_join_up_to_the_list(items: list[str], size: int) -> None:
    seen: list[str] = []
    page_token = ""
    while True:
        cut = page(items, size, page_token, lambda item: item)
        assert len(cut.items) <= size
        seen += cut.items
        page_token = cut.next_token
        if not page_token:
            break
    assert seen == items


@given(numbers=st.sets(st.integers(0, 50)), lost=st.sets(st.integers(0, 50)), size=st.integers(1, 7))
def test_pages_by_number_miss_nothing_that_stays(numbers: set[int], lost: set[int], size: int) -> None:
    first = page_by_number(sorted(numbers), size, "", int)
    seen, page_token = [*first.items], first.next_token
    while page_token:
        cut = page_by_number(sorted(numbers - lost), size, page_token, int)
        seen += cut.items
        page_token = cut.next_token
    assert sorted(set(seen)) == seen
    assert set(seen) >= numbers - lost


@given(place=st.text(min_size=1))
def test_a_token_names_its_place(place: str) -> None:
    assert place_of(token(place)) == place


@pytest.mark.parametrize("foreign", ["x", "!!", "ZnJhMQ", "cDE6/", "äöü"])
def test_a_foreign_token_is_malformed(foreign: str) -> None:
    with pytest.raises(MalformedError, match="next_page_token"):
        place_of(foreign)


def test_a_token_of_another_list_is_malformed() -> None:
    with pytest.raises(MalformedError, match="next_page_token"):
        page(["a", "b"], 1, token("z"), lambda item: item)
    with pytest.raises(MalformedError, match="next_page_token"):
        number_of(token("fra1"))


@pytest.mark.parametrize(
    ("asked", "got"),
    [pytest.param(0, 100, id="default"), pytest.param(7, 7, id="as asked"), pytest.param(5000, 1000, id="most")],
)
def test_a_page_size_is_bounded(asked: int, got: int) -> None:
    assert page_size(asked, default=100, most=1000) == got


def test_a_negative_page_size_is_malformed() -> None:
    with pytest.raises(MalformedError, match="page_size"):
        page_size(-1, default=100, most=1000)
