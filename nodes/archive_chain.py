"""How the pieces of a shard's archive fit together, and which of them lead to the state as of a time.

A piece is taken for a part of the live journal only if the chain of hashes leads from it to a place that the live
journal holds. Where entries are missing, the snapshot after them names the place before them: whoever sealed it had
both in one journal.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from core.errors import PositionGoneError
from nodes.archive import Form, Piece
from nodes.records import Tip

PlaceOf: TypeAlias = Callable[[int], Tip | None]
"""Looks a place of the live journal up; None: not in it, or no longer kept one by one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries that the archive does not have: those after one place, up to and including another."""

    before: Tip
    after: Tip


@dataclass(frozen=True, slots=True)
class Line:
    """What the archive holds of one journal, oldest first; where it begins, and up to where it reaches."""

    start: Tip
    """Everything after it is there, gaps apart; the first place of all: from the first entry on."""
    end: Tip
    steps: tuple[Piece | Gap, ...]
    snapshots: tuple[Piece, ...]
    """Ascending by place."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a state is rebuilt: from a snapshot, or from nothing, then entry by entry."""

    base: Piece | None
    segments: tuple[Piece, ...]
    beyond: bool
    """What follows was decided after the time; else it goes on where the archive ends."""


def end_of(pieces: Iterable[Piece], place_of: PlaceOf) -> Tip | None:
    """Find the last place that both an archive and the live journal hold; None: there is none."""
    lsns = sorted({piece.after.lsn for piece in pieces}, reverse=True)
    held = {piece.after for piece in pieces}
    return next((place for place in map(place_of, lsns) if place in held), None)


def line_to(end: Tip, pieces: Sequence[Piece]) -> Line:
    """Follow the chain back from a place of the live journal, through all that the archive has of the shard."""
    longest_last = sorted(pieces, key=lambda piece: -piece.before.lsn)
    segments = {piece.after: piece for piece in longest_last if piece.form is Form.SEGMENT}
    gaps = {piece.after: piece.before for piece in longest_last if _bridges(piece)}
    place, steps = end, list[Piece | Gap]()
    while place.lsn > 0:
        segment = segments.get(place)
        if segment is not None:
            steps.append(segment)
            place = segment.before
            continue
        below = gaps.get(place)
        if below is None:
            break
        steps.append(Gap(below, place))
        place = below
    return Line(place, end, tuple(reversed(steps)), _snapshots(pieces, steps, place))


def course_to(at_ms: int, line: Line) -> Course:
    """Choose what to read for the state as of a time; the line must hold an entry after it, or end at it.

    Raises:
        PositionGoneError: the time lies before the line's start, or in a gap; says which times can be had.
    """
    fit = [piece for piece in line.snapshots if piece.last_at_ms <= at_ms]
    base = fit[-1] if fit else None
    if base is None and line.start.lsn > 0:
        raise _too_early(line)
    from_lsn = 0 if base is None else base.after.lsn
    segments, beyond = list[Piece](), False
    for step in line.steps:
        if isinstance(step, Gap):
            if step.after.lsn > from_lsn:
                raise _in_a_gap(step, line)
        elif step.after.lsn > from_lsn:
            beyond = step.last_at_ms > at_ms
            if step.first_at_ms <= at_ms or step.before.lsn < from_lsn:
                segments.append(step)
        if beyond:
            break
    return Course(base, tuple(segments), beyond)


def moment(at_ms: int) -> str:
    """Show milliseconds since 1970 as a moment, in the form that the command line takes."""
    at = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def _bridges(piece: Piece) -> bool:
    return piece.form is Form.SNAPSHOT and 0 < piece.before.lsn < piece.after.lsn


def _snapshots(pieces: Iterable[Piece], steps: Iterable[Piece | Gap], start: Tip) -> tuple[Piece, ...]:
    """List the snapshots that stand on a line: at a known place of it, or within a segment, which tells when read."""
    places = {start, *(step.before for step in steps), *(step.after for step in steps)}
    spans = [(step.before.lsn, step.after.lsn) for step in steps if isinstance(step, Piece)]

    def stands(tip: Tip) -> bool:
        return tip in places or any(first < tip.lsn < last for first, last in spans)

    found = [piece for piece in pieces if piece.form is Form.SNAPSHOT and stands(piece.after)]
    return tuple(sorted(found, key=lambda piece: piece.after.lsn))


def _too_early(line: Line) -> PositionGoneError:
    known = [piece.last_at_ms for piece in line.snapshots]
    if not known:
        return PositionGoneError(
            "the archive has no snapshot of this shard yet, and not its first entries: choose a later time"
        )
    return PositionGoneError(f"the archive of this shard begins at {moment(known[0])}: choose that time or a later one")


def _in_a_gap(gap: Gap, line: Line) -> PositionGoneError:
    below = [step.last_at_ms for step in line.steps if isinstance(step, Piece) and step.after.lsn <= gap.before.lsn]
    above = [piece.last_at_ms for piece in line.snapshots if piece.after.lsn >= gap.after.lsn]
    times = [f"{moment(below[-1] - 1)} or earlier"] if below else []  # more of that millisecond may be missing
    times += [f"{moment(above[0])} or later"] if above else []
    return PositionGoneError(
        f"entries {gap.before.lsn + 1} to {gap.after.lsn} of this shard are not in the archive: choose "
        + (", ".join(times) or "a later time")
    )
