"""Pages of a list, AIP-158: sizes within bounds, tokens that nobody outside needs to read."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import MalformedError

Item = TypeVar("Item")

_MARK = "p1:"
"""What every token starts with, so that a foreign one is noticed."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page, and where the next one starts; an empty token: this was the last."""

    items: tuple[Item, ...]
    next_token: str


def page_size(asked: int, *, default: int, most: int) -> int:
    """Bound a page's size.

    Args:
        asked: as the caller said; 0: the default.
        default: the size of a page when the caller does not care.
        most: the size that no page exceeds.

    Raises:
        MalformedError: it is negative.
    """
    if asked < 0:
        raise MalformedError("page_size", asked, expected=f"0 to {most}")
    return min(asked or default, most)


def token(place: str) -> str:
    """Write the token of the page that begins after a place."""
    return urlsafe_b64encode((_MARK + place).encode()).decode().rstrip("=")


def place_of(page_token: str) -> str:
    """Read the place after which a page begins; empty for the first page.

    Raises:
        MalformedError: no list of ours gave this token out.
    """
    if not page_token:
        return ""
    try:
        text = urlsafe_b64decode(page_token + "=" * (-len(page_token) % 4)).decode()
    except (Base64Error, UnicodeDecodeError, ValueError) as cause:
        raise _foreign(page_token) from cause
    if not text.startswith(_MARK):
        raise _foreign(page_token)
    return text.removeprefix(_MARK)


def number_of(page_token: str) -> int | None:
    """Read a place that is a number; None for the first page; raises MalformedError."""
    place = place_of(page_token)
    if place and not place.isdecimal():
        raise _foreign(page_token)
    return int(place) if place else None


def page(items: Sequence[Item], size: int, page_token: str, place: Callable[[Item], str]) -> Page[Item]:
    """Cut a page out of a list whose items keep their order between calls.

    Args:
        items: all of them.
        size: at most this many.
        page_token: of the page to cut; empty: the first.
        place: names an item; the list holds each name once.

    Raises:
        MalformedError: the token names an item that is not in the list, or none at all.
    """
    after = place_of(page_token)
    start = 0
    if after:
        names = [place(item) for item in items]
        if after not in names:
            raise _foreign(page_token)
        start = names.index(after) + 1
    cut = (*items[start : start + size],)
    more = start + size < len(items)
    return Page(cut, token(place(cut[-1])) if more else "")


def page_by_number(items: Sequence[Item], size: int, page_token: str, number: Callable[[Item], int]) -> Page[Item]:
    """Cut a page out of a list that ascends by number and may lose or gain items between calls.

    Raises:
        MalformedError: the token is not one of such a list.
    """
    after = number_of(page_token)
    left = [item for item in items if after is None or number(item) > after]
    cut = (*left[:size],)
    return Page(cut, token(str(number(cut[-1]))) if len(left) > size else "")


def _foreign(page_token: str) -> MalformedError:
    return MalformedError("page_token", page_token, expected="next_page_token of the page before, as it came")
