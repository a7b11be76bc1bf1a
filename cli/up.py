"""`twinhold up` and `twinhold down`: a whole fleet on this machine."""

from pathlib import Path

import click

from cli.configured import Asked, configured
from cli.options import fleet_option
from cli.output import note
from core.timers import PROFILES
from regions.io import up as fleets
from regions.io.configuration import settings
from regions.io.load import load
from regions.settings import placed

DETACHED = "it runs on; see: twinhold status, end it with: twinhold down"


@click.command()
@click.argument("topology", required=False)
@fleet_option
@click.option("--detach", is_flag=True, help="Return when the fleet is whole, and leave it running.")
@click.option("--profile", metavar="|".join(PROFILES), help="Of the timers; default.")
@click.option("--seed", type=int, help="For everything that is left to chance; 1.")
@click.option(
    "--address-base",
    type=int,
    metavar="N",
    help="Use addresses from 127.N on, so that two fleets do not collide.",
)
@configured
def up(
    asked: Asked,
    topology: str | None,
    fleet_dir: Path,
    detach: bool,
    profile: str | None,
    seed: int | None,
    address_base: int | None,
) -> int:
    """Bring a fleet up: TOPOLOGY is a preset (reference, laptop, small) or a YAML file.

    It runs until interrupted, or with --detach until `twinhold down`. What is not said here is as the configuration
    says: see `twinhold config show`.
    """
    wanted = asked.also(
        {
            "fleet.topology": (topology, "TOPOLOGY"),
            "fleet.profile": (profile, "--profile"),
            "fleet.seed": (seed, "--seed"),
            "fleet.address_base": (address_base, "--address-base"),
        }
    )
    found = settings(wanted.config, wanted.options)
    placed(found, load(found.fleet.topology, address_base=found.fleet.address_base))
    code = fleets.run(found.fleet, found.engines, folder=fleet_dir, detach=detach, say=note)
    if detach and code == 0:
        note(DETACHED)
    return code


@click.command()
@fleet_option
def down(fleet_dir: Path) -> None:
    """End the fleet of a folder; its data stays there."""
    fleets.down(fleet_dir, say=note)
