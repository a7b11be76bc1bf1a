"""The judgements on which a pair's safety rests, each a pure function of what the copy knows.

They stand apart from the machine so that each can be read, tested and, in tests only, broken on its own.
"""

from collections.abc import Iterable, Sequence

from core.assignments import Assignment, Copy
from core.timers import Timers
from nodes.ports import Intent, Span
from nodes.records import Generation, Tip

JOINING = frozenset({"add", "swap"})
"""Intents that make a learner's word count before the record names it."""


class Rules:
    """PROTOCOL.md sections 3 to 6, as questions."""

    def acknowledgers(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        """Name the other copies that must hold an entry before it is acknowledged (I1, I3, I4).

        The members of the present record always: a change in flight (its own eviction of the standby included) frees
        nobody before it is known applied. A learner named in an intent too, because the change may be applied already.
        """
        learners = [i.learner for i in intents if i.kind in JOINING and i.learner is not None]
        return tuple(dict.fromkeys([*assignment.in_sync[1:], *learners]))

    def grantors(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        """Name the copies whose leases a read needs: whoever may be promoted, now or by a change in flight (I4, I6)."""
        return self.acknowledgers(assignment, intents)

    def committed_lsn(self, durable_lsn: int, acked_lsns: Iterable[int]) -> int:
        """Say up to where everybody that an acknowledgement needs holds the journal on disk (I1)."""
        return min([durable_lsn, *acked_lsns])

    def serves_from(self, *, granted_until: float, now: float) -> bool:
        """Say whether a promoted or restarted copy has waited out every lease it may have granted (I6)."""
        return now >= granted_until

    def tail_safe(self, tip_lsn: int, committed_lsn: int) -> bool:
        """Say whether a restarted primary may answer: its whole journal is acked in this generation (I11)."""
        return committed_lsn >= tip_lsn

    def same_place(self, own: Tip, prev: Tip) -> bool:
        """Say whether a first contact needs no truncation: nothing of ours lies beyond what the primary has (I8)."""
        return own.lsn == prev.lsn and own.hash == prev.hash

    def kept(self, own: Tip, common: Tip) -> Tip:
        """Say what a copy keeps at first contact: what lies beyond the last common entry was never committed (I8)."""
        return common if common.lsn < own.lsn else own

    def counts(self, gen: Generation, own: Generation) -> bool:
        """Say whether a message of ``gen`` is of the present generation; acks of another one never count (I1)."""
        return gen == own

    def outdated(self, gen: Generation, own: Generation) -> bool:
        """Say whether a message comes from before the highest generation persisted here (I5)."""
        return gen < own

    def join_ready(self, acked_lsn: int, intent: Intent) -> bool:
        """Say whether the learner holds what the journal held when the intent was made (I7)."""
        return acked_lsn >= intent.lsn

    def drained(self, tip_lsn: int, durable_lsn: int, acked_lsn: int) -> bool:
        """Say whether the standby holds the whole journal, so that roles may change (I2, I7, I13)."""
        return min(durable_lsn, acked_lsn) >= tip_lsn


def lease_granted_s(timers: Timers) -> float:
    """How long after its last reply a grantor counts a lease as held: L (1 + rho)."""
    return timers.lease_s * (1 + timers.drift_ratio)


def lease_held_s(timers: Timers) -> float:
    """How long after asking the holder may rely on a lease: L (1 - rho)."""
    return timers.lease_s * (1 - timers.drift_ratio)


def common_lsn(
    *, spans: Sequence[Span], tip: Tip, floor: Tip, their_spans: Sequence[Span], their_tip: Tip, their_floor: Tip
) -> int | None:
    """Find where two journals part: the last entry of the last generation that both have entries of (I8).

    A generation names one sequence of entries, so equal (generation, lsn) is an equal entry, and everything before it.

    Returns:
        The lsn; None when nothing common lies where this journal still has entries: a snapshot is needed.
    """
    mine, theirs = _ends(spans, tip, floor), _ends(their_spans, their_tip, their_floor)
    shared = [min(end, theirs[gen]) for gen, end in mine.items() if gen in theirs]
    best = max(shared, default=None)
    return best if best is not None and best >= floor.lsn else None


def _ends(spans: Sequence[Span], tip: Tip, floor: Tip) -> dict[Generation, int]:
    """Tabulate the last lsn of every generation that a journal, snapshot included, can name."""
    ends = {floor.generation: floor.lsn}
    following = [*(span.first_lsn - 1 for span in spans[1:]), tip.lsn]
    for span, end in zip(spans, following, strict=False):
        ends[span.generation] = max(ends.get(span.generation, 0), end)
    return ends
