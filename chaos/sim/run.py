"""Runs one schedule on a simulated fleet, and judges it."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from chaos.error_laws import undocumented
from chaos.fleet_laws import Breach, FleetLaw
from chaos.history import Line
from chaos.judgement import Finding, Verdict
from chaos.laws import judged
from chaos.schedule import Schedule
from chaos.sim.fleet import SimFleet
from chaos.sim.inject import inject
from chaos.sim.node import Parts
from chaos.sim.time import World
from chaos.sim.worlds import plan_of

LAST_WORDS_S = 6.0
"""Longer than any operation lasts: so long people are waited for once they have stopped."""


@dataclass(frozen=True, slots=True)
class SimResult:
    """What became of a run."""

    seed: int
    broken: tuple[Breach, ...]
    """The earliest first; empty: none."""
    operations: int
    acknowledged: int
    simulated_s: float
    trace_hash: str
    marks: Mapping[str, int] = field(default_factory=dict)
    """How often each path that matters was taken, by the mark's name."""


def simulate(schedule: Schedule, parts: Parts, *, tell: Callable[[str], None] | None = None) -> SimResult:
    """Run a schedule: trouble, healing, a wait until the fleet is whole, one audit read per channel, the verdict."""
    world = World(schedule.seed)
    world.tell = tell
    fleet = SimFleet(world, plan_of(schedule.setting), parts)
    try:
        broken = [*_run(fleet, schedule), *_judged(fleet)]
    except Exception as error:  # noqa: BLE001  # whatever the code under test trips over is what we look for
        broken = [_tripped(error, world.now)]
    broken = sorted([*fleet.witness.breaches, *broken], key=lambda breach: inf if breach.at_s is None else breach.at_s)
    acknowledged = sum(1 for line in fleet.lines if line.outcome == "ok")
    return SimResult(
        seed=schedule.seed,
        broken=tuple(broken),
        operations=len(fleet.lines),
        acknowledged=acknowledged,
        simulated_s=world.now,
        trace_hash=world.trace_hash,
        marks=fleet.witness.marks,
    )


def _run(fleet: SimFleet, schedule: Schedule) -> list[Breach]:
    world = fleet.world
    fleet.start()
    for timed in schedule.faults:
        world.at(timed.at_s, lambda fault=timed.fault: inject(fleet, fault))  # type: ignore[misc]  # bound per turn
    world.run(schedule.trouble_s)
    fleet.heal()
    broken = _settle(fleet, schedule)
    for user in fleet.users:
        user.stopped = True
    world.run(world.now + LAST_WORDS_S)
    audited: list[str] = []
    for user in fleet.users:
        user.audit(lambda name=str(user.tenant): audited.append(name))  # type: ignore[misc]  # bound per turn
    end = world.now + LAST_WORDS_S
    while len(audited) < len(fleet.users) and world.now < end:
        world.run(world.now + 0.1)
    fleet.witness.close()
    return broken


def _settle(fleet: SimFleet, schedule: Schedule) -> list[Breach]:
    """Wait until the fleet is whole; what is missing when the time is up is the liveness law broken."""
    end = fleet.world.now + schedule.settle_s
    while (wrong := fleet.settled()) and fleet.world.now < end:
        fleet.world.run(fleet.world.now + 0.5)
    return [Breach(FleetLaw.LIVENESS, f"{schedule.settle_s:g} s after healing {line}", end) for line in wrong]


def _judged(fleet: SimFleet) -> list[Breach]:
    judgement = judged(fleet.lines)
    broken = [Breach(finding.law, str(finding), _shown_at_s(finding, fleet.lines)) for finding in judgement.findings]
    if judgement.verdict is Verdict.UNDECIDED:
        broken.append(Breach(FleetLaw.DECIDED, "an audit read is missing"))
    broken += [Breach(FleetLaw.ROUTE, what, at_s) for user in fleet.users for at_s, what in user.detours]
    return broken + undocumented(name for user in fleet.users for name in user.errors)


def _shown_at_s(finding: Finding, lines: Sequence[Line]) -> float | None:
    """Say when the operation ended that shows it."""
    ended = (lines[number - 1].completed_ns for number in finding.lines)
    return max((at_ns / 1e9 for at_ns in ended if at_ns is not None), default=None)


def _tripped(error: Exception, at_s: float) -> Breach:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return Breach(FleetLaw.IMPOSSIBLE, f"{type(error).__name__} in {where.name}: {error}", at_s)
