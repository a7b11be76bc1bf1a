"""Whole control planes in virtual time: what they do when data centers and leaders come and go."""

from collections.abc import Callable

import pytest

from control_plane.views import Asked, DcState, OperationView, Started
from core.assignments import Assignment
from core.errors import NotLeaderError, RefusedBySafetyError, TwinholdError, UnavailableError
from core.names import ControlPlaneId, DcId, dc_of
from tests.unit.control_plane.lands import EU_SHARDS, US_SHARDS, two_lands
from tests.unit.control_plane.pocket_world import PocketWorld

ASKED = Asked("users/ada", "a test", "6e9e2f0c-0000-4000-8000-000000000001")
FRA, WAW, IAD = DcId("fra1"), DcId("waw1"), DcId("iad1")


@pytest.fixture
def world() -> PocketWorld:
    """A fleet that has come up, with its first leader in fra1."""
    fleet = PocketWorld(two_lands())
    fleet.run(4.0)
    return fleet


def until(world: PocketWorld, true: Callable[[], bool], *, within_s: float) -> float:
    """Let time pass until something holds; answers how long that took."""
    began = world.world.now
    while not true():
        assert world.world.now - began < within_s, f"not within {within_s} virtual seconds"
        world.run(0.02)
    return world.world.now - began


def drained(world: PocketWorld, dc: DcId, *, accept_exposure: bool = False) -> OperationView:
    """Ask for a drain, and return the operation that was started."""
    found: list[Started | TwinholdError] = []
    world.lead().drain(dc, validate_only=False, accept_exposure=accept_exposure, asked=ASKED, done=found.append)
    until(world, lambda: bool(found), within_s=2.0)
    started = found[0]
    assert isinstance(started, Started)
    assert started.operation is not None
    return started.operation


def test_a_fleet_comes_up_whole(world: PocketWorld) -> None:
    status = world.lead().status()
    assert world.leader() == "fra1-cp"
    assert (status.shards_sync, status.shards_solo, status.shards_down) == (EU_SHARDS + US_SHARDS, 0, 0)
    assert status.problems == ()
    assert all(geography.survives_any_loss for geography in status.geographies)


def test_losing_the_leaders_data_center_costs_its_shards_less_than_one_and_a_half_seconds(world: PocketWorld) -> None:
    assert world.led_in(FRA)
    world.kill_dc(FRA)
    took_s = until(world, lambda: not world.led_in(FRA), within_s=2.0)
    assert took_s <= 1.5
    assert world.leader() not in (None, "fra1-cp")
    types = world.types()
    assert types.index("evacuation.recorded") < types.index("failover.canary") < types.index("failover.promoted")


def test_a_data_center_that_has_not_started_yet_is_not_evacuated_and_costs_none_of_the_brake() -> None:
    fleet = PocketWorld(two_lands())
    fleet.kill_dc(IAD)
    fleet.run(4.0)
    assert "verdict.withheld" in fleet.types()
    assert "verdict.reached" not in fleet.types()
    fleet.kill_dc(WAW)
    until(fleet, lambda: "evacuation.finished" in fleet.types(), within_s=3.0)


def test_shards_that_do_not_touch_the_lost_data_center_stay_where_they_are(world: PocketWorld) -> None:
    bystanders = {s: a for s, a in world.known.items() if all(dc_of(c.node) != FRA for c in a.in_sync)}
    world.kill_dc(FRA)
    world.run(3.0)
    assert {shard: world.known[shard] for shard in bystanders} == bystanders


def test_every_exposed_shard_gets_a_second_copy_elsewhere(world: PocketWorld) -> None:
    world.kill_dc(FRA)
    until(world, lambda: not world.in_dc(FRA), within_s=3.0)
    until(world, lambda: all(not a.solo for a in world.known.values()), within_s=10.0)
    status = world.lead().status()
    assert status.shards_solo == 0
    assert status.geographies[0].survives_any_loss


def test_nothing_is_planned_while_shards_wait_for_a_new_primary(world: PocketWorld) -> None:
    world.kill_dc(FRA)
    until(world, lambda: world.types().count("copy.added") > 0, within_s=10.0)
    types = world.types()
    assert types.index("evacuation.finished") < types.index("move.started")


def test_a_frozen_data_center_is_evacuated_after_the_full_silence_and_not_before(world: PocketWorld) -> None:
    world.freeze_dc(IAD)
    world.run(world.timers.silence_s - 0.05)
    assert "evacuation.recorded" not in world.types()
    until(world, lambda: not world.led_in(IAD), within_s=2.0)


def test_a_thawed_data_center_takes_standbys_at_once_and_primaries_after_the_holddown(world: PocketWorld) -> None:
    world.freeze_dc(WAW)
    until(world, lambda: not world.in_dc(WAW), within_s=4.0)
    until(world, lambda: all(not a.solo for a in world.known.values()), within_s=10.0)
    world.thaw_dc(WAW, frozen_s=5.0)
    until(world, lambda: "dc.returned" in world.types(), within_s=6.0)
    back_at = world.world.now
    until(world, lambda: bool(world.in_dc(WAW)), within_s=3.0)
    assert not world.led_in(WAW)
    until(world, lambda: bool(world.led_in(WAW)), within_s=15.0)
    assert world.world.now - back_at >= world.timers.holddown_s - 0.5
    until(world, lambda: "dc.home" in world.types(), within_s=20.0)


