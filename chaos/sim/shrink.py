"""Shrinks a schedule that breaks a law, and shows by messages and deeds how it is broken."""

import time

from chaos.diagram import SHARD, diagram
from chaos.fleet_laws import AnyLaw, Breach
from chaos.schedule import Schedule
from chaos.setting import processes_of, tenants_of, topology_of
from chaos.shrinking import shortest
from chaos.sim.run import SimResult, simulate
from chaos.sim.worlds import parts

WITHIN_S = 90.0


def shrunk(schedule: Schedule, law: AnyLaw, *, within_s: float = WITHIN_S) -> Schedule:
    """Search for the shortest schedule that still breaks this law, for a bounded time."""
    end = time.monotonic() + within_s

    def breaks(candidate: Schedule) -> bool:
        return any(breach.law is law for breach in simulate(candidate, parts()).broken)

    return shortest(schedule, breaks, more=lambda: time.monotonic() < end)


def pictured(schedule: Schedule, breach: Breach) -> str:
    """Draw the moments before a breach."""
    trace: list[str] = []
    result = simulate(schedule, parts(), tell=trace.append)
    topology = topology_of(schedule.setting)
    hosts = [*processes_of(topology), *map(str, tenants_of(schedule.setting))]
    named = SHARD.search(breach.what)
    shard = None if named is None else int(named[1])
    return diagram(trace, hosts=hosts, until_s=_until_s(result, breach), shard=shard)


def _until_s(result: SimResult, breach: Breach) -> float:
    return result.simulated_s if breach.at_s is None else breach.at_s
