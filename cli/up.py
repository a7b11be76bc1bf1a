"""`twinhold up` and `twinhold down`: a whole fleet on this machine."""

from pathlib import Path

import click

from cli.options import fleet_option
from cli.output import note
from core.timers import PROFILES
from regions.io import up as fleets

DETACHED = "it runs on; see: twinhold status, end it with: twinhold down"


@click.command()
@click.argument("topology", default="reference")
@fleet_option
@click.option("--detach", is_flag=True, help="Return when the fleet is whole, and leave it running.")
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="default", show_default=True, help="Of the timers."
)
@click.option("--seed", type=int, default=1, show_default=True, help="For everything that is left to chance.")
@click.option(
    "--address-base",
    type=int,
    metavar="N",
    help="Use addresses from 127.N on, so that two fleets do not collide.",
)
def up(topology: str, fleet_dir: Path, detach: bool, profile: str, seed: int, address_base: int | None) -> int:
    """Bring a fleet up: TOPOLOGY is a preset (reference, laptop, small) or a YAML file.

    It runs until interrupted, or with --detach until `twinhold down`.
    """
    code = fleets.run(
        topology,
        folder=fleet_dir,
        detach=detach,
        profile=profile,
        seed=seed,
        address_base=address_base,
        say=note,
    )
    if detach and code == 0:
        note(DETACHED)
    return code


@click.command()
@fleet_option
def down(fleet_dir: Path) -> None:
    """End the fleet of a folder; its data stays there."""
    fleets.down(fleet_dir, say=note)
