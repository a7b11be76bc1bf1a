"""What worker processes do with a seed: run its schedule, and tell what became of it."""

from collections.abc import Mapping
from typing import TypeAlias

from chaos.fleet_laws import LAWS, Breach, first_of_each
from chaos.io.child import Fields
from chaos.schedule_file import saved
from chaos.sim.run import SimResult, simulate
from chaos.sim.worlds import parts, schedule_of

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JUDGE_SEED = "chaos.sim.tasks:judge_seed"
JUDGE_SAVED = "chaos.sim.tasks:judge_saved"


def judge_seed(job: Fields) -> Mapping[str, object]:
    """Run the schedule of ``seed``."""
    return told(simulate(schedule_of(int(job["seed"])), parts()))


def judge_saved(job: Fields) -> Mapping[str, object]:
    """Run the schedule that is written down in ``content``."""
    return told(simulate(saved(job["content"], job["file"]).schedule, parts()))


def told(result: SimResult) -> dict[str, Json]:
    """Tell a result as JSON, of every law that was broken the first breach."""
    return {
        "seed": result.seed,
        "broken": [{"law": b.law.name, "what": b.what, "at_s": b.at_s} for b in first_of_each(result.broken)],
        "operations": result.operations,
        "acknowledged": result.acknowledged,
        "simulated_s": result.simulated_s,
        "trace_hash": result.trace_hash,
        "marks": dict(result.marks),
    }


def heard(fields: Fields) -> SimResult:
    """Read one."""
    broken = tuple(Breach(LAWS[b["law"]], b["what"], b["at_s"]) for b in fields["broken"])
    return SimResult(
        fields["seed"],
        broken,
        fields["operations"],
        fields["acknowledged"],
        fields["simulated_s"],
        fields["trace_hash"],
        fields["marks"],
    )
