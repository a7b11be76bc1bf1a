"""`twinhold rehearse`: loses a data center on purpose, and judges what that cost."""

from pathlib import Path

import click

from cli.configured import Asked, configured
from core.errors import FixRequestError, NotFoundError
from core.timers import PROFILES


@click.command()
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=1, show_default=True, help="Repeats a run's choices.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Where to write; run/rehearsals/<time>-<seed>."
)
@click.option("--tenants", type=click.IntRange(min=1), help="Tenants in use; the scenario's own number.")
@click.option(
    "--rate", type=click.IntRange(min=1), help="Writes per second; the scenario's own number. Reads: twice that."
)
@click.option("--preset", help="The fleet; the scenario's own.")
@click.option("--profile", type=click.Choice(list(PROFILES)), help="Timers; the scenario's own.")
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Play the steps of this scenario too, after the others; more than once if you like.",
)
@click.option("--servers", is_flag=True, help="A data center's Cassandra and Consul fall and return with it.")
@configured
def rehearse(
    asked: Asked,
    scenario: Path | None,
    seed: int,
    out: Path | None,
    tenants: int | None,
    rate: int | None,
    preset: str | None,
    profile: str | None,
    also: tuple[Path, ...],
    servers: bool,
) -> int:
    """Bring a fleet up, load it, break it as a SCENARIO says, and judge: was anything acknowledged lost?

    Without SCENARIO (a YAML file): lose fra1 with the leader, freeze iad1, lose every control plane, drain waw1.
    Which engines it stands on, the configuration says; their servers are its own, never those of a fleet in use.
    The fleet and its timers are the scenario's.

    Exit codes: 0 PASS, 1 FAIL, 2 bad input, 10 INVALID (the run proves nothing; it says why).
    """
    from chaos.io.rehearsal import run  # half a second of CPU, which --help and a wrong option need not wait for
    from regions.io.configuration import settings
    from regions.servers import of_its_own

    try:
        return run(
            scenario,
            seed=seed,
            out=out,
            tenants=tenants,
            rate=rate,
            preset=preset,
            profile=profile,
            engines=of_its_own(settings(asked.config, asked.options).engines),
            also=also,
            servers=servers,
        )
    except (NotFoundError, FixRequestError) as error:
        raise click.UsageError(error.message) from error
