"""Moments as people type them."""

import pytest

from cli.output import moment
from cli.times import at_ms_of
from core.errors import MalformedError
from nodes import archive_chain

AT_MS = 1_795_627_465_123


@pytest.mark.parametrize(
    ("typed", "at_ms"),
    [
        (moment(AT_MS), AT_MS),
        (archive_chain.moment(AT_MS), AT_MS),
        ("2026-11-25T17:24:25Z", 1_795_627_465_000),
        ("2026-11-25 17:24:25", 1_795_627_465_000),
        ("2026-11-25T18:24:25+01:00", 1_795_627_465_000),
        (" 2026-11-25 ", 1_795_564_800_000),
    ],
)
def test_what_tables_show_and_what_people_write_is_read(typed: str, at_ms: int) -> None:
    assert at_ms_of(typed) == at_ms


@pytest.mark.parametrize("typed", ["", "yesterday", "2026-13-01", "17:24", "1795627465"])
def test_anything_else_says_what_is_taken(typed: str) -> None:
    with pytest.raises(MalformedError, match="without a zone it is UTC"):
        at_ms_of(typed)
