"""The retry index of one tenant: what a request id was answered with, so that it takes effect at most once (I10).

Part of the state that the journal makes: filled and evicted in ``apply`` only, by the journal's own time, so that every
copy holds the same.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from core.errors import RequestTooOldError
from nodes.apps.wire import Answers, Entry, Recorded

_FIXED = Struct("<QQ16sB")
_ITEM_BYTES = 128 * 1024
_RECORD_OVERHEAD_BYTES = 128
_UUID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class RetryWindow:
    """How long a retry is recognised."""

    window_ms: int
    """Of the journal's time."""
    kept_min: int
    """At least the last so many of an actor, however old."""


USUAL_WINDOW = RetryWindow(window_ms=3_600_000, kept_min=1_000)


def body_hash(type_name: str, body: bytes) -> bytes:
    """Sum up what was asked for; 16 bytes."""
    return blake2b(b"%b\0%b" % (type_name.encode(), body), digest_size=16).digest()


def refuse_if_too_old(request_id: str, *, at_ms: int, window: RetryWindow) -> None:
    """Refuse a dated request id (UUID, version 7) from before the window: its answer may have been evicted.

    Raises:
        RequestTooOldError: it may have taken effect already, or not; nobody knows any more.
    """
    if len(request_id) != _UUID_LENGTH or request_id[14] != "7":
        return
    try:
        made_at_ms = int(request_id[:8] + request_id[9:13], 16)
    except ValueError:
        return
    if at_ms - made_at_ms > window.window_ms:
        raise RequestTooOldError(
            f"request id {request_id!r} is {(at_ms - made_at_ms) // 1000} s old, and retries are recognised for "
            f"{window.window_ms // 1000} s: read whether it took effect, and use a fresh id to ask again",
            request_id=request_id,
        )


class _Actor:
    """One actor's answers, oldest first; packed, so that the garbage collector has nothing to walk through."""

    __slots__ = ("answers", "oldest_ms", "order")

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.order: deque[str] = deque()
        self.oldest_ms = 0
        """When the first in ``order`` was answered."""

    def add(self, request_id: str, packed: bytes, at_ms: int) -> None:
        if not self.order:
            self.oldest_ms = at_ms
        self.answers[request_id] = packed
        self.order.append(request_id)

    def evict(self, *, before_ms: int, kept_min: int) -> None:
        order, answers = self.order, self.answers
        while self.oldest_ms < before_ms and len(order) > kept_min:
            del answers[order.popleft()]
            self.oldest_ms = _at_ms(answers[order[0]]) if order else before_ms


class Retries:
    """The index: by actor and request id."""

    __slots__ = ("_actors", "_turns")

    def __init__(self) -> None:
        self._actors: dict[str, _Actor] = {}
        self._turns: deque[str] = deque()

    def find(self, actor: str, request_id: str) -> Recorded | None:
        """Look a request up."""
        known = self._actors.get(actor)
        if known is None:
            return None
        packed = known.answers.get(request_id)
        return None if packed is None else _unpacked(packed)

    def add(self, lsn: int, entry: Entry, window: RetryWindow) -> None:
        """Keep an entry's answer, and evict what has left the window: this actor's, and in turn another one's."""
        _, app, _, actor, request_id, hashed, at_ms, _, answer = entry
        known = self._actors.get(actor) or self._fresh(actor)
        name = app.encode()
        known.add(request_id, _FIXED.pack(lsn, at_ms, hashed, len(name)) + name + answer, at_ms)
        before_ms = at_ms - window.window_ms
        if known.oldest_ms < before_ms:
            known.evict(before_ms=before_ms, kept_min=window.kept_min)
        if len(self._turns) > 1:
            self._turns.rotate(-1)
            other = self._actors[self._turns[0]]
            if other.oldest_ms < before_ms:
                other.evict(before_ms=before_ms, kept_min=window.kept_min)

    def items(self) -> Iterator[Answers]:
        """Write the index as it is now; later changes don't show."""
        known = [(actor, self._actors[actor].answers) for actor in self._turns]
        return _items([(actor, tuple(answers), tuple(answers.values())) for actor, answers in known])

    def load(self, item: Answers) -> None:
        """Take an item that ``items`` wrote; in the same order."""
        known = self._actors.get(item.actor) or self._fresh(item.actor)
        for request_id, packed in zip(item.request_ids, item.packed, strict=True):
            known.add(request_id, packed, _at_ms(packed))

    def _fresh(self, actor: str) -> _Actor:
        known = self._actors[actor] = _Actor()
        self._turns.append(actor)
        return known


def _items(frozen: list[tuple[str, tuple[str, ...], tuple[bytes, ...]]]) -> Iterator[Answers]:
    for actor, request_ids, packed in frozen:
        start = size = 0
        for end, one in enumerate(packed):
            if size > _ITEM_BYTES:
                yield Answers(actor, request_ids[start:end], packed[start:end])
                start, size = end, 0
            size += len(one) + _RECORD_OVERHEAD_BYTES
        yield Answers(actor, request_ids[start:], packed[start:])


def _unpacked(packed: bytes) -> Recorded:
    lsn, at_ms, hashed, length = _FIXED.unpack_from(packed)
    start = _FIXED.size + length
    return Recorded(lsn, at_ms, hashed, packed[_FIXED.size : start].decode(), packed[start:])


def _at_ms(packed: bytes) -> int:
    return int.from_bytes(packed[8:16], "little")
