"""Which records take the place of those of a restored store, and which shards stay frozen."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from control_plane.adoption import Claim, Rebuilt, Unclear, rebuilt
from core.assignments import (
    Add,
    Assignment,
    Change,
    Copy,
    Evict,
    Fence,
    Override,
    Promote,
    Swap,
    Switchover,
    successor,
)
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind

A, B, C = (Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.1")) for dc in ("fra1", "ams1", "waw1"))
FIRST = Assignment(ShardId(7), Kind.COLLAB, 1, 4, A, B, "placed")
SOLO = successor(FIRST, Evict(), reason="silence")
SWITCHED = successor(FIRST, Switchover(), reason="planned")
EVERYBODY = frozenset(copy.node for copy in (A, B, C))


def says(copy: Copy, record: Assignment, *, learner: Copy | None = None) -> Claim:
    return Claim(copy, record.fence, record, None if learner is None else learner.node)


def judged(
    *claims: Claim,
    stored: Assignment | None = FIRST,
    known: Assignment | None = None,
    silent: Iterable[Copy] = (),
) -> Rebuilt | Unclear:
    heard = EVERYBODY - {copy.node for copy in silent}
    return rebuilt(ShardId(7), claims, stored=stored, known=known, heard=heard)


@pytest.mark.parametrize(
    ("claims", "copies"),
    [
        pytest.param([says(A, FIRST), says(B, FIRST)], (A, B), id="nothing was lost"),
        pytest.param([says(A, SWITCHED), says(B, SWITCHED)], (B, A), id="roles changed in the lost time"),
        pytest.param([says(A, SOLO)], (A,), id="a primary alone by its own record"),
        pytest.param([says(A, SOLO), says(B, FIRST)], (A,), id="the evicted one has not heard of it"),
        pytest.param([says(A, SOLO), says(B, SOLO)], (A,), id="the evicted one has"),
        pytest.param([says(A, SOLO, learner=C)], (A,), id="a learner that holds nothing"),
        pytest.param([says(A, FIRST, learner=C), says(B, FIRST), says(C, FIRST)], (A, B), id="a learner that joins"),
    ],
)
def test_the_record_of_the_highest_epoch_heard_rises_above_everything(
    claims: list[Claim], copies: tuple[Copy, ...]
) -> None:
    found = judged(*claims)
    assert isinstance(found, Rebuilt)
    assert found.new.in_sync == copies
    assert found.stored == FIRST.fence
    assert found.new.incarnation > max(one.fence.incarnation for one in claims)
    assert found.new.epoch > max(one.fence.epoch for one in claims)


def test_a_shard_that_the_store_has_forgotten_is_rebuilt_too() -> None:
    found = judged(says(A, FIRST), says(B, FIRST), stored=None)
    assert isinstance(found, Rebuilt)
    assert found.stored is None


@pytest.mark.parametrize(
    ("claims", "silent", "reason"),
    [
        pytest.param([], [], "no copy of it is heard", id="nothing heard"),
        pytest.param([says(A, FIRST)], [B], "its standby on ams1-c1 is not heard", id="one of two"),
        pytest.param([says(B, FIRST)], [A], "its primary on fra1-c1 is not heard", id="the other of two"),
        pytest.param([says(B, SOLO)], [A], "its primary on fra1-c1 is not heard", id="only who was evicted"),
        pytest.param([says(A, FIRST), says(B, SWITCHED)], [], "fra1-c1 has not come to 1.5", id="one lags"),
        pytest.param(
            [says(A, FIRST), replace(says(B, FIRST), copy=replace(B, copy_id=CopyId("new.1")))],
            [],
            "its standby on ams1-c1 is not heard",
            id="a new disk under the standby's name",
        ),
        pytest.param(
            [says(A, SWITCHED), says(B, replace(SWITCHED, standby=C))], [], "contradict each other", id="contradiction"
        ),
        pytest.param(
            [Claim(A, SWITCHED.fence, None, None)], [], "contradict each other", id="an epoch without a record"
        ),
        pytest.param([says(A, SOLO, learner=C)], [C], "waw1-c1 was to join it", id="alone, with a learner away"),
        pytest.param(
            [says(A, FIRST, learner=C), says(B, FIRST)], [C], "waw1-c1 was to join it", id="a swap with a learner away"
        ),
    ],
)
def test_a_shard_stays_frozen_when_somebody_who_may_know_more_is_not_heard(
    claims: list[Claim], silent: list[Copy], reason: str
) -> None:
    found = judged(*claims, silent=silent)
    assert isinstance(found, Unclear)
    assert reason in found.reason


@pytest.mark.parametrize(("stored", "known", "whose"), [(SWITCHED, None, "the store"), (FIRST, SWITCHED, "the map")])
def test_a_record_above_what_copies_report_keeps_the_shard_frozen(
    stored: Assignment, known: Assignment | None, whose: str
) -> None:
    found = judged(says(A, FIRST), says(B, FIRST), stored=stored, known=known)
    assert isinstance(found, Unclear)
    assert found.reason.startswith(f"{whose} knows 1.5")


# A history that the store has forgotten: whoever is primary acts, and learns of changes sooner or later.

COPIES = (A, B, C)
STEPS = st.lists(st.tuples(st.sampled_from(["evict", "add", "swap", "promote", "switchover", "override"]),
                           st.sets(st.sampled_from(COPIES))), max_size=6)  # fmt: skip


def change_of(name: str, record: Assignment) -> Change | None:
    """Make a change of that kind, if it is legal here."""
    others = [copy for copy in COPIES if copy not in record.in_sync]
    if record.solo:
        if name == "add":
            return Add(others[0])
        return Override(others[0], "ada") if name == "override" else None
    assert record.standby is not None
    made: dict[str, Change] = {
        "evict": Evict(),
        "promote": Promote(),
        "switchover": Switchover(),
        "swap": Swap(record.standby, others[0]),
    }
    return made.get(name)


class Lost:
    """What happened after the backup: who knows which record, whom it has asked to join, and who acknowledged alone."""

    def __init__(self) -> None:
        self.record = FIRST
        self.known: dict[Copy, Assignment] = dict.fromkeys((A, B), FIRST)
        self.asked: dict[Copy, Copy | None] = {}
        self.holds: set[Copy] = {A, B}
        """Copies that hold every acknowledged entry."""

    def step(self, name: str, learns: set[Copy]) -> None:
        """Decide a change if whoever must ask for it knows the present record; tell it to some."""
        change = change_of(name, self.record)
        if change is None:
            return
        asks = isinstance(change, Evict | Add | Swap | Switchover)
        if asks and self.known.get(self.record.primary) != self.record:
            return
        if isinstance(change, Add | Swap):
            learner = change.learner if isinstance(change, Add) else change.new
            self.asked[self.record.primary] = learner
            self.holds.add(learner)
        self.record = successor(self.record, change, reason="")
        for copy in learns:
            self.known[copy] = self.record
            self.asked.pop(copy, None)
        self._acknowledge()

    def _acknowledge(self) -> None:
        """Let the primary, if it knows that it is, acknowledge on all that its record, or what it asked for, names."""
        primary = self.record.primary
        if self.known.get(primary) == self.record:
            joining = self.asked.get(primary)
            self.holds = {*self.record.in_sync, *([joining] if joining else [])}

    def claims(self, heard: set[Copy]) -> list[Claim]:
        """Report, from those that are heard."""
        return [
            says(copy, record, learner=self.asked.get(copy)) for copy, record in self.known.items() if copy in heard
        ]


@settings(max_examples=500)
@example([("evict", {A}), ("override", {C})], {A, B})
@example([("swap", set()), ("promote", {C})], {A, B})
@example([("evict", {A}), ("add", set()), ("promote", {C})], {A})
@given(STEPS, st.sets(st.sampled_from(COPIES)))
def test_whatever_was_lost_a_rebuilt_record_names_only_copies_that_hold_everything_acknowledged(
    steps: list[tuple[str, set[Copy]]], heard: set[Copy]
) -> None:
    lost = Lost()
    for name, learns in steps:
        lost.step(name, learns)
    found = judged(*lost.claims(heard), silent=set(COPIES) - heard)
    overridden = lost.record.incarnation > FIRST.incarnation
    if isinstance(found, Rebuilt):
        assert found.new.fence > max(record.fence for record in lost.known.values())
        assert found.new.fence > lost.record.fence
        assert found.new.incarnation > lost.record.incarnation
        assert set(found.new.in_sync) <= lost.holds or overridden
    if heard == set(COPIES) and all(lost.known.get(copy) == lost.record for copy in lost.record.in_sync):
        assert isinstance(found, Rebuilt), found
        assert found.new.in_sync == lost.record.in_sync


def test_everybody_heard_rebuilds_after_an_override_too() -> None:
    stale = successor(SOLO, Override(C, "ada"), reason="")
    found = judged(says(A, SOLO), says(C, stale))
    assert isinstance(found, Rebuilt)
    assert found.new.in_sync == (C,)
    assert found.new.fence > Fence(stale.incarnation, stale.epoch)
