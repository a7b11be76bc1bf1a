"""`twinhold sim`: whole fleets on virtual time, in trouble that a seed decides; run, replayed, shrunk."""

from pathlib import Path

import click

from cli.options import output_option


@click.group()
def sim() -> None:
    """Run whole fleets on virtual time, in trouble: the code that runs under gRPC, every schedule from one seed."""


@sim.command()
@click.option("--seeds", metavar="A..B", help="Which schedules; 1..200, or fresh ones with --minutes or --total.")
@click.option("--minutes", type=click.FloatRange(min=0.01), help="Stop after so long.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; as many as there are cores.")
@click.option("--failures", type=click.IntRange(min=1), default=1, show_default=True, help="Stop after so many.")
@click.option(
    "--total",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on after the last seed of this file, and add this run to it.",
)
@output_option
def run(
    seeds: str | None, minutes: float | None, jobs: int | None, failures: int, total: Path | None, output: str
) -> int:
    """Run schedules until one breaks a law; shrink that one, draw what happened, and say how to repeat it.

    Exit codes: 0 every law was kept, 1 one was broken, 2 bad input, 130 interrupted.
    """
    from chaos.sim import command  # half a second of CPU, which --help and a wrong option need not wait for

    return command.run(
        seeds=seeds, minutes=minutes, jobs=jobs, failures=failures, total=total, as_json=output == "json"
    )


@sim.command()
@click.argument("schedule", metavar="SEED|FILE")
@click.option("--trace", is_flag=True, help="Print everything that happens.")
@output_option
def replay(schedule: str, trace: bool, output: str) -> int:
    """Run one schedule again, by its SEED or from a FILE; draw the last moments before a breach.

    Exit codes: 0 every law was kept, 1 one was broken, 2 bad input.
    """
    from chaos.sim import command

    return command.replay(schedule, trace=trace, as_json=output == "json")


@sim.command()
@click.argument("schedule", metavar="SEED|FILE")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here, not to stdout.")
def shrink(schedule: str, out: Path | None) -> int:
    """Search for the shortest schedule that breaks the law that this one breaks, for a minute and a half at most.

    Exit codes: 0 here it is, 2 bad input, or a schedule that keeps every law.
    """
    from chaos.sim import command

    return command.shrink(schedule, out)
