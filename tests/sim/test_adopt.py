"""A restored store on virtual time: the fleet goes on, the store is put back to a backup, an operator adopts it.

Until then nothing is written to it; afterwards everything acknowledged is still there, and the fleet becomes whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from chaos.laws import judged
from chaos.setting import Setting
from chaos.sim.fleet import SimFleet
from chaos.sim.time import World
from chaos.sim.worlds import parts, plan_of
from control_plane.adoption import AdoptionPlan, StoreView
from control_plane.driver import ControlPlaneDriver
from control_plane.ports import Partition
from control_plane.views import Asked
from core.assignments import Assignment, Fence
from core.errors import TwinholdError
from core.names import DcId, NodeId, ShardId

LOOK_S = 0.1
ASK_S = 1.0
"""How often the operator looks."""
BEGUN_S, LOST_S, SEEN_S, SETTLE_S = 8.0, 14.0, 10.0, 60.0


@dataclass
class Drill:
    """One run: a fleet with people at work, a backup, and an operator."""

    fleet: SimFleet
    highest: dict[ShardId, Fence] = field(default_factory=dict)
    """Of every shard, the highest (incarnation, epoch) that was ever decided."""
    adoptions: list[AdoptionPlan] = field(default_factory=list)
    operates: bool = False
    """The operator is at work: adopts what can be adopted, releases the brake."""
    _ask_at: float = 0.0

    def run(self, seconds: float) -> None:
        """Let time pass, and look again and again."""
        end = self.fleet.world.now + seconds
        while self.fleet.world.now < end:
            self.fleet.world.run(self.fleet.world.now + LOOK_S)
            for record in self.records().values():
                self.highest[record.shard] = max(record.fence, self.highest.get(record.shard, record.fence))
            if self.operates and self.fleet.world.now >= self._ask_at:
                self._ask_at = self.fleet.world.now + ASK_S
                self._operate()

    def records(self) -> dict[ShardId, Assignment]:
        """Read what the store holds."""
        states = self.fleet.vault.read(None).values()
        return {record.shard: record for state in states for record in state.assignments}

    def written(self) -> Mapping[Partition, object]:
        """Read everything in the store that only a leader writes, terms apart: candidates raise those."""
        return {where: (state.assignments, state.docs) for where, state in self.fleet.vault.read(None).items()}

    def trouble(self, seconds: float) -> None:
        """Let a process die now and again, and come back."""
        chance, end = self.fleet.world.chance, self.fleet.world.now + seconds
        names = [*self.fleet.nodes, *self.fleet.planes]
        while self.fleet.world.now < end:
            name = str(chance.choice(names))
            self.fleet.crash(name)
            self.run(chance.uniform(0.5, 4.0))
            self.fleet.restart(name)
            self.run(chance.uniform(0.2, 2.0))

    def leading(self) -> ControlPlaneDriver | None:
        """Find the leader with an office."""
        drivers = [plane.driver for plane in self.fleet.planes.values() if plane.driver is not None]
        return next((driver for driver in drivers if driver.office() is not None), None)

    def frozen(self) -> bool:
        """Say whether the leader has noticed that the store was restored."""
        leader = self.leading()
        office = None if leader is None else leader.office()
        return office is not None and bool(office.frozen)

    def whole(self) -> bool:
        """Say whether no shard is frozen, alone or unserved."""
        leader = self.leading()
        office = None if leader is None else leader.office()
        return (
            office is not None and not office.frozen and not office.shelf.frozen_shards() and not self.fleet.settled()
        )

    def verify(self) -> None:
        """Let everything heal, wait until the fleet is whole, and read every channel: nothing acknowledged is lost."""
        self.fleet.heal()
        for _ in range(int(SETTLE_S)):
            if self.whole():
                break
            self.run(1.0)
        assert self.whole(), self.fleet.settled()
        for user in self.fleet.users:
            user.stopped = True
        self.run(6.0)
        for user in self.fleet.users:
            user.audit(lambda: None)
        self.run(6.0)
        assert judged(self.fleet.lines).findings == ()
        assert sum(line.outcome == "ok" for line in self.fleet.lines) > 50

    def _operate(self) -> None:
        leader = self.leading()
        if leader is None:
            return
        number = int(self.fleet.world.now * 1000)
        asked = Asked("users/ada", "the store was restored", f"adopt-{number}")
        try:
            leader.reception.store(lambda view: self._seen(leader, asked, view))
            if leader.reception.status().brake_halted:
                leader.reception.resume(replace(asked, request_id=f"resume-{number}"), lambda _: None)
        except TwinholdError:
            return  # Asked again.

    def _seen(self, leader: ControlPlaneDriver, asked: Asked, view: StoreView | TwinholdError) -> None:
        if isinstance(view, TwinholdError) or view.plan.obstacles or not view.plan.rebuilt:
            return
        try:
            leader.reception.adopt_store(asked, self._answered)
        except TwinholdError:
            return  # Another leads by now.

    def _answered(self, answer: AdoptionPlan | TwinholdError) -> None:
        if isinstance(answer, AdoptionPlan):
            self.adoptions.append(answer)


def drill(seed: int) -> Drill:
    """Build a fleet of four data centers."""
    stormy = seed % 2 == 1
    setting = Setting(
        data_centers=(4,),
        nodes_per_dc=1,
        control_planes=3,
        shards=8,
        profile="default",
        pause_s=0.2,
        break_ratio=0.0005 if stormy else 0.0,
        lost_call_ratio=0.02 if stormy else 0.0,
    )
    fleet = SimFleet(World(seed), plan_of(setting), parts())
    fleet.start()
    made = Drill(fleet)
    made.run(BEGUN_S)
    return made


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed by the store", "noticed by the leader alone"])
@pytest.mark.parametrize("seed", range(1, 3), ids=lambda seed: f"seed-{seed}")
def test_leaders_that_lived_through_it_write_nothing_until_it_is_adopted(seed: int, noticed: bool) -> None:
    made = drill(seed)
    backup = made.fleet.vault.backup()
    made.trouble(LOST_S)
    made.run(4.0)
    made.fleet.vault.restore(backup, noticed=noticed)
    for _ in range(int(SEEN_S / LOOK_S)):
        if made.frozen():
            break
        made.run(LOOK_S)
    assert made.frozen()
    before = made.written()
    made.trouble(SEEN_S)
    assert made.written() == before
    made.operates = True
    made.run(6.0)
    made.trouble(LOST_S)
    made.verify()
    assert made.adoptions
    assert made.fleet.vault.incarnation > 1


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed by the store", "noticed by the leader alone"])
@pytest.mark.parametrize("seed", range(11, 13), ids=lambda seed: f"seed-{seed}")
def test_leaders_that_start_on_it_write_nothing_until_it_is_adopted(seed: int, noticed: bool) -> None:
    made = drill(seed)
    backup = made.fleet.vault.backup()
    made.trouble(LOST_S)
    decided = dict(made.highest)
    for control_plane in made.fleet.planes:
        made.fleet.crash(control_plane)
    made.run(1.0)
    made.fleet.vault.restore(backup, noticed=noticed)
    before = made.written()
    for control_plane in made.fleet.planes:
        made.fleet.restart(control_plane)
    dead = next(iter(made.fleet.nodes))
    made.fleet.crash(dead)  # A verdict is to be given at once; what the copies hold must be looked at before.
    made.run(SEEN_S)
    assert made.written() == before
    made.fleet.restart(dead)
    if noticed:
        made.trouble(SEEN_S)
    assert made.written() == before
    made.operates = True
    made.run(SEEN_S)
    assert made.adoptions
    rebuilt = {one.new.shard: one.new.fence for plan in made.adoptions for one in plan.rebuilt}
    assert all(fence > decided[shard] for shard, fence in rebuilt.items())
    made.trouble(LOST_S)
    made.verify()


@pytest.mark.parametrize("seed", range(21, 23), ids=lambda seed: f"seed-{seed}")
def test_a_data_center_that_is_away_keeps_its_shards_frozen_and_nothing_else(seed: int) -> None:
    made = drill(seed)
    backup = made.fleet.vault.backup()
    made.trouble(LOST_S)
    made.fleet.vault.restore(backup, noticed=True)
    away = DcId("waw1")
    for name in made.fleet.names_in(away):
        made.fleet.crash(name)
    touched = {r.shard for r in made.records().values() if _touches(made, r.shard, away)}
    made.operates = True
    made.run(SEEN_S + 10.0)
    assert made.adoptions
    assert {one.shard for one in made.adoptions[0].unclear} >= touched
    kept = {shard: record for shard, record in made.records().items() if shard in touched}
    made.run(10.0)
    assert {shard: made.records()[shard] for shard in touched} == kept
    made.verify()


def _touches(made: Drill, shard: ShardId, dc: DcId) -> bool:
    """Say whether some living copy's own record names a data center: the store does not know any more."""
    for node in made.fleet.nodes.values():
        views = [] if node.driver is None else node.driver.report(complete=True)
        for view in views:
            names = [] if view.decided is None else [copy.node for copy in view.decided.in_sync]
            mine = view.decided is not None and NodeId(node.node) in names
            if view.shard == shard and mine and any(name.startswith(dc) for name in names):
                return True
    return False