def test_a_second_data_center_of_one_geography_is_left_alone_and_the_brake_says_so(world: PocketWorld) -> None:
    world.kill_dc(WAW)
    until(world, lambda: not world.led_in(WAW), within_s=3.0)
    until(world, lambda: all(not a.solo for a in world.known.values()), within_s=10.0)
    world.kill_dc("par1")
    world.run(3.0)
    assert world.led_in("par1")
    assert world.lead().status().brake_halted
    assert "brake.halted" in world.types()
    closed: list[object] = []
    world.lead().resume(ASKED, closed.append)
    until(world, lambda: "brake.resumed" in world.types(), within_s=3.0)
    assert not world.lead().status().brake_halted


def test_a_verdict_that_waits_for_the_store_is_counted_by_the_brake(world: PocketWorld) -> None:
    world.store_down = True
    world.kill_dc(WAW)
    world.run(3.0)
    world.start_dc(WAW)
    world.run(3.0)
    world.kill_dc("par1")
    world.run(3.0)
    world.store_down = False
    world.run(3.0)
    recorded = [event.subject for event in world.events() if event.type == "evacuation.recorded"]
    assert recorded == ["dataCenters/waw1"]
    assert world.lead().status().brake_halted


def test_a_cut_observer_leads_to_no_action(world: PocketWorld) -> None:
    for other in world.topology.nodes:
        if other.id != "ber1-c1":
            world.cut.add(frozenset(("ber1-c1", other.id)))
    before = {shard: a.primary for shard, a in world.known.items() if a.primary.node != "ber1-c1"}
    world.run(5.0)
    assert "evacuation.recorded" not in [e.type for e in world.events() if e.subject != "nodes/ber1-c1"]
    assert all(world.known[shard].primary == primary for shard, primary in before.items())


def test_a_cut_link_between_two_data_centers_leads_to_no_evacuation_and_is_told(world: PocketWorld) -> None:
    world.cut.add(frozenset(("ams1", "par1")))
    world.run(6.0)
    assert "evacuation.recorded" not in world.types()
    assert "verdict.withheld" in world.types()


def test_a_node_is_lost_alone_when_its_data_center_lives(world: PocketWorld) -> None:
    world.hosts["par1-c1"].crash()
    world.break_stream("par1-c1")
    until(world, lambda: not [a for a in world.led_in("par1") if a.primary.node == "par1-c1"], within_s=3.0)
    recorded = [event.subject for event in world.events() if event.type == "evacuation.recorded"]
    assert recorded == ["nodes/par1-c1"]


def test_without_any_control_plane_nothing_changes_and_a_new_leader_takes_everything_up(world: PocketWorld) -> None:
    before = dict(world.known)
    for control_plane in list(world.drivers):
        world.crash_control_plane(control_plane)
    world.run(5.0)
    assert world.known == before
    for control_plane in list(world.drivers):
        world.restart_control_plane(control_plane)
    until(world, lambda: world.leader() is not None, within_s=3.0)
    world.run(3.0)
    assert world.known == before
    assert world.lead().status().problems == ()


def test_an_outage_of_the_store_changes_nothing_and_ends_without_harm(world: PocketWorld) -> None:
    before = dict(world.known)
    world.store_down = True
    world.run(10.0)
    world.store_down = False
    world.run(3.0)
    assert world.known == before
    assert world.lead().status().problems == ()


def test_a_drain_empties_a_data_center_without_ever_leaving_one_copy(world: PocketWorld) -> None:
    operation = drained(world, WAW)
    seen_solo: list[Assignment] = []

    def done() -> bool:
        seen_solo.extend(a for a in world.known.values() if a.solo)
        return world.lead().operation(operation.id).done

    until(world, done, within_s=40.0)
    assert not world.in_dc(WAW)
    assert not seen_solo
    assert world.lead().data_center(WAW).state is DcState.DRAINED


def test_a_drain_changes_all_roles_before_it_copies_anything(world: PocketWorld) -> None:
    operation = drained(world, WAW)
    until(world, lambda: world.lead().operation(operation.id).done, within_s=40.0)
    orders = [event.reasons[0].split()[0] for event in world.events() if event.type == "move.started"]
    roles = orders.count("SWITCHOVER")
    assert roles
    assert orders == ["SWITCHOVER"] * roles + ["SWAP"] * (len(orders) - roles)


def test_a_drain_goes_on_under_the_next_leader(world: PocketWorld) -> None:
    operation = drained(world, WAW)
    world.run(1.0)
    assert world.in_dc(WAW)
    world.crash_control_plane(ControlPlaneId("fra1-cp"))
    until(world, lambda: world.leader() not in (None, "fra1-cp"), within_s=3.0)
    until(world, lambda: not world.in_dc(WAW), within_s=40.0)
    until(world, lambda: world.lead().operation(operation.id).done, within_s=3.0)


