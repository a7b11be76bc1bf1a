"""What the ledger relies on in every app: laws over any sequence of commands. Use it for your own app, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message
from hypothesis.strategies import SearchStrategy

from core.errors import FixRequestError
from nodes.app_port import App, Asked, Decided

State = TypeVar("State")
ASK_BYTES_MAX = 512 * 1024
EXPORT_BYTES_MAX = 256 * 1024
Commands = Sequence[tuple[str, Message]]
"""Who asks, and for what."""


@dataclass(frozen=True)
class Subject(Generic[State]):
    """An app, and what it may be asked."""

    app: App[State]
    commands: SearchStrategy[Message]
    queries: SearchStrategy[Message]


def run(app: App[State], state: State, commands: Commands, *, first: int = 0) -> tuple[State, list[bytes]]:
    """Run commands as a primary does; what the app refuses is left out. Returns the state and the events."""
    events = list[bytes]()
    for number, (actor, command) in enumerate(commands, first):
        decided = decided_or_refused(app, state, command, asked(actor, number))
        for event in () if decided is None else decided.events:
            state = app.apply(state, event, app.schema_version)
            events.append(event)
    return state, events


def asked(actor: str, number: int) -> Asked:
    """Ask at some time."""
    return Asked("tenants/eu/acme", actor, 1_800_000_000_000 + number, number)


def decided_or_refused(app: App[State], state: State, command: Message, who: Asked) -> Decided | None:
    """Decide; None: the app refused, by an error that tells the caller to mend the request."""
    try:
        return app.decide(state, command, who)
    except FixRequestError:
        return None


def written(app: App[State], state: State) -> bytes:
    """Write a state down whole; equal states write equally."""
    return b"|".join(app.export(state))


def deciding_changes_nothing(app: App[State], commands: Commands) -> None:
    """A primary may decide and then fail to append: its state must be as before."""
    state, _ = run(app, app.empty(), commands)
    before = written(app, state)
    for number, (actor, command) in enumerate(commands):
        first = decided_or_refused(app, state, command, asked(actor, number))
        assert decided_or_refused(app, state, command, asked(actor, number)) == first, "the same in, the same out"
        assert written(app, state) == before


def events_alone_make_the_state(app: App[State], commands: Commands) -> None:
    """A standby sees events only, and must come to the same state."""
    state, events = run(app, app.empty(), commands)
    replayed = app.empty()
    for event in events:
        replayed = app.apply(replayed, event, app.schema_version)
    assert written(app, replayed) == written(app, state)


def what_is_exported_loads(app: App[State], commands: Commands, more: Commands) -> None:
    """A snapshot, and whatever comes after it, leads to the same state as the journal alone."""
    state, _ = run(app, app.empty(), commands)
    loaded = app.load(list(app.export(state)), app.schema_version)
    assert written(app, loaded) == written(app, state)
    after, _ = run(app, loaded, more, first=len(commands))
    expected, _ = run(app, state, more, first=len(commands))
    assert written(app, after) == written(app, expected)


def parts_show_the_state_at_the_call(app: App[State], commands: Commands, more: Commands, query: Message) -> None:
    """Parts are drawn while entries go on being applied."""
    state, _ = run(app, app.empty(), commands)
    snapshot, answer = written(app, state), _answers(app, state, query)
    late_snapshot = app.export(state)
    late_answer = None if answer is None else app.ask(state, query, asked("users/ada", 0))
    run(app, state, more, first=len(commands))
    assert b"|".join(late_snapshot) == snapshot
    assert answer is None or list(late_answer or ()) == answer


def all_is_of_the_declared_type_and_size(app: App[State], commands: Commands, query: Message) -> None:
    """Clients find the types by reflection, and parts fit into messages."""
    state = app.empty()
    for number, (actor, command) in enumerate(commands):
        decided = decided_or_refused(app, state, command, asked(actor, number))
        if decided is not None:
            assert isinstance(decided.answer, app.answer)
            for event in decided.events:
                app.event.FromString(event)
                state = app.apply(state, event, app.schema_version)
    assert all(len(part) <= EXPORT_BYTES_MAX for part in app.export(state))
    assert all(part.ByteSize() <= ASK_BYTES_MAX for part in _answers(app, state, query) or ())


def versions_are_consistent(app: App[State]) -> None:
    """What an app writes, it reads."""
    lowest, highest = app.reads_versions
    assert lowest <= app.schema_version <= highest
    assert app.name == app.name.lower()


def _answers(app: App[State], state: State, query: Message) -> list[Message] | None:
    try:
        return list(app.ask(state, query, asked("users/ada", 0)))
    except FixRequestError:
        return None
