"""Every app keeps the laws: ours, and one from another package, installed and found as anybody's would be."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import Int64Value
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import MalformedError, NotFoundError, RefusedByAppError
from core.names import ShardId
from nodes.app_port import App
from nodes.app_table import AppTable, type_url
from nodes.apps import chat
from nodes.io.app_registry import GROUP, apps_of, installed_apps
from nodes.ledger import STORED_BYTES_MAX, Fresh, Ledger, Replay, Submitted
from nodes.retries import USUAL_WINDOW
from tests.contracts import app_laws as laws
from tests.second_app import install_counter
from twinhold.v1 import chat_pb2, journal_pb2

ACTORS = st.sampled_from(["users/ada", "users/bob", "users/eve"])
CHANNELS = st.sampled_from(["general", "random", "", "NO"])
SEQS = st.integers(0, 6)
CHAT_COMMANDS = st.one_of(
    st.builds(lambda channel: chat_pb2.ChatCommand(create_channel=chat_pb2.CreateChannel(channel=channel)), CHANNELS),
    st.builds(
        lambda channel, text, seq: chat_pb2.ChatCommand(
            post=chat_pb2.PostMessage(channel=channel, text=text, reply_to_seq=seq)
        ),
        CHANNELS,
        st.text(st.characters(codec="utf-8"), max_size=10),
        SEQS,
    ),
    st.builds(
        lambda channel, seq, text: chat_pb2.ChatCommand(edit=chat_pb2.EditPost(channel=channel, seq=seq, text=text)),
        CHANNELS,
        SEQS,
        st.sampled_from(["new", "", "newer"]),
    ),
    st.builds(
        lambda channel, seq: chat_pb2.ChatCommand(delete=chat_pb2.DeletePost(channel=channel, seq=seq)), CHANNELS, SEQS
    ),
    st.builds(
        lambda channel, seq, emoji, remove: chat_pb2.ChatCommand(
            react=chat_pb2.React(channel=channel, seq=seq, emoji=emoji, remove=remove)
        ),
        CHANNELS,
        SEQS,
        st.sampled_from(["👍", "tada", ""]),
        st.booleans(),
    ),
    st.builds(
        lambda channel, seq: chat_pb2.ChatCommand(mark_read=chat_pb2.MarkRead(channel=channel, seq=seq)), CHANNELS, SEQS
    ),
    st.just(chat_pb2.ChatCommand()),
)
CHAT_QUERIES = st.one_of(
    st.builds(
        lambda channel, limit, seq: chat_pb2.ChatQuery(
            history=chat_pb2.ReadHistory(channel=channel, limit=limit, before_seq=seq)
        ),
        CHANNELS,
        st.sampled_from([0, 1, 3, 1_000_000]),
        SEQS,
    ),
    st.just(chat_pb2.ChatQuery(channels=chat_pb2.ListChannels())),
    st.just(chat_pb2.ChatQuery()),
)
NUMBERS = st.builds(lambda value: Int64Value(value=value), st.integers(-(1 << 62), 1 << 62))


@pytest.fixture(scope="module")
def counter_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the counter's package beside ours, as its user would."""
    target = tmp_path_factory.mktemp("site-packages")
    install_counter(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(target))
        yield target


@pytest.fixture(scope="module", params=["chat", "counter"])
def subject(request: pytest.FixtureRequest) -> laws.Subject[object]:
    request.getfixturevalue("counter_installed")
    (app,) = apps_of(list(entry_points(group=GROUP, name=request.param)))
    if request.param == "chat":
        return laws.Subject(app, CHAT_COMMANDS, CHAT_QUERIES)
    return laws.Subject(app, NUMBERS, st.just(Empty()))