def test_a_drain_without_a_third_data_center_is_refused(world: PocketWorld) -> None:
    with pytest.raises(RefusedBySafetyError) as refusal:
        world.lead().drain(IAD, validate_only=False, accept_exposure=False, asked=ASKED, done=lambda _: None)
    assert any("nowhere to go" in violation for violation in refusal.value.violations)


def test_an_uncordoned_data_center_is_given_its_share_back(world: PocketWorld) -> None:
    operation = drained(world, WAW)
    until(world, lambda: world.lead().operation(operation.id).done, within_s=40.0)
    opened: list[object] = []
    world.lead().uncordon(WAW, etag="", asked=ASKED, done=opened.append)
    until(world, lambda: "dc.home" in world.types(), within_s=40.0)
    assert world.led_in(WAW)


def test_a_retry_under_the_same_request_id_finds_the_same_operation(world: PocketWorld) -> None:
    first = drained(world, WAW)
    again: list[Started | TwinholdError] = []
    world.lead().drain(WAW, validate_only=False, accept_exposure=False, asked=ASKED, done=again.append)
    assert isinstance(again[0], Started)
    assert again[0].operation is not None
    assert again[0].operation.id == first.id


def test_a_shard_changes_roles_when_asked(world: PocketWorld) -> None:
    shard, before = next(iter(world.known.items()))
    found: list[Started | TwinholdError] = []
    world.lead().switchover(shard, validate_only=False, asked=ASKED, done=found.append)
    until(world, lambda: bool(found), within_s=1.0)
    until(world, lambda: world.known[shard].primary == before.standby, within_s=0.6)
    assert isinstance(found[0], Started)
    operation = found[0].operation
    assert operation is not None
    until(world, lambda: world.lead().operation(operation.id).done, within_s=3.0)


def test_a_primary_that_cannot_serve_is_relieved_on_its_own_report(world: PocketWorld) -> None:
    shard, before = next(iter(world.known.items()))
    world.nodes[before.primary.node].complaint[shard] = "damaged at lsn 17"
    until(world, lambda: world.known[shard].primary == before.standby, within_s=3.0)
    assert "evacuation.recorded" not in world.types()


def test_a_node_that_comes_back_at_once_on_an_empty_disk_leads_nothing_more(world: PocketWorld) -> None:
    node = next(iter(world.known.values())).primary.node
    led = [record.shard for record in world.known.values() if record.primary.node == node]
    world.nodes[node].disk = "another"
    world.nodes[node].process_id += 1
    until(world, lambda: all(world.known[shard].primary.node != node for shard in led), within_s=3.0)
    assert "evacuation.recorded" not in world.types()
    until(world, lambda: not any(record.solo for record in world.known.values()), within_s=10.0)


def test_an_operators_evacuation_needs_no_verdict_and_is_not_counted_by_the_brake(world: PocketWorld) -> None:
    found: list[Started | TwinholdError] = []
    world.lead().evacuate(WAW, validate_only=False, asked=ASKED, done=found.append)
    until(world, lambda: not world.led_in(WAW), within_s=5.0)
    world.kill_dc("par1")
    world.run(3.0)
    assert "brake.halted" in world.types(), "two data centers of one geography look dead"


def test_a_store_restored_from_a_backup_is_noticed_and_never_written(world: PocketWorld) -> None:
    backup = world.vault.backup()
    shard, before = next(iter(world.known.items()))
    world.lead().switchover(shard, validate_only=False, asked=ASKED, done=lambda _: None)
    until(world, lambda: world.known[shard].fence > before.fence, within_s=5.0)
    world.run(2.0)
    world.vault.restore(backup, noticed=False)
    for control_plane in list(world.drivers):
        world.crash_control_plane(control_plane)
        world.restart_control_plane(control_plane)
    until(world, lambda: world.leader() is not None, within_s=3.0)
    world.run(3.0)
    assert "store.restored" in world.types()
    with pytest.raises(UnavailableError):
        world.lead().cordon(WAW, etag="", asked=ASKED, done=lambda _: None)


def test_a_follower_names_the_leader(world: PocketWorld) -> None:
    with pytest.raises(NotLeaderError) as refusal:
        world.drivers[ControlPlaneId("iad1-cp")].reception.data_centers()
    assert refusal.value.facts["leader"] == "fra1-cp"


def test_a_leader_that_stood_still_leads_again_only_when_nobody_took_over(world: PocketWorld) -> None:
    world.freeze_dc(FRA)
    until(world, lambda: world.leader() not in (None, "fra1-cp"), within_s=4.0)
    world.run(2.0)
    world.thaw_dc(FRA, frozen_s=3.0)
    world.run(2.0)
    assert world.drivers[ControlPlaneId("fra1-cp")].leader().leader == world.leader() != "fra1-cp"
