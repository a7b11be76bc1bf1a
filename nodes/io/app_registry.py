"""Finds the apps that are installed, ours and other people's, by the entry-point group ``twinhold.apps``."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from core.errors import MalformedError
from nodes.app_port import App
from nodes.app_table import AppTable

GROUP = "twinhold.apps"
_MEMBERS = "name schema_version reads_versions command query event answer empty decide apply ask export load".split()


def installed_apps() -> AppTable:
    """Load every app of this installation.

    Raises:
        MalformedError: an app can't be imported, is none, or two share a name or a message type.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return AppTable(apps_of(points))


def apps_of(points: Sequence[EntryPoint]) -> list[App[object]]:
    """Load the apps that entry points name, each once; raises MalformedError."""
    distinct = {(point.name, point.value): point for point in points}
    return [_app(point) for point in distinct.values()]


def _app(point: EntryPoint) -> App[object]:
    try:
        found: object = point.load()
    except Exception as cause:  # somebody else's code: whatever it raises, one line names the app
        said = " ".join(str(cause).split())
        raise _bad(point, f"an importable object ({type(cause).__name__}: {said})") from cause
    missing = [member for member in _MEMBERS if not hasattr(found, member)]
    if missing:
        raise _bad(point, f"an app object of nodes/app_port.py's shape; it has no {', '.join(missing)}")
    app = cast(App[object], found)  # the state type is the app's own affair
    if app.name != point.name:
        raise _bad(point, f"the app {point.name!r}, it calls itself {app.name!r}")
    return app


def _bad(point: EntryPoint, expected: str) -> MalformedError:
    package = "" if point.dist is None else f" of package {point.dist.name}"
    return MalformedError(f"app entry point{package}", f"{point.name} = {point.value}", expected=expected)
