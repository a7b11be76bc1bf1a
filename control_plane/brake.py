"""The brake: how much may be declared lost automatically before a person must look (DESIGN.md section 6).

It counts the evacuation records in the store, so it survives a change of leader. Only automatic ones count, and only
those with something to bring back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from control_plane.books import Evacuation, Halt, Resume
from core.names import DcId, GeographyId

DC_WINDOW_S = 30 * 60
DCS_PER_GEOGRAPHY = 1
DCS_PER_FLEET = 2
NODE_WINDOW_S = 10 * 60
NODES_PER_GEOGRAPHY = 3


@dataclass(frozen=True, slots=True)
class Accused:
    """What a verdict was reached on: a whole data center, or one node of it."""

    geography: GeographyId
    dc: DcId
    whole_dc: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """The brake holds; ``geography`` None: for the whole fleet."""

    geography: GeographyId | None
    reasons: tuple[str, ...]


def braked(
    accused: Accused,
    *,
    evacuations: Iterable[Evacuation],
    halts: Sequence[Halt],
    resume: Resume | None,
    looking_dead: Iterable[DcId],
    now_ms: int,
) -> Stop | None:
    """Judge an automatic evacuation.

    Args:
        accused: what would be evacuated.
        evacuations: every record there is.
        halts: what is halted already.
        resume: the last time that a person closed a halt.
        looking_dead: the other data centers of the geography that look dead now, or are held lost.
        now_ms: the leader's wall time.

    Returns:
        None: go on. Else who must stop, and why.
    """
    for halt in halts:
        if halt.geography in (None, accused.geography):
            return Stop(halt.geography, halt.reasons)
    automatic = [e for e in evacuations if e.automatic and not e.empty]
    counted = [e for e in automatic if resume is None or e.since_ms > resume.at_ms]
    return (
        _dc_braked(accused, counted, looking_dead, now_ms)
        if accused.whole_dc
        else _node_braked(accused, counted, now_ms)
    )


def _dc_braked(
    accused: Accused, counted: Sequence[Evacuation], looking_dead: Iterable[DcId], now_ms: int
) -> Stop | None:
    others = sorted(dc for dc in looking_dead if dc != accused.dc)
    if others:
        named = " and ".join([accused.dc, *others])
        return Stop(accused.geography, (f"two data centers of {accused.geography} look dead: {named}",))
    recent = [e for e in counted if e.node is None and now_ms - e.since_ms < DC_WINDOW_S * 1000]
    here = [e for e in recent if e.geography == accused.geography]
    if len(here) >= DCS_PER_GEOGRAPHY:
        return Stop(
            accused.geography,
            (f"{here[-1].dc} of {accused.geography} was evacuated automatically less than 30 minutes ago",),
        )
    if len(recent) >= DCS_PER_FLEET:
        named = " and ".join(e.dc for e in recent)
        return Stop(None, (f"{named} were evacuated automatically within 30 minutes",))
    return None


def _node_braked(accused: Accused, counted: Sequence[Evacuation], now_ms: int) -> Stop | None:
    recent = [
        e
        for e in counted
        if e.node is not None and e.geography == accused.geography and now_ms - e.since_ms < NODE_WINDOW_S * 1000
    ]
    if len(recent) < NODES_PER_GEOGRAPHY:
        return None
    named = ", ".join(sorted(str(e.node) for e in recent))
    return Stop(accused.geography, (f"{named} of {accused.geography} were declared lost within 10 minutes",))
