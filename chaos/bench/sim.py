"""Group sim: how many schedules of a minute of virtual time each the simulator does, on every core."""

from chaos.sim.campaign import Limits, Tally, campaign
from chaos.sim.jobs import cores
from chaos.sim.run import SimResult
from core.errors import UnavailableError

SCHEDULES = 240


async def sim() -> dict[str, float]:
    """Measure."""
    jobs = cores()
    limits = Limits(last_seed=SCHEDULES, for_s=None, failures=1)
    tally = await campaign(1, limits, jobs=jobs, tell=_tell, broke=_broke)
    print(f"sim: {SCHEDULES} schedules of {tally.simulated_s / SCHEDULES:.0f} s each, {jobs} processes")
    return {
        "sim_schedules_per_minute": tally.per_minute,
        "sim_operations_per_schedule": tally.operations / SCHEDULES,
    }


def _tell(tally: Tally) -> None:
    print(f"sim: {tally.schedules} schedules", flush=True)


def _broke(result: SimResult) -> None:
    raise UnavailableError(f"seed {result.seed} broke {result.broken[0]}: what is wrong is not measured")
