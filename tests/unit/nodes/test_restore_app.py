"""A tenant is brought back: one entry replaces its state on every copy alike, and its answers stay."""

import pytest

from core.errors import ConflictError, NotFoundError, OversizedError
from nodes.app_port import Asked, Change
from nodes.app_table import type_url
from nodes.apps import chat_changes
from nodes.apps import restore as restore_app
from nodes.apps.chat_state import ChatState
from nodes.apps.wire import AppPiece
from nodes.ledger import STORED_BYTES_MAX, Fresh, Replay, Submitted
from nodes.restoring import counted, exported, loaded
from tests.unit.nodes.test_ledger import ACME, NOW_MS, TABLE, Copy, create, created, post
from twinhold.v1 import chat_pb2, journal_pb2

BOB = "tenants/eu/bob"


def submit(copy: Copy, body: bytes, request_id: str, tenant: str = ACME) -> Fresh | Replay:
    """Let the ledger decide a step of a restore, as the node that serves the tenant does."""
    step = Submitted(tenant, restore_app.NAME, body, type_url(journal_pb2.RestoreStep), "users/sre", request_id)
    decided = copy.ledger.decide(step, at_ms=NOW_MS, seed=1, strict_solo=False, quota_bytes=STORED_BYTES_MAX)
    if isinstance(decided, Fresh):
        copy.journal.append(decided.entry)
        copy.ledger.take(len(copy.journal), decided)
    return decided


def pieces(copy: Copy, tenant: str = ACME) -> list[AppPiece]:
    return list(exported(TABLE, copy.ledger.held(tenant)))


def restore(copy: Copy, state: list[AppPiece], request_id: str = "restore") -> Fresh | Replay:
    return submit(copy, restore_app.restored_step(journal_pb2.RestoredTenant(at_ms=5, as_of_lsn=2), state), request_id)


def edit(seq: int, text: str) -> chat_pb2.ChatCommand:
    return chat_pb2.ChatCommand(edit=chat_pb2.EditPost(channel="general", seq=seq, text=text))


def test_one_entry_brings_a_tenant_back_and_touches_nobody_else() -> None:
    copy = created(ACME, BOB)
    copy.submit(post("one"), "r1")
    before = pieces(copy)
    copy.submit(edit(1, "changed"), "r2")
    copy.submit(post("two"), "r3")
    copy.submit(post("theirs"), "r4", tenant=BOB)
    restore(copy, before)
    assert copy.posts() == [(1, "one")]
    assert copy.posts(BOB) == [(1, "theirs")]
    assert pieces(copy) == before
    assert copy.submit(post("two again"), "r5")
    assert copy.posts() == [(1, "one"), (2, "two again")]


def test_every_copy_comes_to_the_same_from_the_journal_and_from_a_snapshot() -> None:
    copy = created()
    copy.submit(post("one"), "r1")
    before = pieces(copy)
    copy.submit(post("two"), "r2")
    restore(copy, before)
    assert copy.replayed().parts() == copy.parts()
    assert copy.loaded().parts() == copy.parts()


def test_a_request_that_was_answered_before_is_answered_the_same_after() -> None:
    copy = created()
    before = pieces(copy)
    first = copy.submit(post("one"), "r1")
    restore(copy, before)
    again = copy.submit(post("one"), "r1")
    assert isinstance(again, Replay)
    assert (again.answer, copy.posts()) == (first.answer, [])


def test_a_restore_asked_again_takes_effect_once() -> None:
    copy = created()
    before = pieces(copy)
    first = restore(copy, before)
    copy.submit(post("one"), "r1")
    again = restore(copy, before)
    assert isinstance(again, Replay)
    assert again.answer == first.answer
    assert copy.posts() == [(1, "one")]


def test_a_state_laid_ready_in_parts_shows_only_with_the_entry_after_them() -> None:
    copy = created()
    copy.submit(post("one"), "r1")
    before = pieces(copy)
    copy.submit(post("two"), "r2")
    for number, piece in enumerate(before):
        submit(copy, restore_app.staged_step("a", number, [piece]), f"part {number}")
        assert len(copy.posts()) == 2
    copy = copy.loaded()
    done = journal_pb2.RestoredTenant(at_ms=5, attempt="a", parts=len(before))
    submit(copy, restore_app.restored_step(done, []), "restore")
    assert copy.posts() == [(1, "one")]
    assert pieces(copy) == before


def test_two_restores_at_once_do_not_mix() -> None:
    copy = created()
    before = pieces(copy)
    submit(copy, restore_app.staged_step("a", 0, before[:1]), "a0")
    submit(copy, restore_app.staged_step("b", 0, before[:1]), "b0")
    with pytest.raises(ConflictError, match="another restore"):
        submit(copy, restore_app.staged_step("a", 1, before[1:]), "a1")
    with pytest.raises(ConflictError, match="another restore"):
        submit(copy, restore_app.restored_step(journal_pb2.RestoredTenant(attempt="a", parts=1), before[1:]), "a")


def test_what_is_laid_ready_has_a_bound() -> None:
    full = restore_app.RestoreState("a", (b"",), restore_app.STATE_BYTES_MAX)
    step = journal_pb2.RestoreStep.FromString(restore_app.staged_step("a", 1, []))
    with pytest.raises(OversizedError):
        restore_app.RestoreApp().decide(full, step, Asked(ACME, "users/sre", NOW_MS, 1))


def test_no_client_can_submit_a_step() -> None:
    with pytest.raises(NotFoundError):
        TABLE.of_command(type_url(journal_pb2.RestoreStep))


def test_what_changes_is_counted_by_kind() -> None:
    copy = created()
    for number in range(4):
        copy.submit(post(f"post {number}"), f"r{number}")
    before = dict(loaded(TABLE, pieces(copy)))
    copy.submit(edit(1, "changed"), "e")
    copy.submit(chat_pb2.ChatCommand(delete=chat_pb2.DeletePost(channel="general", seq=2)), "d")
    copy.submit(chat_pb2.ChatCommand(mark_read=chat_pb2.MarkRead(channel="general", seq=2)), "m")
    copy.submit(post("five"), "f")
    copy.submit(post("six", channel="other"), "s")
    found = counted(TABLE, copy.ledger.held(ACME), before)
    assert found == [
        ("chat", Change("channels", 0, 1, 0)),
        ("chat", Change("posts", 1, 2, 1)),
        ("chat", Change("read marks", 0, 1, 0)),
    ]
    assert counted(TABLE, before, before) == []


def test_an_app_that_can_not_compare_is_told_as_a_whole() -> None:
    one, other = created(), Copy()
    other.submit(create("Acme Ltd"), "c")
    assert counted(TABLE, one.ledger.held(ACME), other.ledger.held(ACME)) == [("tenant", Change("state", 0, 0, 1))]
    assert chat_changes.changes(ChatState(), ChatState()) == [
        Change("channels", 0, 0, 0),
        Change("posts", 0, 0, 0),
        Change("read marks", 0, 0, 0),
    ]
