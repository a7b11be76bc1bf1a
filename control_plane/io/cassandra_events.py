"""Appends to and reads the audit journal in Cassandra."""

import asyncio
from collections.abc import Sequence

from control_plane.cassandra_events import (
    HEAD,
    PUT_HEAD,
    PUT_ROW,
    ROWS,
    SLOTS,
    Head,
    fitting,
    lap_of,
    laps_back,
    place_of,
    slot_of,
)
from control_plane.io.cassandra_link import CassandraLink
from control_plane.ports import FLEET, Applied, WriteAnswer
from control_plane.store_rules import EVENTS_KEPT, numbered, outdated
from core.errors import UnavailableError

_NOTHING = Head()


class CassandraEvents:
    """The journal; one append at a time.

    Args:
        link: the way to the tables.
    """

    def __init__(self, link: CassandraLink) -> None:
        self._link = link
        self._tail: Head | None = None
        self._turn = asyncio.Lock()

    async def append(self, term: int, bodies: Sequence[bytes]) -> WriteAnswer:
        """Number and keep events, unless the fleet's term has gone on.

        Those of a leader that was deposed this very moment may still come; they bear its term.
        """
        async with self._turn:
            stale = outdated(term, (await self._link.read(FLEET)).term)
            left = bodies
            while left and stale is None:
                tail = self._tail or await self._newest()
                stale = outdated(term, tail.term)
                if stale is None:
                    left = left[await self._put(term, tail, left) :]
            return stale or (Applied(),) * len(bodies)

    async def read(self, before_number: int | None, limit: int) -> Sequence[bytes]:
        """Read events, newest first, numbers filled in."""
        newest = (await self._newest()).last
        last = newest if before_number is None else min(newest, before_number - 1)
        first = max(0, newest - EVENTS_KEPT) + 1
        found: list[bytes] = []
        for lap in laps_back(last) if last >= first else ():
            rows = await self._link.ask(ROWS, (slot_of(lap),))
            own = {number: body for number, body in rows if number is not None and lap_of(number) == lap}
            found += [numbered(own[number], number) for number in sorted(own, reverse=True) if first <= number <= last]
            if len(found) >= limit or not own:
                break
        return found[:limit]

    async def _put(self, term: int, tail: Head, bodies: Sequence[bytes]) -> int:
        """Write what fits into one slot; returns how many: none if others were faster, or nothing is known of it."""
        first = tail.last + 1
        count, lap = fitting(first, bodies), lap_of(first)
        slot, last = slot_of(lap), tail.last + count
        base = tail if tail.lap == lap else await self._head(slot)
        if base.lap is not None and base.lap >= lap and base != tail:
            self._tail = None  # Somebody has begun the next slot already.
            return 0
        was = (base.lap, base.last or None, base.term or None)
        rows = [(PUT_ROW, (first + i, body, slot, place_of(first + i))) for i, body in enumerate(bodies[:count])]
        try:
            written = await self._link.put((PUT_HEAD, (lap, last, max(term, base.term), slot, *was)), *rows)
        except UnavailableError:
            written = await self._is_there(slot, first, bodies[:count])
        self._tail = Head(lap, last, max(term, base.term)) if written else None
        return count if written else 0

    async def _is_there(self, slot: int, first: int, bodies: Sequence[bytes]) -> bool:
        """Find out whether a write without an answer was applied; if its base stands, it is sent again."""
        rows: dict[int, bytes] = dict(await self._link.ask(ROWS, (slot,)))
        return all(rows.get(first + i) == body for i, body in enumerate(bodies))

    async def _newest(self) -> Head:
        """Find the slot that was written last: the laps rise along the ring, up to it."""
        tail = self._tail
        if tail is None or tail.lap is None or (await self._head(slot_of(tail.lap))).lap != tail.lap:
            tail = await self._searched()
        while tail.lap is not None:
            tail = await self._head(slot_of(tail.lap))
            assert tail.lap is not None, "a slot that was written does not become empty"
            following = await self._head(slot_of(tail.lap + 1)) if tail.is_full else _NOTHING
            if following.lap != tail.lap + 1:
                break
            tail = following
        self._tail = tail if tail.lap is not None else None
        return tail

    async def _searched(self) -> Head:
        first = await self._head(0)
        if first.lap is None:
            return _NOTHING
        low, high, found = 0, SLOTS, first
        while high - low > 1:
            middle = (low + high) // 2
            head = await self._head(middle)
            if head.lap == first.lap + middle:
                low, found = middle, head
            else:
                high = middle
        return found

    async def _head(self, slot: int) -> Head:
        rows = await self._link.ask(HEAD, (slot,))
        if not rows or rows[0][0] is None:
            return _NOTHING
        lap, last, term = rows[0]
        return Head(lap, last, term)
