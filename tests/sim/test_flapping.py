"""A data center that keeps falling on virtual time: it leads nothing by plan before its present hold-down is over.

What is watched is what the store decides and the journal says; what must hold is worked out here from the falls alone.
"""

from dataclasses import dataclass, field, replace

import pytest

from chaos.setting import SMALL
from chaos.sim.fleet import SimFleet
from chaos.sim.time import WALL_SKEW_S, World
from chaos.sim.worlds import parts, plan_of
from control_plane.holddown import DOUBLINGS_MAX
from control_plane.reception import Reception
from control_plane.views import Asked
from core.assignments import Assignment
from core.errors import TwinholdError
from core.names import DcId, ShardId, dc_of
from twinhold.v1 import event_pb2

LOOK_S = 0.1
DOWN_S = 6.0
NEAR_S = 1.5
"""How near to the end of its hold-down it falls again, on either side."""
CLOCKS = 0.98
"""Two clocks that run apart as far as leases allow measure a hold-down so differently."""
DATES_S = 2 * WALL_SKEW_S
"""Another leader goes by another date."""
PERSON = Asked("users/ada", "seen", "")


@dataclass
class Watch:
    """One run: the fleet, the data center that flaps, and what was seen of it."""

    fleet: SimFleet
    dc: DcId
    falls: int = 0
    welcomes: int = 0
    welcomed_at: float = 0.0
    led_by_plan: list[float] = field(default_factory=list)
    """How long after its last welcome it was given a primary by plan."""
    too_soon: list[str] = field(default_factory=list)
    _records: dict[ShardId, Assignment] = field(default_factory=dict)

    @property
    def holddown_s(self) -> float:
        """What the hold-down must be now: every fall here comes soon after the return before."""
        return self.fleet.plan.timers.holddown_s * (1 << min(self.falls - 1, DOUBLINGS_MAX))

    def run(self, seconds: float) -> None:
        """Let time pass, and look again and again."""
        end = self.fleet.world.now + seconds
        while self.fleet.world.now < end:
            self.fleet.world.run(self.fleet.world.now + LOOK_S)
            self._look()

    def fall(self) -> None:
        """Lose the data center, and bring it back a while later."""
        self.falls += 1
        before = self.welcomes
        for name in self.fleet.names_in(self.dc):
            self.fleet.crash(name)
        self.run(DOWN_S)
        for name in self.fleet.names_in(self.dc):
            self.fleet.restart(name)
        for _ in range(200):
            if self.welcomes > before:
                return
            self.run(LOOK_S)
        raise AssertionError(f"{self.dc} was not welcomed after fall {self.falls}")

    def _look(self) -> None:
        self._release_the_brake()
        welcomes = sum(event.type == "dc.returned" for event in self._events())
        if welcomes > self.welcomes:
            self.welcomes, self.welcomed_at = welcomes, self.fleet.world.now
        held = [a for state in self.fleet.vault.read(None).values() for a in state.assignments]
        for record in held:
            self._step(self._records.get(record.shard), record)
        self._records = {record.shard: record for record in held}

    def _step(self, old: Assignment | None, new: Assignment) -> None:
        """Take note of a role that came to the data center by plan: both copies stayed in sync."""
        if old is None or dc_of(old.primary.node) == self.dc or dc_of(new.primary.node) != self.dc:
            return
        after_s = self.fleet.world.now - self.welcomed_at
        if not new.solo:
            self.led_by_plan.append(after_s)
            if after_s < CLOCKS * self.holddown_s - DATES_S:
                self.too_soon.append(f"shard {new.shard} {after_s:.1f} s after return {self.welcomes}")

    def _events(self) -> list[event_pb2.Event]:
        return [event_pb2.Event.FromString(body) for body in self.fleet.vault.read_events(None, 100_000)]

    def _release_the_brake(self) -> None:
        """Be the person who answers the page: one data center of a geography in half an hour is all it does alone."""
        reception = self._leader()
        if reception is not None and reception.status().brake_halted:
            try:
                reception.resume(PERSON, lambda _: None)
            except TwinholdError:
                return  # The leader has just begun: it is asked again.

    def _leader(self) -> Reception | None:
        drivers = [plane.driver for plane in self.fleet.planes.values() if plane.driver is not None]
        leading = [driver for driver in drivers if driver.office() is not None]
        return leading[0].reception if leading else None


def watch(seed: int, dc: str) -> Watch:
    """Build a fleet of four data centers."""
    plan = plan_of(replace(SMALL, data_centers=(4,), pause_s=0.5))
    plan = replace(plan, tenants=plan.tenants[:2])
    fleet = SimFleet(World(seed), plan, parts())
    fleet.start()
    watched = Watch(fleet, DcId(dc))
    watched.run(8.0)
    return watched


@pytest.mark.parametrize(
    ("seed", "dc"),
    [
        pytest.param(1, "ber1", id="the leader's"),
        pytest.param(2, "ams1", id="another control plane's"),
        pytest.param(3, "waw1", id="one without a control plane"),
    ],
)
def test_a_data_center_that_flaps_near_its_hold_down_leads_nothing_by_plan_before_it_is_over(
    seed: int, dc: str
) -> None:
    watched = watch(seed, dc)
    for up in (-NEAR_S, NEAR_S, -NEAR_S):
        watched.fall()
        watched.run(watched.holddown_s + up)
        assert watched.too_soon == []
    watched.fall()
    watched.run(watched.holddown_s + 20.0)
    assert watched.too_soon == []
    assert watched.led_by_plan, "in the end it is given its share again"
    assert max(watched.led_by_plan) >= CLOCKS * watched.holddown_s - DATES_S
    assert watched.fleet.settled() == []
