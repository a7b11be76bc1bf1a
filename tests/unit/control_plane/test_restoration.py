"""A store that was restored from a backup: noticed, left alone, adopted on an operator's word, and all is as it was."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from control_plane.adoption import AdoptionPlan
from control_plane.memory_store import Backup
from control_plane.ports import FLEET, Partition, PartitionState
from control_plane.views import Asked, DcState, ReportView
from core.assignments import Assignment, Fence
from core.errors import RefusedBySafetyError, TwinholdError, UnavailableError
from core.fleet_map import NO_REVISION
from core.names import ControlPlaneId, DcId, NodeId, ShardId
from tests.unit.control_plane.lands import EU_SHARDS, US_SHARDS, two_lands
from tests.unit.control_plane.pocket_world import PocketWorld

ASKED = Asked("users/ada", "the store was restored", "6e9e2f0c-0000-4000-8000-000000000001")
AGAIN = replace(ASKED, request_id="6e9e2f0c-0000-4000-8000-000000000002")
WAW, IAD, FRA_CP = DcId("waw1"), DcId("iad1"), ControlPlaneId("fra1-cp")
ALL = EU_SHARDS + US_SHARDS
NOTICED_S = 12.0
"""Every partition is looked at within that time."""


@pytest.fixture
def world() -> PocketWorld:
    """A fleet that has come up, with its first leader in fra1."""
    fleet = PocketWorld(two_lands())
    fleet.run(4.0)
    return fleet


def until(world: PocketWorld, true: Callable[[], bool], *, within_s: float) -> None:
    """Let time pass until something holds."""
    began = world.world.now
    while not true():
        assert world.world.now - began < within_s, f"not within {within_s} virtual seconds"
        world.run(0.05)


def switch(world: PocketWorld, shard: ShardId) -> None:
    """Let a shard's copies change roles."""
    before = world.known[shard]
    asked = replace(ASKED, request_id=f"switch-{shard}-{before.epoch}")
    world.lead().switchover(shard, validate_only=False, asked=asked, done=lambda _: None)
    until(world, lambda: world.known[shard].fence > before.fence, within_s=5.0)


def lost_time(world: PocketWorld) -> Backup:
    """Make a backup, and let the fleet go on."""
    backup = world.vault.backup()
    for shard in list(world.known)[:5]:
        switch(world, shard)
    world.run(1.0)
    return backup


def restart_control_planes(world: PocketWorld) -> None:
    for control_plane in list(world.drivers):
        world.crash_control_plane(control_plane)
        world.restart_control_plane(control_plane)
    until(world, lambda: world.leader() is not None, within_s=5.0)


def planned(world: PocketWorld) -> AdoptionPlan:
    """Ask what an adoption would do."""
    found: list[object] = []
    world.lead().store(found.append)
    until(world, lambda: bool(found), within_s=3.0)
    view = found[0]
    assert not isinstance(view, TwinholdError), view
    return view.plan  # type: ignore[attr-defined, no-any-return]  # a list of whatever came


def adopted(world: PocketWorld, asked: Asked = ASKED) -> AdoptionPlan | TwinholdError:
    """Adopt, as soon as nothing speaks against it any more."""
    until(world, lambda: not planned(world).obstacles, within_s=8.0)
    found: list[AdoptionPlan | TwinholdError] = []
    world.lead().adopt_store(asked, found.append)
    until(world, lambda: bool(found), within_s=3.0)
    return found[0]


def contents(world: PocketWorld) -> Mapping[Partition, PartitionState]:
    return world.vault.read(None)


def records(world: PocketWorld) -> dict[ShardId, Assignment]:
    return {a.shard: a for state in world.vault.read(None).values() for a in state.assignments}


def frozen(world: PocketWorld) -> bool:
    """Say whether the leader has noticed."""
    leader = world.leader()
    office = None if leader is None else world.drivers[leader].office()
    return office is not None and bool(office.frozen)


def test_a_leader_that_led_before_notices_by_itself_and_writes_nothing_more(world: PocketWorld) -> None:
    backup = lost_time(world)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    before = contents(world)
    world.kill_dc(WAW)
    world.run(8.0)
    assert contents(world) == before
    with pytest.raises(UnavailableError, match="store adopt"):
        world.lead().cordon(WAW, etag="", asked=ASKED, done=lambda _: None)
    assert any(p.subject == "store" and "store adopt" in p.message for p in world.lead().status().problems)


