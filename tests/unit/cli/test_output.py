"""Tables for people, JSON for programs."""

import pytest

from cli.messages import message_json
from cli.output import Table, bare, moment, table_text
from twinhold.v1.assignment_pb2 import KIND_COLLAB, Assignment, Copy
from twinhold.v1.command_service_pb2 import CommandError
from twinhold.v1.errors_pb2 import REASON_QUOTA
from twinhold.v1.event_pb2 import Event


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    text = table_text(Table(("dc", "shards"), [("fra1", 7), ("waw1", 312)]))
    assert text.splitlines() == ["dc    shards", "fra1       7", "waw1     312"]


def test_a_table_without_rows_is_its_head() -> None:
    assert table_text(Table(("dc", "shards"), [])) == "dc  shards"


@pytest.mark.parametrize(("ms", "text"), [(0, "-"), (1_790_000_000_042, "2026-09-21 14:13:20.042Z")])
def test_a_moment_is_shown_in_utc(ms: int, text: str) -> None:
    assert moment(ms) == text


def test_a_name_is_shown_without_its_collection() -> None:
    assert bare("dataCenters/fra1") == "fra1"


def test_json_has_numbers_as_numbers_and_enums_by_name() -> None:
    message = Assignment(shard=3, kind=KIND_COLLAB, epoch=1 << 60, primary=Copy(node="fra1-c1"))
    assert message_json(message) == {
        "shard": 3,
        "kind": "KIND_COLLAB",
        "incarnation": 0,
        "epoch": 1 << 60,
        "primary": {"node": "fra1-c1", "copy_id": ""},
        "standby": None,
        "reason": "",
    }


def test_json_has_lists_and_maps() -> None:
    assert message_json(Event(reasons=["a", "b"]))["reasons"] == ["a", "b"]
    error = message_json(CommandError(reason=REASON_QUOTA, facts={"tenant": "tenants/eu/acme"}))
    assert error["facts"] == {"tenant": "tenants/eu/acme"}
    assert error["reason"] == "REASON_QUOTA"
