"""A rescue: nothing before the record, a canary first, then all the rest; and never where it does not fit."""

from dataclasses import dataclass, field, replace

import pytest

from control_plane.evacuation import Action, AskPrepare, Finished, PromoteAll, Rescue, Scene, Stuck
from control_plane.loads import Loads, loads_of
from control_plane.placement import SimplePlacement
from core.assignments import Assignment, Copy, Evict, Fence, Promote, successor
from core.names import CopyId, DcId, GeographyId, NodeId, ShardId, dc_of
from core.orders import PrepareResult
from core.timers import timers
from core.topology import Kind
from tests.unit.control_plane.lands import two_lands

TIMERS = timers("default")
TOPOLOGY = two_lands()
FRA = DcId("fra1")


def first_map() -> dict[ShardId, Assignment]:
    usable = [dc.id for dc in TOPOLOGY.data_centers]
    placed = SimplePlacement().first(
        TOPOLOGY, GeographyId("eu"), usable=usable, copy_on=lambda node: Copy(node, CopyId(f"disk-{node}.1"))
    )
    return {a.shard: a for a in placed}


@dataclass
class Scenery:
    """The records, and a rescue of what fra1 led; everything succeeds unless a test says otherwise."""

    recorded: bool = True
    now: float = 10.0
    records: dict[ShardId, Assignment] = field(default_factory=first_map)
    serving: bool = False
    said: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rescue = Rescue(TIMERS, self.now - 0.3, self.recorded)

    @property
    def loads(self) -> Loads:
        return loads_of(TOPOLOGY, self.records.values())

    def victims(self) -> list[Assignment]:
        return [a for a in self.records.values() if dc_of(a.primary.node) == FRA]

    def look(self) -> list[Action]:
        scene = Scene(self.victims(), self.loads, lambda node: dc_of(node) == FRA, self.serves)
        actions = list(self.rescue.look(scene, self.now).actions)
        self.said += actions
        return actions

    def serves(self, shard: ShardId, base: Fence) -> bool:
        return self.serving and self.records[shard].fence > base

    def answer(self, actions: list[Action], *, ready: bool = True, refusal: str = "") -> None:
        for ask in actions:
            if isinstance(ask, AskPrepare):
                results = [PrepareResult(s.shard, ready, refusal, 0) for s in ask.shards]
                self.rescue.prepared(ask.shards, results, self.now)

    def apply(self, actions: list[Action]) -> None:
        for promotion in actions:
            if isinstance(promotion, PromoteAll):
                for base in promotion.bases:
                    self.records[base.shard] = successor(base, Promote(), reason="lost")
                    self.rescue.settled(base.shard, applied=True)


def promoted(actions: list[Action]) -> list[ShardId]:
    return [base.shard for action in actions if isinstance(action, PromoteAll) for base in action.bases]


def test_standbys_are_asked_at_once_and_nothing_moves_before_the_record() -> None:
    scenery = Scenery(recorded=False)
    asked = scenery.look()
    assert {s.shard for ask in asked if isinstance(ask, AskPrepare) for s in ask.shards} == {
        a.shard for a in scenery.victims()
    }
    scenery.answer(asked)
    assert not promoted(scenery.look())
    scenery.rescue.recorded = True
    assert len(promoted(scenery.look())) == 1


def test_the_rest_waits_for_the_canary_to_serve() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    canary = scenery.look()
    assert len(promoted(canary)) == 1
    assert not promoted(scenery.look())
    scenery.apply(canary)
    assert not promoted(scenery.look())
    scenery.serving = True
    rest = scenery.look()
    assert len(promoted(rest)) == len(scenery.victims()) > 1


def test_the_rest_does_not_wait_longer_than_a_while_after_the_canarys_lease_could_have_ended() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    scenery.apply(scenery.look())
    ended_at = scenery.rescue.last_sign_at + TIMERS.lease_s * (1 + TIMERS.drift_ratio) + TIMERS.canary_wait_s
    scenery.now = ended_at - 0.01
    scenery.answer(scenery.look())
    assert not promoted(scenery.look())
    scenery.now = ended_at
    scenery.answer(scenery.look())
    assert promoted(scenery.look()) or promoted(scenery.said[-1:])


