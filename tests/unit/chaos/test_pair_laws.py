"""The laws of a pair over facts: kept by what a sound pair shows, broken by what each law forbids."""

from dataclasses import replace

import pytest

from chaos.fleet_laws import Breach, FleetLaw
from chaos.pair_laws import Chain, Duty, Grants, Said, duty_of, joined, lacking, saved, spoke, switched
from core.assignments import Assignment, Copy, Fence
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from nodes.memory_journal import Shelf
from nodes.ports import CopyMeta, Intent
from nodes.records import EMPTY, Generation, Record, following, tip_of

SHARD = ShardId(7)
A, B, C = (Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.1")) for dc in ("fra1", "ams1", "waw1"))
SYNC = Assignment(SHARD, Kind.COLLAB, 1, 4, A, B)
GEN = Generation(1, 4, 0)
META = CopyMeta(A.copy_id, GEN, SYNC)
ADD, SWAP = (Intent(kind, 1, 4, C, 3) for kind in ("add", "swap"))
LEASE_S = 1.0


def journal(count: int, *, fork: int | None = None) -> list[Record]:
    """Make records that follow one another; from ``fork`` on others than those without it."""
    tip, found = EMPTY, []
    for lsn in range(1, count + 1):
        found.append(following(tip, GEN, b"other" if fork is not None and lsn >= fork else b"%d" % lsn))
        tip = tip_of(found[-1])
    return found


def shelf(copy: Copy, count: int, *, fork: int | None = None) -> Shelf:
    return Shelf(CopyMeta(copy.copy_id, GEN, SYNC), EMPTY, journal(count, fork=fork))


def snapshotted(copy: Copy, count: int, floor: int) -> Shelf:
    records = journal(count)
    return Shelf(CopyMeta(copy.copy_id, GEN, SYNC), tip_of(records[floor - 1]), records[floor:])


def law(breach: Breach | None) -> object:
    return None if breach is None else breach.law


def test_a_chain_grows_by_what_the_answering_copy_holds_and_by_each_entry_once() -> None:
    chain, held = Chain(), shelf(A, 5)
    assert list(chain.grow(held, 3)) == [0, 1, 2]
    assert list(chain.grow(held, 2)) == []
    assert list(chain.grow(held, 5)) == [3, 4]
    assert chain.hashes == [record.hash for record in held.records]


def test_a_chain_goes_on_beyond_what_only_a_snapshot_holds() -> None:
    chain, held = Chain(), snapshotted(A, 6, 4)
    assert list(chain.grow(held, 6)) == [0, 1]
    assert [bool(known) for known in chain.hashes] == [False, False, False, True, True, True]
    assert chain.held_by(shelf(B, 6), B, 6)


@pytest.mark.parametrize(
    ("held", "holds"),
    [
        (shelf(B, 5), True),
        (shelf(B, 4), True),
        (shelf(B, 3), False),
        (shelf(B, 5, fork=4), False),
        (shelf(B, 5, fork=5), True),
        (shelf(C, 5), False),
        (snapshotted(B, 5, 5), True),
        (snapshotted(B, 4, 4), True),
        (Shelf(), False),
        (None, False),
    ],
    ids=["all", "just so", "less", "another entry", "another one later", "another copy", "in a snapshot",
         "the snapshot ends there", "an empty disk", "nothing"],
)  # fmt: skip
def test_a_disk_holds_what_clients_were_told_or_not(held: Shelf | None, holds: bool) -> None:
    chain = Chain()
    chain.grow(shelf(A, 5), 4)
    assert chain.held_by(held, B, 4) is holds


def test_nothing_is_asked_of_anybody_before_clients_were_told_anything() -> None:
    assert Chain().held_by(None, B, 0)
    assert Chain().held_by(shelf(B, 2), B, 0)


def test_what_an_override_gave_up_is_asked_for_no_more() -> None:
    chain = Chain()
    chain.grow(shelf(A, 5), 5)
    chain.forget_after(3)
    assert chain.held_by(shelf(B, 3), B, 3)
    assert list(chain.grow(shelf(B, 4, fork=4), 4)) == [3]


def test_a_learner_answers_for_what_came_after_its_intent() -> None:
    duty = duty_of(replace(META, intents=(ADD,)), SYNC)
    assert list(duty.owed(3)) == [A, B]
    assert list(duty.owed(4)) == [C, A, B]


@pytest.mark.parametrize(
    ("what", "copy", "intents", "evicting", "broken"),
    [
        ("ack", B, (), False, FleetLaw.I1),
        ("ack", A, (), False, FleetLaw.I1),
        ("ack", B, (), True, FleetLaw.I3),
        ("ack", A, (), True, FleetLaw.I1),
        ("ack", C, (ADD,), False, FleetLaw.I4),
        ("ack", C, (SWAP,), True, FleetLaw.I4),
        ("ack", B, (SWAP,), False, FleetLaw.I4),
        ("read", B, (), False, FleetLaw.I11),
        ("retry", B, (), True, FleetLaw.I11),
    ],
)
def test_what_a_copy_lacks_breaks_the_law_that_it_was_needed_by(
    what: str, copy: Copy, intents: tuple[Intent, ...], evicting: bool, broken: FleetLaw
) -> None:
    duty = duty_of(replace(META, intents=intents), SYNC)
    assert lacking(Said(SHARD, A.node, 4, what), copy, duty, evicting=evicting).law is broken


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        (None, META, None),
        (META, replace(META, seen=Generation(1, 4, 1)), None),
        (META, replace(META, intents=(ADD,)), None),
        (replace(META, intents=(ADD,)), replace(META, seen=Generation(1, 5, 0)), None),
        (META, replace(META, copy_id=B.copy_id, seen=Generation(0, 0, 0)), None),
        (META, replace(META, seen=Generation(1, 3, 9)), FleetLaw.I5),
        (replace(META, intents=(ADD,)), META, FleetLaw.I4),
        (replace(META, intents=(ADD,)), replace(META, seen=Generation(1, 4, 1)), FleetLaw.I4),
    ],
    ids=["first", "boot", "intent made", "intent decided", "another copy", "epoch falls", "intent dropped",
         "intent forgotten by a restart"],
)  # fmt: skip
def test_a_meta_never_goes_back(old: CopyMeta | None, new: CopyMeta, broken: FleetLaw | None) -> None:
    assert law(saved(SHARD, A.node, old, new)) is broken