def drawn(data: st.DataObject, subject: laws.Subject[object]) -> laws.Commands:
    return data.draw(st.lists(st.tuples(ACTORS, subject.commands), max_size=25))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_deciding_changes_nothing(subject: laws.Subject[object], data: st.DataObject) -> None:
    laws.deciding_changes_nothing(subject.app, drawn(data, subject))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_events_alone_make_the_state(subject: laws.Subject[object], data: st.DataObject) -> None:
    laws.events_alone_make_the_state(subject.app, drawn(data, subject))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_is_exported_loads(subject: laws.Subject[object], data: st.DataObject) -> None:
    laws.what_is_exported_loads(subject.app, drawn(data, subject), drawn(data, subject))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_parts_show_the_state_at_the_call(subject: laws.Subject[object], data: st.DataObject) -> None:
    query = data.draw(subject.queries)
    laws.parts_show_the_state_at_the_call(subject.app, drawn(data, subject), drawn(data, subject), query)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_all_is_of_the_declared_type_and_size(subject: laws.Subject[object], data: st.DataObject) -> None:
    laws.all_is_of_the_declared_type_and_size(subject.app, drawn(data, subject), data.draw(subject.queries))


def test_versions_are_consistent(subject: laws.Subject[object]) -> None:
    laws.versions_are_consistent(subject.app)


def test_another_packages_app_runs_in_the_ledger_once_it_is_installed(counter_installed: Path) -> None:
    table = installed_apps()
    primary, standby = (Ledger(ShardId(3), table, USUAL_WINDOW) for _ in range(2))
    created = journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand())
    for number, message in enumerate([created, Int64Value(value=40), Int64Value(value=2)]):
        url = type_url(type(message))
        submitted = Submitted(
            "tenants/eu/acme", table.of_command(url).name, message.SerializeToString(), url, "users/ada", f"r{number}"
        )
        decided = primary.decide(submitted, at_ms=number, seed=0, strict_solo=False, quota_bytes=STORED_BYTES_MAX)
        assert isinstance(decided, Fresh)
        for copy in (primary, standby):
            copy.apply(number + 1, decided.entry)
        retried = standby.decide(submitted, at_ms=number, seed=0, strict_solo=False, quota_bytes=STORED_BYTES_MAX)
        assert retried == Replay(number + 1, decided.type_url, decided.answer)
    moved = Ledger.load(ShardId(3), table, USUAL_WINDOW, standby.export())
    ((url, body),) = moved.ask("tenants/eu/acme", type_url(Empty), b"", "users/ada")
    assert (url, Int64Value.FromString(body).value) == (type_url(Int64Value), 42)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param("no_such_module:app", "importable object", id="no such module"),
        pytest.param("nodes.apps.chat:nothing", "importable object", id="no such object"),
        pytest.param("json:dumps", "it has no .*decide", id="no app"),
        pytest.param("nodes.apps.chat:app", "calls itself 'chat'", id="another name"),
    ],
)
def test_a_bad_entry_point_is_named_in_one_line(value: str, message: str) -> None:
    with pytest.raises(MalformedError, match=f"spoiled = {value}.*{message}") as raised:
        apps_of([EntryPoint("spoiled", value, GROUP)])
    assert "\n" not in raised.value.message


def test_two_apps_of_one_name_are_refused() -> None:
    twins: list[App[object]] = [*apps_of([EntryPoint("chat", "nodes.apps.chat:app", GROUP)])] * 2
    with pytest.raises(MalformedError, match=r"app name 'chat' .* one app only"):
        AppTable(twins)


def test_an_unknown_app_is_not_found() -> None:
    table = AppTable([])
    with pytest.raises(NotFoundError, match=r"commands here are of type twinhold.v1.TenantCommand"):
        table.of_command(type_url(chat_pb2.ChatCommand))


def test_refusals_say_which_no_it_is() -> None:
    command = chat_pb2.ChatCommand(delete=chat_pb2.DeletePost(channel="general", seq=1))
    with pytest.raises(RefusedByAppError) as raised:
        chat.app.decide(chat.app.empty(), command, laws.asked("users/ada", 0))
    assert raised.value.facts["app_reason"] == "NO_SUCH_CHANNEL"
