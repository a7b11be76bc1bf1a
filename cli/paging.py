"""Lists that come in pages."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from cli.session import Method, Session

PAGE_MAX = 1000
"""What every server gives at least, when it has it."""


class PagedRequest(Protocol):
    """A request for a page (AIP-158)."""

    page_size: int
    page_token: str


class Page(Protocol):
    """A page."""

    next_page_token: str


Asked = TypeVar("Asked", bound=PagedRequest)
Got = TypeVar("Got", bound=Page)
Item = TypeVar("Item")


async def listed(
    session: Session, method: Method[Asked, Got], request: Asked, items: Callable[[Got], Iterable[Item]], *, limit: int
) -> list[Item]:
    """Read pages until there are enough items, or no more.

    Args:
        session: whom to ask.
        method: which list.
        request: what to list; its page size and token are overwritten.
        items: takes the items out of a page.
        limit: how many are enough.
    """
    found: list[Item] = []
    while len(found) < limit:
        request.page_size = min(limit - len(found), PAGE_MAX)
        page = await session.ask(method, request)
        found += items(page)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    return found[:limit]
