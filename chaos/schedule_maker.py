"""Makes schedules: the seed decides on which fleet, what goes wrong, and when.

Single faults are survived easily; what finds bugs is trouble that meets trouble. So a schedule is a handful of plots,
each a few faults that belong together: a second fault while the first is being dealt with, one after the other at the
edge of what is noticed, an operator's order in the middle of it.
"""

from collections.abc import Iterator

from chaos.plots import PLOTS
from chaos.scene import Scene, weighted
from chaos.schedule import Schedule, Timed
from chaos.setting import Setting, topology_of
from core.ports import Rng
from core.timers import timers

FIRST_S = 5.0
"""Nothing goes wrong before the fleet had time to come up."""
TROUBLE_S = 54.0
SETTLE_S = 30.0
"""The stated time within which a fleet is whole again once everything has healed."""
QUIET_S = 5.0
"""No plot begins so shortly before everything heals."""
PLOTS_MIN, PLOTS_MAX = 2, 5
OPERATIONS = 660
"""Of all people together while there is trouble, if nothing keeps them waiting."""
SHAPES: tuple[tuple[float, tuple[int, ...]], ...] = (
    (0.34, (3,)),
    (0.22, (4,)),
    (0.08, (5,)),
    (0.04, (6,)),
    (0.10, (2, 2)),
    (0.13, (3, 2)),
    (0.09, (3, 3)),
)
"""How often fleets have which data centers, by geography."""


def generated(seed: int, chance: Rng) -> Schedule:
    """Make the schedule of a seed."""
    setting = setting_by(chance)
    scene = Scene(chance, topology_of(setting), timers(setting.profile))
    plots = PLOTS_MIN + int(chance.random() * (PLOTS_MAX - PLOTS_MIN + 1))
    faults = [timed for _ in range(plots) for timed in _plot(scene)]
    timed = tuple(
        Timed(round(one.at_s, 3), one.fault)
        for one in sorted(faults, key=lambda one: one.at_s)
        if one.at_s < TROUBLE_S - QUIET_S / 2
    )
    return Schedule(seed, setting, timed, TROUBLE_S, SETTLE_S)


def setting_by(chance: Rng) -> Setting:
    """Choose a fleet, how busy its people are, and the weather."""
    data_centers = weighted(chance, SHAPES)
    total = sum(data_centers)
    shards = 4 if len(data_centers) == 1 else 3
    people = (shards + 1) * len(data_centers)
    stormy = chance.random() < 0.4
    return Setting(
        data_centers=data_centers,
        nodes_per_dc=2 if total <= 4 and chance.random() < 0.2 else 1,
        control_planes=5 if total >= 5 and chance.random() < 0.5 else 3,
        shards=shards,
        profile="default",
        pause_s=round(people * TROUBLE_S / OPERATIONS, 3),
        break_ratio=0.0005 if stormy else 0.0,
        lost_call_ratio=0.02 if stormy else 0.0,
    )


def _plot(scene: Scene) -> Iterator[Timed]:
    yield from weighted(scene.chance, PLOTS)(scene, scene.between(FIRST_S, TROUBLE_S - QUIET_S))