def test_what_is_adopted_is_what_the_copies_hold_and_everything_works_again(world: PocketWorld) -> None:
    backup = lost_time(world)
    held = dict(world.known)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    plan = adopted(world)
    assert isinstance(plan, AdoptionPlan), plan
    assert (len(plan.rebuilt), plan.unclear, plan.halts_brake) == (ALL, (), False)
    after = records(world)
    assert {s: a.in_sync for s, a in after.items()} == {s: a.in_sync for s, a in held.items()}
    assert all(after[shard].fence > held[shard].fence for shard in held)
    assert world.vault.incarnation == plan.next_incarnation == 2
    world.run(2.0)
    assert "store.adopted" in world.types()
    assert world.lead().status().problems == ()
    switch(world, ShardId(0))
    world.kill_dc(WAW)
    until(world, lambda: not world.led_in(WAW), within_s=4.0)


def test_leaders_that_start_on_a_restored_store_stand_above_every_term_and_halt_the_brake(world: PocketWorld) -> None:
    backup = world.vault.backup()
    world.crash_control_plane(FRA_CP)
    until(world, lambda: world.leader() not in (None, "fra1-cp"), within_s=4.0)
    world.restart_control_plane(FRA_CP)
    switch(world, ShardId(0))
    highest = world.revision.term
    world.vault.restore(backup, noticed=False)
    restart_control_planes(world)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    plan = adopted(world)
    assert isinstance(plan, AdoptionPlan), plan
    assert plan.halts_brake
    leader = world.leader()
    assert leader is not None
    assert world.drivers[leader].leader().term > highest
    assert all(state.term > highest for state in world.vault.read(None).values())
    world.run(1.0)
    assert world.lead().status().brake_halted
    world.lead().resume(AGAIN, lambda _: None)
    world.run(1.0)
    assert not world.lead().status().brake_halted
    switch(world, ShardId(1))


def test_a_leader_that_hears_of_a_later_one_from_a_node_stands_again_above_it(world: PocketWorld) -> None:
    leader = world.leader()
    assert leader is not None
    report = ReportView(
        NodeId("waw1-c1"), "disk-waw1-c1", 1, 10_000, False, (), (), (), 1.0, 0, Fence(1, 1), term_max=7
    )
    world.drivers[leader].reported(report)
    assert world.leader() is None
    until(world, lambda: world.leader() is not None, within_s=5.0)
    again = world.leader()
    assert again is not None
    assert world.drivers[again].leader().term == 8


def test_an_evacuation_that_the_store_has_forgotten_is_put_back(world: PocketWorld) -> None:
    backup = world.vault.backup()
    world.freeze_dc(WAW)
    until(world, lambda: world.lead().data_center(WAW).state is DcState.LOST, within_s=5.0)
    until(world, lambda: all(not a.solo for a in world.known.values()), within_s=15.0)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    plan = adopted(world)
    assert isinstance(plan, AdoptionPlan), plan
    assert not plan.halts_brake
    assert any(doc.key == "evacuations/waw1-1" for doc in world.vault.read([FLEET])[FLEET].docs)
    assert set(plan.silent) == {node.id for node in world.topology.nodes_in(WAW)}
    assert len(plan.rebuilt) == ALL


