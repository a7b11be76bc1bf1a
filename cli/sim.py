"""`twinhold sim`: whole fleets on virtual time, in trouble that a seed decides; run, replayed, shrunk."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import click

from chaos import proof as paper
from chaos.fleet_laws import LAWS, Breach
from chaos.schedule import Schedule
from chaos.schedule_file import printed, saved
from chaos.sim.campaign import Limits, Tally, campaign
from chaos.sim.jobs import cores
from chaos.sim.run import SimResult, simulate
from chaos.sim.shrink import pictured, shrunk
from chaos.sim.tasks import told
from chaos.sim.worlds import parts, schedule_of
from cli.exits import Exit
from cli.options import output_option
from cli.output import Json, note, show_json
from core.errors import FixRequestError

SEEDS = "1..200"
FRESH_BITS = 40
KEPT = Path("run/sim")
SHOWN = 5
"""Failures that are listed; the first one is shrunk and drawn."""


@click.group()
def sim() -> None:
    """Run whole fleets on virtual time, in trouble: the code that runs under gRPC, every schedule from one seed."""


@sim.command()
@click.option("--seeds", metavar="A..B", help=f"Which schedules; {SEEDS}, or fresh ones with --minutes.")
@click.option("--minutes", type=click.FloatRange(min=0.01), help="Stop after so long.")
@click.option("--jobs", type=click.IntRange(min=1), default=cores, show_default="all cores", help="Processes.")
@click.option("--failures", type=click.IntRange(min=1), default=1, show_default=True, help="Stop after so many.")
@click.option(
    "--total",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on after the last seed of this file, and add this run to it.",
)
@output_option
def run(seeds: str | None, minutes: float | None, jobs: int, failures: int, total: Path | None, output: str) -> int:
    """Run schedules until one breaks a law; shrink that one, draw what happened, and say how to repeat it.

    Exit codes: 0 every law was kept, 1 one was broken, 2 bad input, 130 interrupted.
    """
    proof = _proof(total)
    first, last = _range(seeds, minutes, proof if total else None)
    note(f"seeds from {first}{'' if last is None else f' to {last}'}, {jobs} processes")
    limits = Limits(last, None if minutes is None else minutes * 60.0, failures)
    tally = campaign(first, limits, jobs=jobs, tell=lambda tally: note(_progress(tally)))
    if total is not None:
        total.write_text(paper.printed(paper.with_run(proof, _run_of(tally), tuple(LAWS))))
    shortest = [_shortened(result) for result in tally.failed[:1]]
    if output == "json":
        show_json(_as_json(tally, shortest))
    else:
        click.echo(_progress(tally))
        _show_failures(tally, shortest)
    return Exit.FAILED if tally.failed else Exit.DONE


@sim.command()
@click.argument("schedule", metavar="SEED|FILE")
@click.option("--trace", is_flag=True, help="Print everything that happens.")
@output_option
def replay(schedule: str, trace: bool, output: str) -> int:
    """Run one schedule again, by its SEED or from a FILE; draw the last moments before a breach.

    Exit codes: 0 every law was kept, 1 one was broken, 2 bad input.
    """
    found = _schedule(schedule)
    result = simulate(found, parts(), tell=click.echo if trace else None)
    if output == "json":
        show_json(told(result))
        return Exit.FAILED if result.broken else Exit.DONE
    click.echo(
        f"seed {result.seed}: {len(found.faults)} faults, {result.simulated_s:.1f} s simulated, "
        f"{result.acknowledged} of {result.operations} operations acknowledged, trace {result.trace_hash}"
    )
    for breach in result.broken:
        click.echo(_told(breach))
    if result.broken:
        click.echo(pictured(found, result.broken[0]))
    else:
        click.echo("every law was kept")
    return Exit.FAILED if result.broken else Exit.DONE


@sim.command()
@click.argument("schedule", metavar="SEED|FILE")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here, not to stdout.")
def shrink(schedule: str, out: Path | None) -> int:
    """Search for the shortest schedule that breaks the law that this one breaks, for a minute and a half at most."""
    found = _schedule(schedule)
    result = simulate(found, parts())
    if not result.broken:
        raise click.UsageError(f"schedule {schedule} keeps every law: there is nothing to shrink")
    breach = result.broken[0]
    note(_told(breach))
    short = shrunk(found, breach.law)
    content = printed(short, why=str(breach))
    if out is None:
        click.echo(content, nl=False)
    else:
        out.write_text(content)
        note(f"{len(found.faults)} faults became {len(short.faults)}: twinhold sim replay {out}")
    return Exit.DONE


def _schedule(argument: str) -> Schedule:
    if argument.isdecimal():
        return schedule_of(int(argument))
    path = Path(argument)
    try:
        return saved(path.read_text(), str(path)).schedule
    except FixRequestError as error:
        raise click.UsageError(error.message) from error
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{argument} is neither a seed nor a file that can be read: {error}") from error


def _range(seeds: str | None, minutes: float | None, proof: paper.Proof | None) -> tuple[int, int | None]:
    """Say where to begin, and where to end at the latest."""
    if seeds is None and proof is not None:
        return proof.next_seed, None if minutes else proof.next_seed + 199
    if seeds is None and minutes is not None:
        return secrets.randbits(FRESH_BITS), None
    first, dots, last = (seeds or SEEDS).partition("..")
    if not (dots and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise click.UsageError(f"--seeds {seeds} is no range: write it like {SEEDS}")
    return int(first), int(last)


def _proof(total: Path | None) -> paper.Proof:
    if total is None or not total.exists():
        return paper.NOTHING
    try:
        return paper.proof(total.read_text(), str(total))
    except FixRequestError as error:
        raise click.UsageError(error.message) from error


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


def _progress(tally: Tally) -> str:
    mean = tally.operations // max(1, tally.schedules)
    return (
        f"{tally.schedules} schedules passed, {len(tally.failed)} broke a law; "
        f"{tally.simulated_s / 3600.0:.1f} simulated hours, {mean} acknowledged operations each "
        f"({tally.operations_min} at least), {tally.per_minute:.0f} schedules a minute"
    )


def _shortened(result: SimResult) -> tuple[Schedule, Breach]:
    """Shrink what failed, and keep it."""
    law = result.broken[0].law
    note(f"seed {result.seed} broke {law.name}; searching for the shortest schedule that does")
    short = shrunk(schedule_of(result.seed), law)
    breach = next(b for b in simulate(short, parts()).broken if b.law is law)
    KEPT.mkdir(parents=True, exist_ok=True)
    _kept(result).write_text(printed(short, why=str(breach)))
    return short, breach


def _kept(result: SimResult) -> Path:
    return KEPT / f"seed-{result.seed}.json"


def _told(breach: Breach) -> str:
    when = "" if breach.at_s is None else f" at {breach.at_s:.3f} s"
    return f"broken{when}: {breach} (law: {breach.law.value})"


def _show_failures(tally: Tally, shortest: list[tuple[Schedule, Breach]]) -> None:
    for result in tally.failed[:SHOWN]:
        click.echo(f"seed {result.seed} {_told(result.broken[0])}")
    if len(tally.failed) > SHOWN:
        click.echo(f"and {len(tally.failed) - SHOWN} more")
    for (schedule, breach), result in zip(shortest, tally.failed, strict=False):
        click.echo(f"\nthe shortest schedule found: {len(schedule.faults)} faults, {schedule.trouble_s:g} s of trouble")
        for timed in schedule.faults:
            click.echo(f"  at {timed.at_s:g} s {timed.fault}")
        click.echo(f"{_told(breach)}\n\n{pictured(schedule, breach)}\n")
        click.echo(
            f"repeat it: twinhold sim replay {_kept(result)}; as it was found: twinhold sim replay {result.seed}"
        )


def _as_json(tally: Tally, shortest: list[tuple[Schedule, Breach]]) -> Json:
    return {
        "first_seed": tally.first_seed,
        "last_seed": tally.last_seed,
        "schedules": tally.schedules,
        "simulated_hours": round(tally.simulated_s / 3600.0, 3),
        "operations": tally.operations,
        "operations_min": tally.operations_min,
        "schedules_per_minute": round(tally.per_minute, 1),
        "broken": [told(result) for result in tally.failed],
        "shortest": [str(_kept(result)) for result, _ in zip(tally.failed, shortest, strict=False)],
    }
