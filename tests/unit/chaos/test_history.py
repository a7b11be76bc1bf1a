"""Lines of a history are printed and parsed, and a malformed one is named by its number."""

import json

import pytest

from chaos.history import MalformedLineError, Post, Read, parsed, printed
from tests.unit.chaos.channels import good_history

POST = {
    "tenant": "tenants/eu/acme",
    "channel": "general",
    "client": "ann",
    "request_id": "1",
    "op": "post",
    "text": "hello",
    "seq": 1,
    "invoked_ns": 1,
    "completed_ns": 2,
    "outcome": "ok",
}
READ = {key: value for key, value in POST.items() if key not in ("text", "seq")} | {
    "op": "read",
    "limit": 50,
    "posts": [[1, "hello"]],
}


@pytest.mark.parametrize("line", good_history(7, operations=60))
def test_what_is_printed_parses_to_the_same(line: Post | Read) -> None:
    assert parsed(printed(line), 1) == line


def test_the_fields_stand_as_documented() -> None:
    assert json.loads(printed(parsed(json.dumps(POST), 1))) == POST
    assert json.loads(printed(parsed(json.dumps(READ), 1))) == READ


@pytest.mark.parametrize(
    "fields",
    [
        POST | {"op": "edit"},
        POST | {"seq": None},
        POST | {"seq": 0},
        POST | {"seq": True},
        POST | {"seq": "1"},
        POST | {"text": ""},
        POST | {"text": None},
        POST | {"outcome": "maybe"},
        POST | {"outcome": ["ok"]},
        POST | {"invoked_ns": 1.5},
        POST | {"invoked_ns": None},
        POST | {"completed_ns": None},
        POST | {"completed_ns": 0},
        READ | {"limit": 0},
        READ | {"limit": "50"},
        READ | {"posts": None},
        READ | {"posts": [[1]]},
        READ | {"posts": [["1", "hello"]]},
        READ | {"posts": [[1, 2]]},
        {key: value for key, value in POST.items() if key != "tenant"},
        [POST],
        None,
    ],
)
def test_a_malformed_line_is_named(fields: object) -> None:
    with pytest.raises(MalformedLineError, match="line 12 "):
        parsed(json.dumps(fields), 12)


@pytest.mark.parametrize("text", ["", "{", "hello", '{"op": NaN', "[" * 100_000])
def test_what_is_not_json_is_named(text: str) -> None:
    with pytest.raises(MalformedLineError, match="line 3 "):
        parsed(text, 3)