def test_a_shard_of_which_one_copy_is_silent_stays_frozen_until_it_is_adopted_again(world: PocketWorld) -> None:
    backup = lost_time(world)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    node = NodeId("waw1-c1")
    world.hosts[node].crash()
    world.break_stream(node)
    touched = {record.shard for record in world.known.values() if any(c.node == node for c in record.in_sync)}
    world.run(2.0)
    plan = adopted(world)
    assert isinstance(plan, AdoptionPlan), plan
    assert {one.shard for one in plan.unclear} == touched
    assert all("waw1-c1 is not heard" in one.reason for one in plan.unclear)
    kept = {shard: records(world)[shard] for shard in touched}
    world.run(8.0)
    assert {shard: records(world)[shard] for shard in touched} == kept
    assert not frozen(world)
    assert any("were not rebuilt" in problem.message for problem in world.lead().status().problems)
    switch(world, next(shard for shard in world.known if shard not in touched))

    world.hosts[node].start()
    world.nodes[node].process_id += 1
    world.nodes[node].begin()
    world.run(1.0)
    second = adopted(world, AGAIN)
    assert isinstance(second, AdoptionPlan), second
    assert ({one.new.shard for one in second.rebuilt}, second.unclear) == (touched, ())
    until(world, lambda: all(not a.solo for a in world.known.values()), within_s=15.0)
    assert not any(problem.subject == "store" for problem in world.lead().status().problems)


def test_a_frozen_shard_stays_frozen_under_the_next_leader(world: PocketWorld) -> None:
    backup = lost_time(world)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    world.hosts["waw1-c1"].crash()
    world.break_stream("waw1-c1")
    touched = {r.shard for r in world.known.values() if any(c.node == "waw1-c1" for c in r.in_sync)}
    world.run(2.0)
    assert isinstance(adopted(world), AdoptionPlan)
    kept = {shard: records(world)[shard] for shard in touched}
    world.crash_control_plane(FRA_CP)
    until(world, lambda: world.leader() not in (None, "fra1-cp"), within_s=4.0)
    world.run(15.0)
    assert not frozen(world)
    assert {shard: records(world)[shard] for shard in touched} == kept


def test_an_empty_store_under_a_fleet_that_holds_copies_is_not_a_new_fleet(world: PocketWorld) -> None:
    lost_time(world)
    held = dict(world.known)
    world.vault.restore(Backup({}, (), 0), noticed=False)
    restart_control_planes(world)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    world.run(5.0)
    assert records(world) == {}
    plan = adopted(world)
    assert isinstance(plan, AdoptionPlan), plan
    assert {s: a.in_sync for s, a in records(world).items()} == {s: a.in_sync for s, a in held.items()}


def test_nothing_is_adopted_at_once_nor_when_the_store_was_not_restored(world: PocketWorld) -> None:
    found: list[AdoptionPlan | TwinholdError] = []
    world.lead().adopt_store(ASKED, found.append)
    until(world, lambda: bool(found), within_s=3.0)
    assert isinstance(found[0], AdoptionPlan)
    assert (found[0].rebuilt, found[0].unclear) == ((), ())
    assert world.vault.incarnation == 1
    backup = lost_time(world)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    world.lead().adopt_store(AGAIN, found.append)
    until(world, lambda: len(found) > 1, within_s=3.0)
    assert isinstance(found[1], RefusedBySafetyError)
    assert "may still arrive" in found[1].message
    assert world.vault.incarnation == 1


def test_a_retry_finds_the_adoption_that_the_first_attempt_did(world: PocketWorld) -> None:
    backup = lost_time(world)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    assert isinstance(adopted(world), AdoptionPlan)
    before = records(world)
    again = adopted(world)
    assert isinstance(again, AdoptionPlan)
    assert again.rebuilt == ()
    assert records(world) == before
    assert world.revision != NO_REVISION


def test_an_adoption_of_which_the_answer_is_lost_is_found_by_the_next_leader(world: PocketWorld) -> None:
    backup = lost_time(world)
    held = dict(world.known)
    world.vault.restore(backup, noticed=False)
    until(world, lambda: frozen(world), within_s=NOTICED_S)
    until(world, lambda: not planned(world).obstacles, within_s=8.0)
    found: list[AdoptionPlan | TwinholdError] = []
    world.lead().adopt_store(ASKED, found.append)
    while world.vault.incarnation == 1:
        world.run(0.001)
    world.crash_control_plane(FRA_CP)
    assert found == []
    until(world, lambda: world.leader() not in (None, "fra1-cp"), within_s=5.0)
    world.run(NOTICED_S)
    assert not frozen(world)
    assert {s: a.in_sync for s, a in world.known.items()} == {s: a.in_sync for s, a in held.items()}
    assert all(world.known[shard].incarnation > held[shard].incarnation for shard in held)
    switch(world, ShardId(0))
