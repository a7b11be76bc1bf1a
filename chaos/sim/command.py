"""What `twinhold sim` does: run many schedules, replay one, shrink one. Results go to stdout, the rest to stderr."""

import asyncio
import json
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from chaos import proof as paper
from chaos.fleet_laws import LAWS, Breach, first_of_each
from chaos.marks import Mark, missed
from chaos.schedule import Schedule
from chaos.schedule_file import printed, saved
from chaos.sim.campaign import Limits, Tally, campaign
from chaos.sim.jobs import cores
from chaos.sim.run import SimResult, simulate
from chaos.sim.shrink import pictured, shrunk
from chaos.sim.tasks import Json, told
from chaos.sim.worlds import parts, schedule_of
from core.errors import MalformedError, NotFoundError

SEEDS = (1, 200)
FRESH_BITS = 40
KEPT = Path("run/sim")
"""Where the shortest schedule goes."""
SHOWN = 5
"""Failures that are listed; the first one is shrunk and drawn."""
NIGHTLY = 3_000
"""A run of so many schedules must take every path that matters; a shorter one only says which it did not."""
ELSEWHERE = frozenset({Mark.OVERRIDDEN})
"""Paths that tests of their own take: an override loses what it must, and these schedules may lose nothing."""
GOOD, BROKEN = 0, 1


def run(
    *, seeds: str | None, minutes: float | None, jobs: int | None, failures: int, total: Path | None, as_json: bool
) -> int:
    """Run schedules; returns the exit code: 0 every law was kept, 1 one was broken, or a path not taken in many runs.

    Raises:
        MalformedError: ``seeds`` is no range.
        DocumentError: ``total`` is no total.
        UnavailableError: a process ended by itself.
    """
    proof = paper.proof(total.read_text(), str(total)) if total is not None and total.exists() else paper.NOTHING
    first, last = _range(seeds, minutes, proof if total else None)
    processes = jobs or cores()
    _note(f"seeds from {first}{'' if last is None else f' to {last}'}, {processes} processes")
    limits = Limits(last, None if minutes is None else minutes * 60.0, failures)
    tally = asyncio.run(
        campaign(
            first,
            limits,
            jobs=processes,
            tell=lambda tally: _note(_progress(tally)),
            broke=lambda result: _note(f"seed {result.seed} {_told(result.broken[0])}"),
        )
    )
    if total is not None:
        total.write_text(paper.printed(paper.with_run(proof, _run_of(tally), tuple(LAWS))))
    short = _shortest(tally.failed[0]) if tally.failed else None
    _say(json.dumps(_as_json(tally, short), indent=2) if as_json else _as_text(tally, short))
    return BROKEN if tally.failed or (_paths_missed(tally) and tally.schedules >= NIGHTLY) else GOOD


def replay(argument: str, *, trace: bool, as_json: bool) -> int:
    """Run one schedule; returns the exit code, as ``run`` does.

    Raises:
        DocumentError: the file holds no schedule.
        NotFoundError: there is no such file.
    """
    schedule = _schedule(argument)
    result = simulate(schedule, parts(), tell=_say if trace else None)
    if as_json:
        _say(json.dumps(told(result), indent=2))
    else:
        _say(
            f"seed {result.seed}: {len(schedule.faults)} faults, {result.simulated_s:.1f} s simulated, "
            f"{result.acknowledged} of {result.operations} operations acknowledged, trace {result.trace_hash}"
        )
        _say(_explained(schedule, result) if result.broken else "every law was kept")
    return BROKEN if result.broken else GOOD


def shrink(argument: str, out: Path | None) -> int:
    """Search for the shortest schedule that breaks the same law, and write it down.

    Raises:
        DocumentError: the file holds no schedule.
        NotFoundError: there is no such file.
        MalformedError: the schedule keeps every law.
    """
    schedule = _schedule(argument)
    result = simulate(schedule, parts())
    if not result.broken:
        raise MalformedError("schedule", argument, expected="one that breaks a law; this one keeps them all")
    breach = result.broken[0]
    _note(_told(breach))
    short = shrunk(schedule, breach.law)
    content = printed(short, why=str(breach))
    if out is None:
        sys.stdout.write(content)
    else:
        out.write_text(content)
        _note(f"{len(schedule.faults)} faults became {len(short.faults)}: twinhold sim replay {out}")
    return GOOD


