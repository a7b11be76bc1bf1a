"""The apps of a node, found by name and by the message type that a command or a query carries."""

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from core.errors import MalformedError, NotFoundError
from nodes.app_port import App
from nodes.apps.restore import RestoreApp
from nodes.apps.tenant import TenantApp


class AppTable:
    """What this node runs: the given apps, the built-in ``tenant``, and ``restore``, which no message leads to.

    Raises:
        MalformedError: two apps share a name or a message type.
    """

    def __init__(self, apps: Iterable[App[object]]) -> None:
        everything: list[App[object]] = [TenantApp(), *apps]
        named: list[App[object]] = [*everything, RestoreApp()]
        self._by_name = _unique("app name", ((app.name, app) for app in named))
        self._by_command = _unique("command type", ((_type_name(app.command), app) for app in everything))
        self._by_query = _unique("query type", ((_type_name(app.query), app) for app in everything))
        self._by_command_url = {type_url(app.command): app for app in everything}
        self._by_query_url = {type_url(app.query): app for app in everything}
        self._readable = {(app.name, version): app for app in named for version in _versions(app)}
        self._answer_urls = {app.name: type_url(app.answer) for app in named}

    @property
    def by_name(self) -> Mapping[str, App[object]]:
        """All apps."""
        return self._by_name

    def named(self, name: str) -> App[object]:
        """Find an app; raises NotFoundError."""
        app = self._by_name.get(name)
        if app is None:
            raise NotFoundError("app", name, remedy=f"this node runs {', '.join(sorted(self._by_name))}")
        return app

    def reading(self, name: str, version: int) -> App[object]:
        """Find an app that reads what was written in a version; raises NotFoundError or MalformedError."""
        app = self._readable.get((name, version))
        if app is None:
            lowest, highest = self.named(name).reads_versions
            expected = f"{lowest} to {highest}, which this node reads"
            raise MalformedError(f"version of {name}", version, expected=expected)
        return app

    def of_command(self, url: str) -> App[object]:
        """Find the app whose command an ``Any`` of this type URL holds; raises NotFoundError."""
        app = self._by_command_url.get(url)
        return self._of(self._by_command, "command", url) if app is None else app

    def of_query(self, url: str) -> App[object]:
        """Find the app whose query an ``Any`` of this type URL holds; raises NotFoundError."""
        app = self._by_query_url.get(url)
        return self._of(self._by_query, "query", url) if app is None else app

    def answer_url(self, app: str) -> str:
        """Name the type of an app's answers to commands, as an ``Any`` does; the app must be in the table."""
        return self._answer_urls[app]

    def _of(self, table: Mapping[str, App[object]], kind: str, url: str) -> App[object]:
        app = table.get(url.rpartition("/")[2])  # other prefixes than the usual one are as good
        if app is None:
            raise NotFoundError("app", url, remedy=f"{kind}s here are of type {', '.join(sorted(table))}")
        return app


def _versions(app: App[object]) -> Iterable[int]:
    lowest, highest = app.reads_versions
    return range(lowest, highest + 1)


def type_url(message: type[Message]) -> str:
    """Name a message type as an ``Any`` does."""
    return f"type.googleapis.com/{message.DESCRIPTOR.full_name}"


def _type_name(message: type[Message]) -> str:
    return str(message.DESCRIPTOR.full_name)


def _unique(what: str, pairs: Iterable[tuple[str, App[object]]]) -> dict[str, App[object]]:
    found: dict[str, App[object]] = {}
    for key, app in pairs:
        if key in found:
            raise MalformedError(what, key, expected=f"one app only, {found[key].name} and {app.name} both have it")
        found[key] = app
    return found
