"""The search for the shortest schedule that still breaks a law: which simpler ones to try, the boldest first.

Greedy: whatever still breaks it becomes the new start, and the search begins again from there. First faults go, by
halves and then one by one; then the run is cut short, what lasts is shortened, what is large becomes small, and times
are drawn together.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from chaos.schedule import (
    Crash,
    CrashAmid,
    FailFsync,
    Fault,
    Freeze,
    LoseDc,
    LoseDisk,
    LosePower,
    Schedule,
    Suspend,
    Switchover,
    Timed,
)
from chaos.setting import processes_of, topology_of
from core.names import DcId

SHORT_S = 0.05
"""What lasts no longer is not shortened any more."""
AFTER_S = 3.0
"""Trouble goes on so long after the last fault has ended, at least."""
TRIES = 300


def shortest(
    schedule: Schedule,
    breaks: Callable[[Schedule], bool],
    *,
    tries: int = TRIES,
    more: Callable[[], bool] = lambda: True,
) -> Schedule:
    """Search for the shortest schedule that still breaks the law.

    Args:
        schedule: one that does.
        breaks: runs a schedule and says whether it does.
        tries: how many runs at most.
        more: asked before every run; False ends the search.
    """
    found, left = schedule, tries
    while True:
        for candidate in simpler(found):
            if left == 0 or not more():
                return found
            left -= 1
            if breaks(candidate):
                found = candidate
                break
        else:
            return found


def simpler(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules that are a step simpler, the boldest first; finitely often, however often one is taken."""
    yield from _without(schedule)
    yield from _cut(schedule)
    for n, timed in enumerate(schedule.faults):
        for fault in _softer(schedule, timed.fault):
            yield _with(schedule, n, Timed(timed.at_s, fault))
    yield from _calmer(schedule)
    for n in range(1, len(schedule.faults)):
        before, timed = schedule.faults[n - 1], schedule.faults[n]
        if timed.at_s > before.at_s:
            yield _with(schedule, n, Timed(before.at_s, timed.fault))


def _without(schedule: Schedule) -> Iterator[Schedule]:
    """Leave out the first half, the second, then quarters, and so on down to single faults."""
    faults = schedule.faults
    size = (len(faults) + 1) // 2
    while size:
        for start in range(0, len(faults), size):
            yield replace(schedule, faults=faults[:start] + faults[start + size :])
        size = 0 if size == 1 else (size + 1) // 2


def _cut(schedule: Schedule) -> Iterator[Schedule]:
    """Heal soon after the last fault."""
    over_s = max((timed.at_s + lasts_s(timed.fault) for timed in schedule.faults), default=0.0) + AFTER_S
    if over_s < schedule.trouble_s:
        yield replace(schedule, trouble_s=round(over_s, 3))


def _softer(schedule: Schedule, fault: Fault) -> Iterator[Fault]:
    """Make a fault smaller: a process instead of its data center, a plain crash or stop; half as long."""
    match fault:
        case LoseDc(dc, for_s, True):
            yield from (Freeze(name, for_s) for name in _processes_in(schedule, dc))
        case LoseDc(dc, for_s) | LosePower(dc, for_s):
            yield from (Crash(name, for_s) for name in _processes_in(schedule, dc))
        case CrashAmid(name, _, for_s) | LoseDisk(name, for_s):
            yield Crash(name, for_s)
        case Suspend(name, for_s):
            yield Freeze(name, for_s)
    if not isinstance(fault, FailFsync | Switchover) and fault.for_s > SHORT_S:
        yield replace(fault, for_s=round(fault.for_s / 2, 3))


def _processes_in(schedule: Schedule, dc: DcId) -> list[str]:
    return [name for name, where in processes_of(topology_of(schedule.setting)).items() if where == dc]


def _calmer(schedule: Schedule) -> Iterator[Schedule]:
    """Take the weather out."""
    setting = schedule.setting
    if setting.break_ratio or setting.lost_call_ratio:
        yield replace(schedule, setting=replace(setting, break_ratio=0.0, lost_call_ratio=0.0))


def lasts_s(fault: Fault) -> float:
    """Say how long a fault lasts; 0.0: it is over at once."""
    for_s = getattr(fault, "for_s", 0.0)
    assert isinstance(for_s, float), f"{fault} lasts {for_s!r}"
    return for_s


def _with(schedule: Schedule, n: int, timed: Timed) -> Schedule:
    return replace(schedule, faults=(*schedule.faults[:n], timed, *schedule.faults[n + 1 :]))
