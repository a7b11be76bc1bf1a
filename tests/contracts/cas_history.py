"""Checks the history of a record that many clients change by compare-and-set, as linearizability asks of it.

Epochs give the order that the store has decided. What remains to be checked is that each epoch was decided once, and
that nobody saw the order and the clock disagree: who asks after another has been answered sees no less.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.assignments import Assignment


@dataclass(frozen=True, slots=True)
class Operation:
    """One call on the record; times by one clock."""

    asked_at: float
    answered_at: float
    seen: Assignment | None
    """What the answer showed: what was written, or what was held instead; None: nothing is known."""
    wrote: bool = False
    """The answer said that it was written."""


def breaches(history: Sequence[Operation]) -> Iterator[str]:
    """List what no linearizable record would have answered; nothing: it may be one."""
    yield from _forks(history)
    yield from _steps_back(history)


def _forks(history: Sequence[Operation]) -> Iterator[str]:
    decided: dict[int, Assignment] = {}
    writers: dict[int, Operation] = {}
    for one in history:
        if one.seen is None:
            continue
        if decided.setdefault(one.seen.epoch, one.seen) != one.seen:
            yield f"epoch {one.seen.epoch} is both {decided[one.seen.epoch]} and {one.seen}"
        if one.wrote and writers.setdefault(one.seen.epoch, one) is not one:
            yield f"epoch {one.seen.epoch} was written twice"


def _steps_back(history: Sequence[Operation]) -> Iterator[str]:
    """Compare each call with the most that had been answered before it was asked."""
    most, answered = 0, iter(sorted(history, key=lambda one: one.answered_at))
    waiting = next(answered, None)
    for one in sorted(history, key=lambda one: one.asked_at):
        while waiting is not None and waiting.answered_at < one.asked_at:
            most = max(most, 0 if waiting.seen is None else waiting.seen.epoch)
            waiting = next(answered, None)
        if one.seen is not None and one.seen.epoch < most + one.wrote:
            yield f"epoch {one.seen.epoch} was {'written' if one.wrote else 'seen'} after {most} had been answered"
