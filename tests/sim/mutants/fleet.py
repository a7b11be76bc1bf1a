"""The whole fleet as a stage: schedules that the seed makes, or that are written down for one mutant."""

from collections.abc import Callable
from dataclasses import dataclass

from chaos.fleet_laws import AnyLaw, Breach
from chaos.schedule import Fault, Schedule, Timed
from chaos.setting import Setting
from chaos.sim.run import simulate
from chaos.sim.worlds import parts, schedule_of
from nodes.pair_rules import Rules
from tests.sim.mutants.mutant import Script, Stage

SETTLE_S = 30.0
"""How long a scripted fleet may take to become whole."""


@dataclass(frozen=True, slots=True)
class Never:
    """What must not happen in a scripted schedule, by a word of the trace: the law that it would break there."""

    word: str
    law: AnyLaw


def stage(name: str, schedule_at: Callable[[int], Schedule], never: Never | None = None) -> Stage:
    """Make a stage of schedules."""

    def play(schedule: Schedule, rules: Rules) -> Breach | None:
        told: list[str] = []

        def tell(line: str) -> None:
            if never is not None and never.word in line:
                told.append(line)

        broken = simulate(schedule, parts(rules), tell=None if never is None else tell).broken
        if never is not None and told:
            return Breach(never.law, told[0])
        return broken[0] if broken else None

    return Stage(name, lambda number, rules: play(schedule_at(number), rules), Script(schedule_at, play))


CHANCE = stage("fleet world", schedule_of)


def scripted(
    name: str, *faults: tuple[float, Fault], trouble_s: float, setting: Setting, never: Never | None = None
) -> Stage:
    """Make a stage of one list of faults; a schedule's number varies all chance in the world."""
    timed = tuple(Timed(at_s, fault) for at_s, fault in faults)
    return stage(f"schedule: {name}", lambda number: Schedule(number, setting, timed, trouble_s, SETTLE_S), never)


def small(
    *,
    data_centers: tuple[int, ...] = (4,),
    nodes_per_dc: int = 1,
    break_ratio: float = 0.0,
    lost_call_ratio: float = 0.0,
    pause_s: float = 0.1,
) -> Setting:
    """Describe a small fleet."""
    return Setting(
        data_centers=data_centers,
        nodes_per_dc=nodes_per_dc,
        control_planes=3,
        shards=4,
        profile="default",
        pause_s=pause_s,
        break_ratio=break_ratio,
        lost_call_ratio=lost_call_ratio,
    )
