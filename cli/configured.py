"""Options that change the configuration, for commands that go by it. Imports nothing of it: help must stay quick."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says about the configuration; ``regions.io.configuration.settings`` reads it."""

    config: Path | None
    """The file; None: the usual one."""
    options: Mapping[str, tuple[str, str]]
    """By key: the value as it was typed, and the option that it came with."""

    def also(self, more: Mapping[str, tuple[str | int | None, str]]) -> "Asked":
        """Add a command's own options, in the same form; None: it was not given."""
        given = {key: (str(value), option) for key, (value, option) in more.items() if value is not None}
        return Asked(self.config, {**self.options, **given})


def configured(command: Callable[Concatenate[Asked, P], R]) -> Callable[P, R]:
    """Give a command the options of the configuration; its function takes what was asked for first."""

    @functools.wraps(command)
    def with_asked(*args: P.args, **kwargs: P.kwargs) -> R:
        config, settings = kwargs.pop("config"), kwargs.pop("settings")
        assert config is None or isinstance(config, Path), "click gives a path"
        assert isinstance(settings, tuple), "click gives a tuple"
        engines = {f"{part}.engine": (kwargs.pop(part), f"--{part}") for part in ("store", "discovery", "launcher")}
        options = {key: (str(word), option) for key, (word, option) in engines.items() if word is not None}
        return command(Asked(config, {**dict(map(_setting, settings)), **options}), *args, **kwargs)

    for option in (
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any value of the configuration."),
        click.option("--launcher", metavar="processes|ray", help="What starts processes."),
        click.option("--discovery", metavar="embedded|consul", help="What finds processes and holds the leader lock."),
        click.option("--store", metavar="embedded|cassandra", help="What holds assignments."),
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            help="The configuration; else TWINHOLD_CONFIG, else ./twinhold.toml if it is there.",
        ),
    ):
        with_asked = option(with_asked)
    return with_asked


def _setting(text: str) -> tuple[str, tuple[str, str]]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.UsageError(f"--set {text}: expected KEY=VALUE, e.g. --set store.keyspace=twinhold")
    return key, (value, f"--set {key}")
