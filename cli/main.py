"""The `twinhold` command: finds a command by name, imports it only when called, and turns errors into exit codes."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence

import click

from cli.exits import Exit, exit_for
from core.errors import RefusedBySafetyError, TwinholdError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("cli.up:up", "Bring a fleet up on this machine."),
    "down": ("cli.up:down", "End a fleet that was brought up with --detach."),
    "status": ("cli.status:status", "Say how the fleet is, first what is wrong."),
    "dc": ("cli.dc:dc", "List, cordon, drain and evacuate data centers."),
    "tenant": ("cli.tenant:tenant", "Create, list, locate and explain tenants."),
    "shard": ("cli.shard:shard", "List and show shards, and change their roles."),
    "store": ("cli.store:store", "Show the assignment store; adopt one that was restored from a backup."),
    "failover": ("cli.failover:failover", "Show failovers, past and present; release the brake."),
    "events": ("cli.events:events", "Show what the control plane decided, and why."),
    "chat": ("cli.chat:chat", "Post into a tenant's channels, read and follow them."),
    "rehearse": ("cli.rehearse:rehearse", "Lose a data center on purpose, and judge what that cost."),
    "config": ("cli.config:config", "Show the configuration in force, and where each value came from."),
    "sim": ("cli.sim:sim", "Run whole fleets on virtual time, in trouble that a seed decides."),
    "check": ("cli.check:check", "Judge a history of writes and reads."),
    "version": ("cli.version:version", "Print the installed release."),
}
"""Where each command lives, and its line in --help: help must not import what it lists."""


class LazyGroup(click.Group):
    """Lists the commands by name, and imports the module of one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), f"{COMMANDS[cmd_name][0]} is not a command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def app() -> None:
    """Holds every tenant in two data centers, and proves that losing one loses nothing.

    Exit codes: 0 done, 1 failed, 2 usage, 3 changes pending, 4 not allowed, 5 not found, 6 stale or conflict,
    7 unreachable, 8 refused by a safety gate, 10 a run that proves nothing, 130 interrupted.
    """


def complain(line: str) -> None:
    """Tell what went wrong, on one line."""
    click.echo(f"twinhold: {' '.join(line.split())}", err=True)


def usage_line(error: click.UsageError) -> str:
    """Say what was wrong with a command line, and where its help is."""
    path = error.ctx.command_path if error.ctx else "twinhold"
    return f"{error.format_message()} (see: {path} --help)"


def error_line(error: TwinholdError) -> str:
    """Say what went wrong, and what exactly a safety gate found."""
    found = [
        violation
        for violation in (error.violations if isinstance(error, RefusedBySafetyError) else ())
        if violation not in error.message
    ]
    return f"{error.message} ({'; '.join(found)})" if found else error.message


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. No error gets past it as a traceback that a user caused."""
    try:
        code = app.main(args=list(arguments), prog_name="twinhold", standalone_mode=False)
        return code if isinstance(code, int) else Exit.DONE
    except click.UsageError as error:
        complain(usage_line(error))
        return Exit.USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return Exit.FAILED
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return Exit.INTERRUPTED
    except TwinholdError as error:
        complain(error_line(error))
        return exit_for(error)


def main() -> None:
    """Run the command line and end the process."""
    # gRPC's C core reads this at its first import; its own lines must not stand among ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(run(sys.argv[1:]))
