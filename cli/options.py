"""Options that many commands share: which fleet, which output, and the question before a dangerous verb."""

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

import click

from cli.doors import DEFAULT_DIR, named_doors, read_doors
from cli.session import Session, session

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])
Conversation: TypeAlias = Callable[Concatenate[Session, P], Coroutine[None, None, int | None]]

fleet_option = click.option(
    "--fleet",
    "fleet_dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TWINHOLD_FLEET",
    default=DEFAULT_DIR,
    show_default=True,
    help="Folder of the running fleet.",
)
endpoint_option = click.option(
    "--endpoint",
    metavar="HOST:PORT",
    help="Ask this server instead of the fleet's file; consul://HOST:PORT[/FLEET]: find the fleet by Consul.",
)
output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to answer."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
plan_option = click.option("--plan", is_flag=True, help="Show what would change, change nothing, exit 3.")
reason_option = click.option("--reason", default="", help="For the audit journal.")
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Stay until it is done.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show at most this many."
)


def conversing(converse: Conversation[P]) -> Callable[P, int | None]:
    """Turn a coroutine that talks to a fleet into a command's function, with the options that find the fleet.

    The coroutine's result is the exit code; None stands for 0.
    """

    @functools.wraps(converse)
    def command(*args: P.args, **kwargs: P.kwargs) -> int | None:
        folder, endpoint, output = (kwargs.pop(name) for name in ("fleet_dir", "endpoint", "output"))
        assert isinstance(folder, Path), "click gives a path"
        doors = named_doors(str(endpoint)) if endpoint else read_doors(folder)

        async def conversation() -> int | None:
            async with session(doors, as_json=output == "json") as opened:
                return await converse(opened, *args, **kwargs)

        return asyncio.run(conversation())

    return fleet_option(endpoint_option(output_option(command)))


def confirm(question: str, *, yes: bool) -> None:
    """Ask before a dangerous verb.

    Raises:
        UsageError: nobody can be asked, and --yes was not given.
        ClickException: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Without a terminal this needs --yes.")
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was changed")


def typed_again(warning: str, name: str, *, again: str) -> str:
    """Have a name typed once more before what can't be taken back.

    Args:
        warning: what is about to happen.
        name: what has to be typed.
        again: what was given for it on the command line; empty: ask.

    Raises:
        UsageError: nobody can be asked, and --confirm was not given, or names another.
        ClickException: another name was typed.
    """
    if again and again != name:
        raise click.UsageError(f"--confirm {again} is not {name}.")
    if again:
        return again
    if not sys.stdin.isatty():
        raise click.UsageError(f"{warning}. Without a terminal this needs --confirm {name}.")
    click.echo(f"{warning}.", err=True)
    if click.prompt(f"Type {name} to go on", err=True) != name:
        raise click.ClickException("nothing was changed")
    return name
