"""`twinhold version`: says which release is installed."""

from importlib import metadata

import click


@click.command()
def version() -> None:
    """Print the installed release."""
    click.echo(f"twinhold {metadata.version('twinhold')}")