@pytest.mark.parametrize("gen", [Generation(1, 3, 0), Generation(1, 5, 0), Generation(1, 4, 1)])
def test_a_copy_speaks_in_the_generation_that_is_on_its_disk(gen: Generation) -> None:
    assert spoke(SHARD, A.node, "an ack", GEN, META) is None
    assert law(spoke(SHARD, A.node, "an ack", gen, META)) is FleetLaw.I5
    assert law(spoke(SHARD, A.node, "an ack", gen, None)) is FleetLaw.I5


def granted(*, at_s: float = 10.0, epoch: int = 4, refused: tuple[ShardId, ...] = ()) -> Grants:
    grants = Grants(LEASE_S)
    grants.asked(A.node, 1, ((SHARD, Fence(1, epoch)),))
    list(grants.granted(B.node, A.node, 1, refused, at_s))
    return grants


def test_a_lease_holds_for_l_in_its_epoch_and_not_when_refused() -> None:
    assert granted().covers(SHARD, B, A.node, [SYNC], 10.9)
    assert not granted().covers(SHARD, B, A.node, [SYNC], 11.1)
    assert not granted(refused=(SHARD,)).covers(SHARD, B, A.node, [SYNC], 10.1)
    assert not granted().covers(SHARD, C, A.node, [SYNC], 10.1)


def test_a_lease_of_an_older_epoch_holds_while_its_grantor_stayed_a_member() -> None:
    newer = replace(SYNC, epoch=5)
    assert granted().covers(SHARD, B, A.node, [newer, SYNC], 10.5)
    without = replace(SYNC, epoch=5, standby=C)
    back = replace(SYNC, epoch=6)
    assert not granted().covers(SHARD, B, A.node, [back, without, SYNC], 10.5)


def test_a_learner_may_grant_in_the_epoch_before_it_joins() -> None:
    before = replace(SYNC, standby=None)
    joined_now = replace(SYNC, epoch=5)
    assert granted().covers(SHARD, B, A.node, [joined_now, before], 10.5)


def test_a_grant_is_outstanding_until_it_has_run_out() -> None:
    grants = granted()
    assert grants.outstanding(SHARD, B.node, 10.9) == A.node
    assert grants.outstanding(SHARD, B.node, 11.1) is None
    assert grants.outstanding(SHARD, C.node, 10.9) is None
    assert grants.of(SHARD, B.node, A.node) == Fence(1, 4)


@pytest.mark.parametrize(
    ("intents", "acked", "broken"),
    [
        ((ADD,), (GEN, 3), None),
        ((SWAP,), (Generation(1, 4, 2), 9), None),
        ((ADD,), (GEN, 2), FleetLaw.I7),
        ((ADD,), (Generation(1, 3, 0), 9), FleetLaw.I7),
        ((ADD,), None, FleetLaw.I7),
        ((), (GEN, 3), FleetLaw.I4),
    ],
    ids=["just so", "another boot", "short of n", "in another epoch", "never", "no intent"],
)
def test_a_learner_joins_when_it_has_acknowledged_what_its_intent_names(
    intents: tuple[Intent, ...], acked: tuple[Generation, int] | None, broken: FleetLaw | None
) -> None:
    assert law(joined(SHARD, C, intents, acked, SYNC.fence)) is broken


def test_roles_switch_when_the_new_primary_holds_the_old_ones_whole_journal() -> None:
    assert switched(SHARD, shelf(A, 4), shelf(B, 4)) is None
    assert law(switched(SHARD, shelf(A, 4), shelf(B, 3))) is FleetLaw.I13


def test_a_duty_without_intents_is_the_members() -> None:
    assert duty_of(META, SYNC) == Duty((A, B), (), swapping=False)