def _schedule(argument: str) -> Schedule:
    if argument.isdecimal():
        return schedule_of(int(argument))
    path = Path(argument)
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as cause:
        remedy = f"{cause}; name a seed, or a file that `twinhold sim shrink --out` wrote"
        raise NotFoundError("schedule", argument, remedy=remedy) from cause
    return saved(content, str(path)).schedule


def _range(seeds: str | None, minutes: float | None, proof: paper.Proof | None) -> tuple[int, int | None]:
    """Say where to begin, and where to end at the latest."""
    first, last = SEEDS
    if seeds is not None:
        low, _, high = seeds.partition("..")
        if not (low.isdecimal() and high.isdecimal() and int(low) <= int(high)):
            raise MalformedError("range of seeds", seeds, expected=f"like {first}..{last}")
        return int(low), int(high)
    if proof is not None:
        return proof.next_seed, None if minutes else proof.next_seed + last - first
    return (first, last) if minutes is None else (secrets.randbits(FRESH_BITS), None)


def _run_of(tally: Tally) -> paper.Run:
    return paper.Run(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        first_seed=tally.first_seed,
        last_seed=tally.last_seed,
        schedules=tally.schedules,
        broken=len(tally.failed),
        simulated_hours=round(tally.simulated_s / 3600.0, 2),
        operations=tally.operations,
    )


def _shortest(result: SimResult) -> Schedule:
    """Shrink what failed, and keep it."""
    breach = result.broken[0]
    _note(f"searching for the shortest schedule that breaks {breach.law.name}")
    short = shrunk(schedule_of(result.seed), breach.law)
    KEPT.mkdir(parents=True, exist_ok=True)
    _kept(result).write_text(printed(short, why=str(breach)))
    return short


def _kept(result: SimResult) -> Path:
    return KEPT / f"seed-{result.seed}.json"


def _progress(tally: Tally) -> str:
    mean = tally.operations // max(1, tally.schedules)
    return (
        f"{tally.schedules} schedules passed, {len(tally.failed)} broke a law; "
        f"{tally.simulated_s / 3600.0:.1f} simulated hours, {mean} acknowledged operations each "
        f"({tally.operations_min} at least), {tally.per_minute:.0f} schedules a minute"
    )


def _paths_missed(tally: Tally) -> list[str]:
    return [f"{mark.name}: {mark.value}" for mark in missed([tally.marks]) if mark not in ELSEWHERE]


def _as_text(tally: Tally, short: Schedule | None) -> str:
    lines = [_progress(tally)]
    lines += [f"no schedule took the path {path}" for path in _paths_missed(tally)]
    lines += [f"seed {result.seed} {_told(result.broken[0])}" for result in tally.failed[:SHOWN]]
    if len(tally.failed) > SHOWN:
        lines.append(f"and {len(tally.failed) - SHOWN} more")
    if short is not None:
        failed = tally.failed[0]
        lines += ["", f"the shortest schedule found, with {len(short.faults)} faults:"]
        lines += [_explained(short, simulate(short, parts()))]
        lines += [f"repeat it: twinhold sim replay {_kept(failed)}; as found: twinhold sim replay {failed.seed}"]
    return "\n".join(lines)


def _explained(schedule: Schedule, result: SimResult) -> str:
    """Say what goes wrong and what that breaks, and draw the last moments before."""
    lines = [f"  at {timed.at_s:g} s {timed.fault}" for timed in schedule.faults]
    lines.append(f"  at {schedule.trouble_s:g} s everything heals")
    lines += [_told(breach) for breach in first_of_each(result.broken)]
    return "\n".join([*lines, "", pictured(schedule, result.broken[0]), ""])


def _told(breach: Breach) -> str:
    when = "" if breach.at_s is None else f" at {breach.at_s:.3f} s"
    return f"broken{when}: {breach} (law: {breach.law.value})"


def _as_json(tally: Tally, short: Schedule | None) -> Json:
    return {
        "first_seed": tally.first_seed,
        "last_seed": tally.last_seed,
        "schedules": tally.schedules,
        "simulated_hours": round(tally.simulated_s / 3600.0, 3),
        "operations": tally.operations,
        "operations_min": tally.operations_min,
        "schedules_per_minute": round(tally.per_minute, 1),
        "marks": {name: tally.marks[name] for name in sorted(tally.marks)},
        "broken": [told(result) for result in tally.failed],
        "shortest": None if short is None else str(_kept(tally.failed[0])),
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
