"""The lossy override as the leader sees it: what it refuses, what it writes, and what becomes of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from control_plane.books import AdoptionBook
from control_plane.views import Asked, OperationView, OverridePlan, Started, Statement
from core.assignments import Assignment, Copy, Fence
from core.copies import CopyView, Quarantined, Role
from core.errors import ConflictError, RefusedBySafetyError, TwinholdError
from core.names import ControlPlaneId, CopyId, DcId, NodeId, ShardId, copy_id, dc_of
from tests.unit.control_plane.lands import two_lands
from tests.unit.control_plane.pocket_world import PocketWorld

ASKED = Asked("users/ada", "the site burnt down", "6e9e2f0c-0000-4000-8000-00000000000a")
NOBODY, ADA, BO = (Statement(who, takes_over=None) for who in ("", "Ada L.", "Bo"))
IAD, PDX = DcId("iad1"), DcId("pdx1")


def until(world: PocketWorld, true: Callable[[], bool], *, within_s: float) -> None:
    """Let time pass until something holds."""
    began = world.world.now
    while not true():
        assert world.world.now - began < within_s, f"not within {within_s} virtual seconds"
        world.run(0.02)


def view_of(shard: ShardId, node: NodeId, *, last: tuple[int, int, int], last_lsn: int, commit_lsn: int) -> CopyView:
    """Describe a copy that is in sync with nobody."""
    return CopyView(
        shard=shard,
        copy_id=copy_id(f"disk-{node}", 1),
        fence=Fence(1, 1),
        role=Role.OUT,
        last_lsn=last_lsn,
        commit_lsn=commit_lsn,
        learner=None,
        learner_lag=0,
        complaint="",
        writes_per_s=0,
        orphaned=0,
        serving=False,
        last=last,
    )


@pytest.fixture
def world() -> PocketWorld:
    """A country of two data centers: iad1 was lost, so that pdx1 stood alone; now iad1 is back, and pdx1 is gone."""
    fleet = PocketWorld(two_lands())
    fleet.run(4.0)
    fleet.kill_dc(IAD)
    until(fleet, lambda: all(a.solo for a in fleet.led_in(PDX)) and not fleet.led_in(IAD), within_s=6.0)
    for shard in [a.shard for a in fleet.led_in(PDX)]:
        for node, last, lsn in (("iad1-c1", (1, 1, 1), 9), ("iad1-c2", (1, 2, 1), 7)):
            stale = view_of(shard, NodeId(node), last=last, last_lsn=lsn, commit_lsn=lsn - 2)
            fleet.nodes[NodeId(node)].stale[shard] = stale
    fleet.start_dc(IAD)
    fleet.kill_dc(PDX)
    until(fleet, lambda: "brake.halted" in fleet.types(), within_s=8.0)
    return fleet


def victim(world: PocketWorld) -> Assignment:
    return min(world.led_in(PDX), key=lambda a: a.shard)


def declared(world: PocketWorld) -> None:
    """Let a person declare the data center lost, and wait until nobody is in doubt about it."""
    found: list[object] = []
    world.lead().evacuate(PDX, validate_only=False, asked=replace(ASKED, request_id="evacuate"), done=found.append)
    until(world, lambda: "evacuation.recorded" in [e.type for e in world.events() if e.subject == "dataCenters/pdx1"],
          within_s=3.0)  # fmt: skip
    until(world, lambda: "evacuation.closed" in world.types(), within_s=15.0)


def planned(world: PocketWorld, shard: ShardId) -> OverridePlan:
    found: list[Started | TwinholdError] = []
    world.lead().override(shard, statement=NOBODY, validate_only=True, asked=ASKED, done=found.append)
    assert isinstance(found[0], Started)
    assert found[0].override is not None
    return found[0].override


def begun(world: PocketWorld, shard: ShardId) -> OperationView:
    found: list[Started | TwinholdError] = []
    world.lead().override(shard, statement=ADA, validate_only=False, asked=ASKED, done=found.append)
    until(world, lambda: bool(found), within_s=2.0)
    assert isinstance(found[0], Started)
    assert found[0].operation is not None
    return found[0].operation


def refusals(world: PocketWorld, shard: ShardId) -> str:
    with pytest.raises(RefusedBySafetyError) as refusal:
        world.lead().override(shard, statement=ADA, validate_only=False, asked=ASKED, done=lambda _: None)
    return "; ".join(refusal.value.violations)


def test_a_plan_says_what_would_be_lost_and_changes_nothing(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    plan = planned(world, base.shard)
    assert (plan.base, plan.stale.node, plan.lossy_from_lsn) == (base, "iad1-c2", 6)
    assert [copy.node for copy in plan.others] == ["iad1-c1"], "more entries, but of an older epoch"
    assert plan.primary_heard_at_ms > 0
    assert "users/ada declared it lost" in plan.evidence[0]
    assert any(line.endswith("miss pdx1-c1") for line in plan.evidence)
    assert "pdx1-cp is not heard: what it hears is not known" in plan.evidence
    world.run(2.0)
    assert world.known[base.shard] == base


def test_an_override_is_recorded_with_who_stated_what_and_why(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    operation = begun(world, base.shard)
    until(world, lambda: world.lead().operation(operation.id).done, within_s=3.0)
    after = world.known[base.shard]
    assert (after.fence, after.primary) == (
        Fence(base.incarnation + 1, base.epoch + 1),
        Copy(NodeId("iad1-c2"), CopyId("disk-iad1-c2.1")),
    )
    assert after.reason == "lossy override, lossy_from_lsn 6: Ada L. states that pdx1 is fenced or powered off"
    until(world, lambda: "failover.overridden" in world.types(), within_s=1.0)
    event = next(e for e in world.events() if e.type == "failover.overridden")
    assert (event.subject, event.actor, event.acted) == (f"shards/{base.shard}", "users/ada", True)
    assert event.reasons[0] == after.reason
    assert any("miss pdx1-c1" in reason for reason in event.reasons)
    assert after.reason in world.lead().operation(operation.id).detail
    others = [a for a in world.led_in(PDX) if a.shard != base.shard]
    assert others, "nobody asked for the others"


def test_a_retry_finds_the_same_operation_and_a_second_wish_is_refused(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    first = begun(world, base.shard)
    with pytest.raises(ConflictError):
        world.lead().override(
            base.shard, statement=BO, validate_only=False, asked=replace(ASKED, request_id="2"), done=lambda _: None
        )
    assert begun(world, base.shard).id == first.id
    until(world, lambda: world.lead().operation(first.id).done, within_s=3.0)
    assert begun(world, base.shard).id == first.id
    assert world.known[base.shard].incarnation == base.incarnation + 1


def test_an_override_whose_outcome_is_unknown_is_found_out(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    operation = begun(world, base.shard)
    world.answers_lost = True
    world.run(3.0)
    assert not world.lead().operation(operation.id).done
    world.answers_lost = False
    until(world, lambda: world.lead().operation(operation.id).done, within_s=4.0)
    assert world.known[base.shard].incarnation == base.incarnation + 1
    assert not world.lead().operation(operation.id).error


def test_an_override_goes_on_under_the_next_leader(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    operation = begun(world, base.shard)
    leader = world.leader()
    assert leader is not None
    world.crash_control_plane(leader)
    until(world, lambda: world.leader() not in (None, leader), within_s=4.0)
    until(world, lambda: world.known[base.shard].incarnation > base.incarnation, within_s=8.0)
    until(world, lambda: world.lead().operation(operation.id).done, within_s=4.0)


def begun_amid(world: PocketWorld, shard: ShardId, trouble: Callable[[], None]) -> OperationView:
    """Begin one, let something happen before it is written, and wait until it has ended."""
    found: list[Started | TwinholdError] = []

    def recorded(outcome: Started | TwinholdError) -> None:
        found.append(outcome)
        world.store_down = True
        trouble()

    world.lead().override(shard, statement=ADA, validate_only=False, asked=ASKED, done=recorded)
    until(world, lambda: bool(found), within_s=2.0)
    assert isinstance(found[0], Started)
    operation = found[0].operation
    assert operation is not None
    world.run(1.0)
    world.store_down = False
    until(world, lambda: world.lead().operation(operation.id).done, within_s=15.0)
    return world.lead().operation(operation.id)


def test_one_that_a_gate_refuses_after_all_ends_with_the_reason_and_says_that_a_write_was_begun(
    world: PocketWorld,
) -> None:
    declared(world)
    base = victim(world)

    def spoil() -> None:
        for node in ("iad1-c1", "iad1-c2"):
            world.nodes[NodeId(node)].stale.clear()

    operation = begun_amid(world, base.shard, spoil)
    assert world.known[base.shard] == base
    assert operation.error is not None
    assert operation.error.reason == "UNKNOWN_OUTCOME"
    assert "no living node of another data center" in operation.error.message


def test_another_copy_than_was_agreed_on_never_takes_over(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    with pytest.raises(ConflictError, match="iad1-c2 would take over now, not iad1-c1"):
        world.lead().override(
            base.shard,
            statement=Statement("Ada L.", takes_over=NodeId("iad1-c1")),
            validate_only=False,
            asked=ASKED,
            done=lambda _: None,
        )

    def lose_the_best() -> None:
        world.hosts["iad1-c2"].crash()
        world.break_stream("iad1-c2")

    operation = begun_amid(world, base.shard, lose_the_best)
    assert world.known[base.shard] == base
    assert operation.error is not None
    assert "iad1-c1/disk-iad1-c1.1 would take over now, not iad1-c2/disk-iad1-c2.1" in operation.error.message


# What is refused.


def test_a_data_center_that_is_not_held_lost_is_refused(world: PocketWorld) -> None:
    assert "pdx1 is not held lost: `twinhold dc evacuate pdx1` declares it so" in refusals(world, victim(world).shard)


def test_a_shard_with_a_second_copy_is_refused(world: PocketWorld) -> None:
    pair = next(a for a in world.known.values() if a.standby is not None)
    assert "a second copy in sync" in refusals(world, pair.shard)


def test_a_shard_that_was_not_rebuilt_after_a_restore_is_refused(world: PocketWorld) -> None:
    declared(world)
    base, leader = victim(world), world.leader()
    assert leader is not None
    office = world.drivers[leader].office()
    assert office is not None
    office.shelf.seen(office.shelf.next(AdoptionBook(1, "users/ada", "a restore", "r", 2, 79, (base.shard,))))
    assert "was not rebuilt when the store was adopted" in refusals(world, base.shard)


def test_nobody_to_take_over_is_refused(world: PocketWorld) -> None:
    declared(world)
    for node in ("iad1-c1", "iad1-c2"):
        world.nodes[NodeId(node)].stale = {
            shard: replace(view, complaint="damaged at lsn 3")
            for shard, view in world.nodes[NodeId(node)].stale.items()
        }
    world.run(1.0)
    told = refusals(world, victim(world).shard)
    assert "iad1-c1 can't take over: damaged at lsn 3" in told
    assert "no living node of another data center of the geography" in told


@pytest.mark.parametrize(
    ("open_to", "says"),
    [
        pytest.param("fra1-cp", "pdx1-c1 answers fra1-cp", id="the leader"),
        pytest.param("ber1-cp", "pdx1-c1 answers ber1-cp", id="another control plane"),
        pytest.param("a node", "pdx1-c1 answers ", id="an observer"),
    ],
)
def test_one_sign_of_life_is_enough_to_refuse_and_it_is_named(world: PocketWorld, open_to: str, says: str) -> None:
    declared(world)
    observer = next(node for node, targets in world.drawn.items() if "pdx1-c1" in targets and dc_of(node) != PDX)
    reached = observer if open_to == "a node" else open_to
    for other in world.hosts:
        if dc_of(NodeId(other)) != PDX and other != reached:
            world.cut.add(frozenset((PDX, other)))
    base = victim(world)
    world.start_dc(PDX)
    world.hosts[ControlPlaneId("pdx1-cp")].crash()
    world.hosts["pdx1-c2"].crash()
    until(world, lambda: says in refusals_or_none(world, base.shard), within_s=3.0)
    assert world.known[base.shard] == base


def refusals_or_none(world: PocketWorld, shard: ShardId) -> str:
    try:
        planned(world, shard)
    except RefusedBySafetyError as refusal:
        return "; ".join(refusal.violations)
    return ""


def test_what_a_returned_primary_gave_up_is_written_down_once_by_tenant(world: PocketWorld) -> None:
    declared(world)
    base = victim(world)
    operation = begun(world, base.shard)
    until(world, lambda: world.lead().operation(operation.id).done, within_s=3.0)
    lost = Quarantined((("tenants/us/acme", 12), ("tenants/us/bolt", 1)), snapshot_lsn=40)
    node = NodeId("iad1-c1")
    for writes in range(3):
        stale = world.nodes[node].stale[base.shard]
        world.nodes[node].stale[base.shard] = replace(stale, quarantined=lost, writes_per_s=writes)
        world.run(1.0)
    (event,) = [e for e in world.events() if e.type == "copy.quarantined"]
    assert event.subject == f"shards/{base.shard}"
    assert list(event.reasons) == [
        "iad1-c1 holds in orphan/ what an override gave up",
        "tenants/us/acme: 12 entries",
        "tenants/us/bolt: 1 entries",
        "the state as of entry 40: what it holds is not counted by tenant",
    ]
    leader = world.leader()
    assert leader is not None
    world.crash_control_plane(leader)
    until(world, lambda: world.types().count("copy.quarantined") == 2, within_s=6.0)
