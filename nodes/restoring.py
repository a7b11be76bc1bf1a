"""A tenant's state taken apart, put in place of another, and compared with it; by the apps' own export and load."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nodes.app_port import Change, Compares
from nodes.app_table import AppTable
from nodes.apps import restore as restore_app
from nodes.apps.restore import RestoreState
from nodes.apps.wire import AppPiece


class Counted(NamedTuple):
    """What changes in one app."""

    app: str
    change: Change


def in_place(apps: AppTable, held: dict[str, object]) -> dict[str, object]:
    """Return what a tenant's apps hold after a step of the app "restore" was applied.

    Raises:
        NotFoundError: the new state holds an app that this node does not run.
        MalformedError: it is of a version that this node does not read.
    """
    state = held[restore_app.NAME]
    assert isinstance(state, RestoreState), "the app's own state"
    return held if state.ready is None else loaded(apps, state.ready)


def loaded(apps: AppTable, pieces: Iterable[AppPiece]) -> dict[str, object]:
    """Read a tenant's state from its pieces; raises as ``in_place`` does."""
    held: dict[str, object] = {}
    waiting: list[bytes] = []
    for piece in pieces:
        if piece.body:
            waiting.append(piece.body)
        if piece.last:
            app = apps.reading(piece.app, piece.schema_version)
            held[piece.app] = app.load(waiting, piece.schema_version)
            waiting = []
    return held


def exported(apps: AppTable, held: Mapping[str, object]) -> Iterator[AppPiece]:
    """Write a tenant's state in pieces; what is laid ready for a restore is no part of it."""
    for name in sorted(held.keys() - {restore_app.NAME}):
        app = apps.named(name)
        for body in app.export(held[name]):
            yield AppPiece(name, app.schema_version, body, last=False)
        yield AppPiece(name, app.schema_version, b"", last=True)


def counted(apps: AppTable, now: Mapping[str, object], then: Mapping[str, object]) -> list[Counted]:
    """Count what changes when ``then`` takes the place of ``now``; what does not change is left out."""
    names = sorted((now.keys() | then.keys()) - {restore_app.NAME})
    found = [Counted(name, change) for name in names for change in _changes(apps, name, now, then)]
    return [one for one in found if any(one.change[1:])]


def _changes(apps: AppTable, name: str, now: Mapping[str, object], then: Mapping[str, object]) -> Iterable[Change]:
    app = apps.named(name)
    mine, other = now.get(name, app.empty()), then.get(name, app.empty())
    if isinstance(app, Compares):
        return app.changes(mine, other)
    if name in now and name in then:
        differs = list(app.export(mine)) != list(app.export(other))
        return [Change("state", 0, 0, int(differs))]
    return [Change("state", int(name in then), int(name in now), 0)]
