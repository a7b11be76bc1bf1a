"""The `twinhold` command: its groups are found by name and imported only when called."""

import importlib
from collections.abc import Mapping

import click

COMMANDS: Mapping[str, str] = {"version": "cli.version:version"}


class LazyGroup(click.Group):
    """Lists the commands by name, and imports the module of one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), f"{COMMANDS[cmd_name]} is not a command"
        return command


@click.group(cls=LazyGroup)
def main() -> None:
    """Keeps every tenant in two data centers."""
