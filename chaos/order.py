"""The order of one channel's operations: exact, without a search.

Posts and reads name positions, so the one order in which they can have taken place is known up to reads of one
length. It is possible exactly when no operation that must come earlier began after a later one had ended.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chaos.judgement import Finding, Law

NEVER_NS = 2**63
"""The end of an operation that may still take effect."""


@dataclass(frozen=True, slots=True)
class Span:
    """When an operation took place, and which line says so."""

    seq: int
    """Of a post, its position; of a read, how many posts the channel had."""
    invoked_ns: int
    ended_ns: int
    line: int


_NOTHING = Span(0, 0, NEVER_NS, 0)


def _end(span: Span) -> int:
    return span.ended_ns


def disorder(posts: Sequence[Span], reads: Sequence[Span]) -> Iterator[Finding]:
    """Yield every operation that began after one had ended that must come later, from the longest channel down."""
    ordered = sorted(posts, key=lambda span: -span.seq)
    later_post = later_read = _NOTHING
    place = 0
    for group in _by_length(reads):
        while place < len(ordered) and ordered[place].seq > group[0].seq:
            yield from _post_disorder(ordered[place], later_post, later_read)
            later_post = min(later_post, ordered[place], key=_end)
            place += 1
        for read in group:
            yield from _read_disorder(read, later_post, later_read)
        later_read = min(later_read, *group, key=_end)
    for post in ordered[place:]:
        yield from _post_disorder(post, later_post, later_read)
        later_post = min(later_post, post, key=_end)


def _post_disorder(post: Span, later_post: Span, later_read: Span) -> Iterator[Finding]:
    if later_post.ended_ns < post.invoked_ns:
        complaint = f"{later_post.seq} was acknowledged before {post.seq} began"
        yield Finding(Law.ORDER, (later_post.line, post.line), complaint)
    if later_read.ended_ns < post.invoked_ns:
        yield Finding(Law.FUTURE, (later_read.line, post.line), f"the read ended before post {post.seq} began")


def _read_disorder(read: Span, later_post: Span, later_read: Span) -> Iterator[Finding]:
    if later_post.ended_ns < read.invoked_ns:
        complaint = f"shows {read.seq} posts, post {later_post.seq} had been acknowledged before it began"
        yield Finding(Law.STALE, (later_post.line, read.line), complaint)
    if later_read.ended_ns < read.invoked_ns:
        complaint = f"shows {read.seq} posts, an earlier read had shown {later_read.seq}"
        yield Finding(Law.MONOTONIC, (later_read.line, read.line), complaint)


def _by_length(reads: Sequence[Span]) -> Iterator[list[Span]]:
    group: list[Span] = []
    for read in sorted(reads, key=lambda span: -span.seq):
        if group and group[0].seq != read.seq:
            yield group
            group = []
        group.append(read)
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class Window:
    """What a read covers: positions ``first`` to ``span.seq``."""

    first: int
    span: Span


@dataclass(frozen=True, slots=True)
class Later:
    """What the reads that began after a post's acknowledgement say of its position."""

    covered: bool
    lacking: int | None
    """The line of a read whose channel was too short to hold it."""


def afterwards(posts: Sequence[Span], windows: Sequence[Window]) -> Iterator[tuple[Span, Later]]:
    """Pair each acknowledged post with what the reads begun after its acknowledgement say of it.

    One sweep back in time paints the positions that reads cover; it costs no more than the reads are long.
    """
    top = max((window.span.seq for window in windows), default=0)
    painted = bytearray(top + 1)
    shortest: Span | None = None
    latest = sorted(windows, key=lambda window: -window.span.invoked_ns)
    place = 0
    for post in sorted(posts, key=lambda span: -span.ended_ns):
        while place < len(latest) and latest[place].span.invoked_ns > post.ended_ns:
            first, span = latest[place].first, latest[place].span
            painted[first : span.seq + 1] = b"\1" * (span.seq + 1 - first)
            shortest = span if shortest is None or span.seq < shortest.seq else shortest
            place += 1
        lacking = shortest.line if shortest is not None and shortest.seq < post.seq else None
        yield post, Later(covered=post.seq <= top and painted[post.seq] == 1, lacking=lacking)


def filled(known: Sequence[Span], free: Sequence[Span], *, top: int, is_shown: Callable[[int], bool]) -> list[Span]:
    """Place posts of unknown outcome where a channel must have a post that nothing names.

    Args:
        known: posts whose position is known.
        free: posts of unknown outcome that no read shows, their ``seq`` without meaning.
        top: how long the channel has been seen.
        is_shown: whether a read showed a position.

    Returns:
        The placed ones. The earliest begun go first: if any choice fits, this one does. Fewer than the empty
        positions: no post can stand at the rest.
    """
    taken = {span.seq for span in known}
    empty = (seq for seq in range(1, top + 1) if seq not in taken and not is_shown(seq))
    earliest = sorted(free, key=lambda span: span.invoked_ns)
    return [Span(seq, span.invoked_ns, NEVER_NS, span.line) for seq, span in zip(empty, earliest, strict=False)]
