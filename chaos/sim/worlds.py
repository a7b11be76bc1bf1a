"""What simulated runs are made of: a schedule and a plan, all from the seed."""

from random import Random

from chaos.schedule import Schedule
from chaos.schedule_maker import generated
from chaos.setting import Setting, tenants_of, topology_of
from chaos.sim.fleet import Plan
from chaos.sim.node import Parts
from core.timers import timers
from nodes.io.app_registry import installed_apps
from nodes.pair_rules import Rules


def schedule_of(seed: int) -> Schedule:
    """Make the seed's schedule."""
    return generated(seed, Random(seed))


def plan_of(setting: Setting) -> Plan:
    """Build the world on paper."""
    return Plan(
        topology=topology_of(setting),
        timers=timers(setting.profile),
        tenants=tenants_of(setting),
        pause_s=setting.pause_s,
        break_ratio=setting.break_ratio,
        lost_call_ratio=setting.lost_call_ratio,
    )


def parts(rules: Rules | None = None) -> Parts:
    """Name the production parts; a mutant swaps its rules."""
    return Parts(rules or Rules(), installed_apps())
