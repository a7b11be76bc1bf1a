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

TROUBLE_S = 24.0
SETTLE_S = 30.0
FAULTS = 6


def schedule_of(seed: int) -> Schedule:
    """Make the seed's schedule."""
    return generated(seed, Random(seed), setting_of(seed), faults=FAULTS, trouble_s=TROUBLE_S, settle_s=SETTLE_S)


def setting_of(seed: int) -> Setting:
    """Choose a world for a seed: three or four data centers, a calm or a stormy network."""
    chance = Random(seed)
    data_centers = chance.choice((3, 3, 4))
    stormy = chance.random() < 0.5
    return Setting(
        data_centers=(data_centers,),
        nodes_per_dc=1,
        control_planes=3,
        shards=4,
        profile="default",
        pause_s=0.05,
        break_ratio=0.0005 if stormy else 0.0,
        lost_call_ratio=0.02 if stormy else 0.0,
    )


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
