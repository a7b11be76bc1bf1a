"""The ledger: commands become entries, entries become state, and a retry gets the recorded answer (I10)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import (
    AlreadyExistsError,
    MalformedError,
    NotFoundError,
    OverloadedError,
    OversizedError,
    RequestIdReusedError,
    RequestTooOldError,
    TwinholdError,
    UnavailableError,
)
from core.names import ShardId
from nodes.app_port import App, Asked, Decided
from nodes.app_table import AppTable, type_url
from nodes.apps import chat
from nodes.apps.chat_state import ChatState
from nodes.io.app_registry import installed_apps
from nodes.ledger import STORED_BYTES_MAX, Fresh, Ledger, Loading, Replay, Submitted, entry
from nodes.retries import RetryWindow
from twinhold.v1 import chat_pb2, journal_pb2, tenant_pb2

SHARD = ShardId(3)
ACME = "tenants/eu/acme"
NOW_MS = 1_800_000_000_000
WINDOW = RetryWindow(window_ms=60_000, kept_min=3)
TABLE: AppTable = installed_apps()


def post(text: str, channel: str = "general") -> chat_pb2.ChatCommand:
    return chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel=channel, text=text))


def create(display_name: str = "", *, strict: bool = False) -> journal_pb2.TenantCommand:
    return journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand(display_name=display_name, strict=strict))


def dated_id(at_ms: int, number: int = 0) -> str:
    """Make a UUID of version 7."""
    stamp = f"{at_ms:012x}"
    return f"{stamp[:8]}-{stamp[8:]}-7000-8000-{number:012x}"


@dataclass
class Copy:
    """A copy of a shard whose entries are committed at once."""

    ledger: Ledger = field(default_factory=lambda: Ledger(SHARD, TABLE, WINDOW))
    journal: list[bytes] = field(default_factory=list)

    def submit(
        self,
        message: Message,
        request_id: str,
        *,
        tenant: str = ACME,
        actor: str = "users/ada",
        at_ms: int = NOW_MS,
        solo: bool = False,
        quota_bytes: int = STORED_BYTES_MAX,
    ) -> Fresh | Replay:
        url = type_url(type(message))
        name = TABLE.of_command(url).name
        submitted = Submitted(tenant, name, message.SerializeToString(), url, actor, request_id)
        decided = self.ledger.decide(submitted, at_ms=at_ms, seed=1, strict_solo=solo, quota_bytes=quota_bytes)
        if isinstance(decided, Fresh):
            self.journal.append(decided.entry)
            self.ledger.take(len(self.journal), decided)
        return decided

    def replayed(self) -> "Copy":
        """Make another copy from the journal alone."""
        copy = Copy(journal=list(self.journal))
        for lsn, body in enumerate(self.journal, 1):
            copy.ledger.apply(lsn, body)
        return copy

    def loaded(self) -> "Copy":
        """Make another copy from a snapshot."""
        return Copy(Ledger.load(SHARD, TABLE, WINDOW, self.ledger.export()), list(self.journal))

    def parts(self) -> list[bytes]:
        return list(self.ledger.export())

    def posts(self, tenant: str = ACME) -> list[tuple[int, str]]:
        query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general"))
        parts = self.ledger.ask(tenant, type_url(chat_pb2.ChatQuery), query.SerializeToString(), "users/ada")
        return [(one.seq, one.text) for _, part in parts for one in chat_pb2.ChatQueryAnswer.FromString(part).posts]


def created(*tenants: str) -> Copy:
    copy = Copy()
    for tenant in tenants or (ACME,):
        copy.submit(create(), f"create {tenant}", tenant=tenant)
    return copy


def test_a_post_is_answered_with_its_place_and_read_back() -> None:
    copy = created()
    decided = copy.submit(post("hello"), "r1")
    assert isinstance(decided, Fresh)
    assert decided.type_url == "type.googleapis.com/twinhold.v1.ChatAnswer"
    assert chat_pb2.ChatAnswer.FromString(decided.answer).seq == 1
    assert copy.posts() == [(1, "hello")]


def test_an_entry_tells_what_was_decided() -> None:
    copy = created()
    copy.submit(post("hello"), "r1", actor="users/bob")
    told = entry(copy.journal[-1])
    assert (told.tenant, told.app, told.actor, told.at_ms) == (ACME, "chat", "users/bob", NOW_MS)
    assert [chat_pb2.ChatEvent.FromString(event).WhichOneof("event") for event in told.events] == [
        "channel_created",
        "posted",
    ]


def test_deciding_changes_nothing_until_the_entry_is_applied() -> None:
    copy = created()
    before = copy.parts()
    message = post("hello")
    submitted = Submitted(ACME, "chat", message.SerializeToString(), type_url(type(message)), "users/ada", "r1")
    first = copy.ledger.decide(submitted, at_ms=NOW_MS, seed=1, strict_solo=False, quota_bytes=STORED_BYTES_MAX)
    assert copy.ledger.decide(submitted, at_ms=NOW_MS, seed=1, strict_solo=False, quota_bytes=STORED_BYTES_MAX) == first
    assert copy.parts() == before


@pytest.mark.parametrize("carried", ["itself", "replayed", "loaded"])
def test_a_retry_gets_the_recorded_answer_wherever_the_state_came_from(carried: str) -> None:
    copy = created()
    decided = copy.submit(post("hello"), "r1")
    assert isinstance(decided, Fresh)
    copy.submit(post("other"), "r2")
    other = {"itself": lambda: copy, "replayed": copy.replayed, "loaded": copy.loaded}[carried]()
    assert other.submit(post("hello"), "r1") == Replay(2, decided.type_url, decided.answer)
    assert other.posts() == [(1, "hello"), (2, "other")]


def test_a_retry_belongs_to_its_tenant_and_actor() -> None:
    copy = created(ACME, "tenants/eu/beta")
    copy.submit(post("one"), "r1")
    assert isinstance(copy.submit(post("two"), "r1", actor="users/bob"), Fresh)
    assert isinstance(copy.submit(post("three"), "r1", tenant="tenants/eu/beta"), Fresh)


def test_a_request_id_with_another_body_is_refused() -> None:
    copy = created()
    copy.submit(post("hello"), "r1")
    with pytest.raises(RequestIdReusedError, match="'r1' was used before with another body: use a fresh id"):
        copy.submit(post("goodbye"), "r1")
    with pytest.raises(RequestIdReusedError):
        copy.submit(create(), "r1")


def test_answers_leave_the_index_when_they_are_old_and_not_among_the_actors_last() -> None:
    copy = created()
    for number in range(5):
        copy.submit(post(str(number)), f"r{number}", at_ms=NOW_MS + 1 + number)
    copy.submit(post("late"), "late", at_ms=NOW_MS + WINDOW.window_ms + 4)
    outcomes = [type(copy.submit(post(str(number)), f"r{number}", at_ms=0)) for number in (4, 3, 2)]
    assert outcomes == [Replay, Replay, Fresh], "the last 3 stay, and what is not older than the window"


def test_what_is_within_the_window_stays_however_much_it_is() -> None:
    copy = created()
    for number in range(20):
        copy.submit(post(str(number)), f"r{number}", at_ms=NOW_MS + number)
    assert isinstance(copy.submit(post("0"), "r0"), Replay)


def test_an_actor_who_has_left_is_forgotten_by_the_work_of_others() -> None:
    copy = created()
    for number in range(20):
        copy.submit(post(str(number)), f"r{number}", actor="users/gone")
    later = NOW_MS + WINDOW.window_ms + 1
    for number in range(2):
        copy.submit(post("x"), f"x{number}", actor="users/ada", at_ms=later)
    assert isinstance(copy.submit(post("16"), "r16", actor="users/gone", at_ms=later), Fresh)


@pytest.mark.parametrize(
    ("age_ms", "taken"),
    [(0, True), (WINDOW.window_ms, True), (WINDOW.window_ms + 1, False)],
    ids=["fresh", "at the edge", "too old"],
)
def test_a_dated_request_id_from_before_the_window_is_never_executed(age_ms: int, taken: bool) -> None:
    copy = created()
    request_id = dated_id(NOW_MS - age_ms)
    if taken:
        assert isinstance(copy.submit(post("x"), request_id), Fresh)
    else:
        with pytest.raises(RequestTooOldError, match="read whether it took effect"):
            copy.submit(post("x"), request_id)


def test_a_dated_retry_that_is_still_known_is_answered_however_old() -> None:
    copy = created()
    request_id = dated_id(NOW_MS)
    copy.submit(post("x"), request_id)
    assert isinstance(copy.submit(post("x"), request_id, at_ms=NOW_MS + 10 * WINDOW.window_ms), Replay)


@pytest.mark.parametrize("request_id", ["r", "not-a-uuid-7", "zzzzzzzz-zzzz-7zzz-zzzz-zzzzzzzzzzzz", "x" * 64])
def test_an_undated_request_id_is_taken(request_id: str) -> None:
    assert isinstance(created().submit(post("x"), request_id), Fresh)


def test_time_in_the_journal_never_goes_back() -> None:
    copy = created()
    for number, at_ms in enumerate([NOW_MS + 5, NOW_MS - 1000, NOW_MS + 6]):
        copy.submit(post("x"), f"r{number}", at_ms=at_ms)
    assert [entry(body).at_ms - NOW_MS for body in copy.journal[1:]] == [5, 5, 6]


def test_a_strict_tenant_does_not_write_while_there_is_one_copy() -> None:
    copy = Copy()
    copy.submit(create(strict=True), "c")
    answered = copy.submit(post("one"), "r1")
    with pytest.raises(UnavailableError) as raised:
        copy.submit(post("two"), "r2", solo=True)
    assert raised.value.reason == "STRICT_SOLO"
    assert copy.submit(post("one"), "r1", solo=True) == Replay(2, answered.type_url, answered.answer)


def test_a_tenant_at_its_quota_writes_nothing_new_and_still_gets_what_it_was_answered() -> None:
    copy = created(ACME, "tenants/eu/beta")
    answered = copy.submit(post("x" * 100), "r1")
    quota_bytes = copy.ledger.stored_bytes(ACME) + 100
    with pytest.raises(OverloadedError, match=rf"{ACME} is at its limit of {quota_bytes} bytes stored") as raised:
        copy.submit(post("x" * 100), "r2", quota_bytes=quota_bytes)
    assert raised.value.reason == "QUOTA"
    assert copy.submit(post("x" * 100), "r1", quota_bytes=0) == Replay(3, answered.type_url, answered.answer)
    assert isinstance(copy.submit(post("x"), "r2", quota_bytes=quota_bytes), Fresh)
    assert isinstance(copy.submit(post("x" * 100), "r2", tenant="tenants/eu/beta", quota_bytes=quota_bytes), Fresh)


def test_a_lax_tenant_writes_with_one_copy() -> None:
    assert isinstance(created().submit(post("one"), "r1", solo=True), Fresh)


def bad_commands() -> dict[str, tuple[Message | bytes, str, type[TwinholdError], str]]:
    return {
        "an unknown tenant": (
            post("x"),
            "tenants/eu/nobody",
            NotFoundError,
            "tenant 'tenants/eu/nobody' does not exist",
        ),
        "a tenant that exists": (create(), ACME, AlreadyExistsError, "exists already"),
        "a malformed name": (create(), "tenants/eu/NO", MalformedError, "tenant slug 'NO'"),
        "a long display name": (create("x" * 201), "tenants/eu/new", MalformedError, "at most 200 characters"),
        "no action": (journal_pb2.TenantCommand(), ACME, MalformedError, "expected create"),
        "too many bytes": (post("x" * (1 << 20)), ACME, OversizedError, "1048"),
    }


@pytest.mark.parametrize("name", list(bad_commands()))
def test_a_bad_command_is_refused_in_one_line_and_leaves_nothing(name: str) -> None:
    message, tenant, kind, text = bad_commands()[name]
    copy = created()
    before = copy.parts()
    assert isinstance(message, Message)
    with pytest.raises(kind, match=text) as raised:
        copy.submit(message, "r1", tenant=tenant)
    assert "\n" not in raised.value.message
    assert copy.parts() == before


@pytest.mark.parametrize("request_id", ["", "x" * 65])
def test_a_request_id_has_1_to_64_characters(request_id: str) -> None:
    with pytest.raises(MalformedError, match="request id"):
        created().submit(post("x"), request_id)


def test_bytes_that_are_no_command_are_malformed() -> None:
    copy = created()
    url = type_url(chat_pb2.ChatCommand)
    with pytest.raises(MalformedError, match=r"expected twinhold\.v1\.ChatCommand"):
        copy.ledger.decide(
            Submitted(ACME, "chat", b"\xff\xff", url, "users/ada", "r"),
            at_ms=0,
            seed=0,
            strict_solo=False,
            quota_bytes=STORED_BYTES_MAX,
        )
    with pytest.raises(MalformedError, match=r"expected twinhold\.v1\.ChatQuery"):
        copy.ledger.ask(ACME, type_url(chat_pb2.ChatQuery), b"\xff\xff", "users/ada")


def test_an_entry_of_an_app_or_a_version_that_is_not_read_here_is_no_silent_divergence() -> None:
    copy = created()
    copy.submit(post("x"), "r1")
    with pytest.raises(NotFoundError, match="app 'chat'"):
        Ledger(SHARD, AppTable([]), WINDOW).apply(1, copy.journal[1])
    newer = journal_pb2.JournalEntry.FromString(copy.journal[1])
    newer.schema_version = 99
    with pytest.raises(MalformedError, match="version of chat '99' is malformed: expected 1 to 1"):
        copy.ledger.apply(3, newer.SerializeToString())


def tenants_of(parts: Iterable[tuple[str, bytes]]) -> list[tenant_pb2.Tenant]:
    return [tenant for _, part in parts for tenant in journal_pb2.TenantAnswer.FromString(part).tenants]


def test_a_tenant_is_shown_as_it_was_created() -> None:
    copy = Copy()
    copy.submit(create("Acme Inc.", strict=True), "c")
    query = journal_pb2.TenantQuery(get=journal_pb2.GetTenantQuery()).SerializeToString()
    (shown,) = tenants_of(copy.ledger.ask(ACME, type_url(journal_pb2.TenantQuery), query, ""))
    assert shown == tenant_pb2.Tenant(name=ACME, display_name="Acme Inc.", strict=True, created_at_ms=NOW_MS)
    with pytest.raises(NotFoundError, match="does not exist"):
        copy.ledger.ask("tenants/eu/nobody", type_url(journal_pb2.TenantQuery), query, "")


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [("", 0, "abcd"), ("", 2, "ab"), ("tenants/eu/b", 2, "cd"), ("tenants/eu/b0", 1, "c"), ("tenants/eu/d", 5, "")],
)
def test_the_tenants_of_a_shard_are_listed_by_name_page_by_page(after: str, limit: int, expected: str) -> None:
    copy = created(*(f"tenants/eu/{slug}" for slug in "cabd")).loaded()
    query = journal_pb2.TenantQuery(list=journal_pb2.ListTenantsQuery(after=after, limit=limit)).SerializeToString()
    shown = tenants_of(copy.ledger.ask("shards/3", type_url(journal_pb2.TenantQuery), query, ""))
    assert [tenant.name for tenant in shown] == [f"tenants/eu/{slug}" for slug in expected]


def test_stored_bytes_are_those_of_the_tenants_entries() -> None:
    copy = created(ACME, "tenants/eu/beta")
    copy.submit(post("x" * 100), "r1")
    assert copy.loaded().ledger.stored_bytes(ACME) == len(copy.journal[0]) + len(copy.journal[2])
    assert copy.ledger.stored_bytes("tenants/eu/nobody") == 0
    assert copy.loaded().ledger.written_bytes == copy.ledger.written_bytes == sum(map(len, copy.journal))
    assert (copy.ledger.loaded_bytes, copy.loaded().ledger.loaded_bytes) == (0, copy.ledger.written_bytes)


def test_entries_applied_while_a_snapshot_is_drawn_do_not_show_in_it() -> None:
    copy = created()
    for number in range(10):
        copy.submit(post("x" * 16_000, f"c{number}"), f"r{number}")
    expected = copy.parts()
    parts = copy.ledger.export()
    drawn = [next(parts)]
    copy.submit(post("late"), "late")
    assert [*drawn, *parts] == expected


def test_parts_of_a_snapshot_are_small_and_load_one_by_one() -> None:
    copy = created()
    for number in range(60):
        copy.submit(post("x" * 16_000), f"r{number}")
    parts = copy.parts()
    assert len(parts) > 3
    assert max(map(len, parts)) <= 257 * 1024
    loading = Loading(SHARD, TABLE, WINDOW)
    for part in parts:
        loading.take(part)
    assert list(loading.ledger().export()) == parts


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda parts: [], id="nothing"),
        pytest.param(lambda parts: [b"\xff\xff"], id="no snapshot"),
        pytest.param(lambda parts: parts[:-1], id="the end is missing"),
        pytest.param(lambda parts: [*parts[:1], *parts[2:]], id="a part is missing"),
        pytest.param(lambda parts: parts[1:], id="the head is missing"),
    ],
)
def test_a_snapshot_that_is_not_whole_is_refused(spoil: object) -> None:
    copy = created()
    for number in range(60):
        copy.submit(post("x" * 16_000), f"r{number}")
    assert callable(spoil)
    with pytest.raises(MalformedError):
        Ledger.load(SHARD, TABLE, WINDOW, spoil(copy.parts()))


def test_a_snapshot_of_another_shard_is_refused() -> None:
    with pytest.raises(MalformedError, match="version 2 of shard 3"):
        Ledger.load(ShardId(4), TABLE, WINDOW, created().parts())


def test_an_app_that_decides_too_much_is_stopped() -> None:
    class Loud(chat.ChatApp):
        name = "chat"

        def decide(self, state: ChatState, command: Message, asked: Asked) -> Decided:
            decided = super().decide(state, command, asked)
            return decided._replace(events=decided.events * 100_000)

    loud: App[object] = Loud()  # type: ignore[assignment]  # its state type is its own affair
    ledger = Ledger(SHARD, AppTable([loud]), WINDOW)
    for lsn, body in enumerate(created().journal, 1):
        ledger.apply(lsn, body)
    message = post("x")
    with pytest.raises(OversizedError, match="what chat decided"):
        ledger.decide(
            Submitted(ACME, "chat", message.SerializeToString(), "", "users/ada", "r"),
            at_ms=0,
            seed=0,
            strict_solo=False,
            quota_bytes=STORED_BYTES_MAX,
        )


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([ACME, "tenants/eu/beta"]),
        st.sampled_from(["users/ada", "users/bob"]),
        st.integers(0, 8),
        st.integers(0, 2 * WINDOW.window_ms),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(requests=REQUESTS, cut=st.integers(0, 40))
def test_journal_and_snapshot_lead_to_the_same_state(requests: list[tuple[str, str, int, int]], cut: int) -> None:
    copy = created(ACME, "tenants/eu/beta")
    halfway = copy.loaded()
    for number, (tenant, actor, request, ahead_ms) in enumerate(requests):
        if number == cut:
            halfway = copy.loaded()
        copy.submit(post(str(request)), f"r{request}", tenant=tenant, actor=actor, at_ms=NOW_MS + ahead_ms)
    for lsn in range(halfway.ledger.applied_lsn + 1, len(copy.journal) + 1):
        halfway.ledger.apply(lsn, copy.journal[lsn - 1])
    assert copy.replayed().parts() == copy.parts()
    assert copy.loaded().parts() == copy.parts()
    assert halfway.parts() == copy.parts()


@settings(max_examples=60, deadline=None)
@given(requests=REQUESTS)
def test_a_request_id_takes_effect_once_within_its_window(requests: list[tuple[str, str, int, int]]) -> None:
    copy = created(ACME, "tenants/eu/beta")
    effects: dict[tuple[str, str, int], list[int]] = {}
    for tenant, actor, request, ahead_ms in requests:
        key = (tenant, actor, request)
        at_ms = max(NOW_MS + ahead_ms, entry(copy.journal[-1]).at_ms)
        decided = copy.submit(post(str(request)), f"r{request}", tenant=tenant, actor=actor, at_ms=at_ms)
        if isinstance(decided, Fresh):
            effects.setdefault(key, []).append(at_ms)
    for times in effects.values():
        assert all(later - earlier > WINDOW.window_ms for earlier, later in pairwise(times))
