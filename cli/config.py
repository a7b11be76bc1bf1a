"""`twinhold config`: which values are in force, and where each came from."""

import click

from cli.configured import Asked, configured
from cli.options import output_option
from cli.output import Json, Table, show_json, show_table
from regions.configuration_keys import Plain
from regions.io.configuration import settings


@click.group()
def config() -> None:
    """Show the configuration."""


def json_of(value: Plain) -> Json:
    """Show a value as JSON."""
    match value:
        case tuple():
            return list(value)
        case dict():
            return dict(value)
        case _:
            return value


def text_of(value: Plain) -> str:
    """Show a value as an environment variable would hold it; "-" for none."""
    match value:
        case tuple():
            text = ",".join(value)
        case dict():
            text = ",".join(f"{name}={inner}" for name, inner in value.items())
        case _:
            text = "" if value is None else str(value)
    return text or "-"


@config.command()
@configured
@output_option
def show(asked: Asked, output: str) -> None:
    """Print the values in force, and where each came from: default, file and line, variable, or option.

    Each key can be set in the file, by an environment variable (TWINHOLD_STORE_KEYSPACE for store.keyspace), and by
    --set; the later goes before the earlier. Secrets are never printed.
    """
    chosen = settings(asked.config, asked.options).chosen.values()
    if output == "json":
        show_json([{"key": it.key.name, "value": json_of(it.shown), "origin": it.origin} for it in chosen])
    else:
        rows = [(it.key.name, text_of(it.shown), it.origin, it.key.what) for it in chosen]
        show_table(Table(("key", "value", "from", "what it is for"), rows))