def test_whoever_is_asked_again_is_ready_by_its_last_answer_for_as_long_as_that_is_good() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    scenery.apply(scenery.look())
    scenery.serving = True
    scenery.now += TIMERS.prepare_s * 0.6
    wave = scenery.look()
    assert {s.shard for ask in wave if isinstance(ask, AskPrepare) for s in ask.shards} == set(promoted(wave))
    assert len(promoted(wave)) == len(scenery.victims()) > 1


def test_an_answer_to_prepare_is_good_for_the_prepare_time_only() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    scenery.now += TIMERS.prepare_s * 1.01
    assert not promoted(scenery.look())


def test_a_canary_that_was_not_written_is_tried_again() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    first = promoted(scenery.look())
    scenery.rescue.settled(first[0], applied=False)
    assert len(promoted(scenery.look())) == 1


def test_a_shard_that_moved_on_by_itself_does_not_hold_up_the_others() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    canary = scenery.look()
    scenery.apply(canary)
    scenery.serving = True
    moved = scenery.victims()[0]
    scenery.records[moved.shard] = successor(moved, Evict(), reason="it went on alone")
    rest = scenery.look()
    assert moved.shard not in promoted(rest)
    assert [s.shard for s in rest if isinstance(s, Stuck)] == [moved.shard]


def test_a_copy_that_is_not_ready_is_asked_again_and_not_promoted() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look(), ready=False, refusal="the disk is full")
    assert not promoted(scenery.look())
    scenery.now += 0.3
    again = scenery.look()
    scenery.answer(again)
    assert promoted(scenery.look())


def test_an_old_answer_to_prepare_does_not_count() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    scenery.now += TIMERS.prepare_s + 0.01
    assert not promoted(scenery.look())


def test_no_shard_is_promoted_where_it_does_not_fit() -> None:
    scenery = Scenery()
    scenery.answer(scenery.look())
    full = scenery.loads
    for node in full.load:
        full.load[node] = full.capacity[node]
    scene = Scene(scenery.victims(), full, lambda node: dc_of(node) == FRA, scenery.serves)
    actions = scenery.rescue.look(scene, scenery.now).actions
    assert not promoted(list(actions))
    assert all("no room" in action.reason for action in actions if isinstance(action, Stuck))


def test_it_is_finished_when_all_that_can_be_brought_back_is() -> None:
    scenery = Scenery()
    scenery.serving = True
    for _ in range(6):
        actions = scenery.look()
        scenery.answer(actions)
        scenery.apply(actions)
    assert not scenery.victims()
    assert [a for a in scenery.said if isinstance(a, Finished)] == [Finished(12, 0)]


def test_what_stands_on_one_lost_copy_is_told_and_counted() -> None:
    scenery = Scenery()
    alone = scenery.victims()[0]
    scenery.records[alone.shard] = successor(alone, Evict(), reason="alone")
    scenery.serving = True
    for _ in range(6):
        actions = scenery.look()
        scenery.answer(actions)
        scenery.apply(actions)
    assert [a.shard for a in scenery.said if isinstance(a, Stuck)] == [alone.shard]
    assert [a for a in scenery.said if isinstance(a, Finished)] == [Finished(11, 1)]


@pytest.mark.parametrize(("count", "canaries"), [(1, 1), (40, 1), (150, 2), (1000, 10)])
def test_the_canary_is_one_in_a_hundred_and_at_least_one(count: int, canaries: int) -> None:
    roomy = replace(TOPOLOGY, weights=(), nodes=tuple(replace(node, capacity=1e6) for node in TOPOLOGY.nodes))
    lost, next_one = Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("par1-c1"), CopyId("b.1"))
    victims = [Assignment(ShardId(n), Kind.COLLAB, 1, 1, lost, next_one) for n in range(count)]
    rescue = Rescue(TIMERS, 0.0, recorded=True)
    scene = Scene(victims, loads_of(roomy, victims), lambda node: dc_of(node) == FRA, lambda shard, base: False)
    for action in rescue.look(scene, 0.1).actions:
        if isinstance(action, AskPrepare):
            results = [PrepareResult(s.shard, True, "", 0) for s in action.shards]
            rescue.prepared(action.shards, results, 0.1)
    assert len(promoted(list(rescue.look(scene, 0.1).actions))) == canaries
