"""Moments as people type them."""

import datetime

from core.errors import MalformedError

EXPECTED = 'one like 2026-11-25T17:24:25Z, or "2026-11-25 17:24:25.123Z"; without a zone it is UTC'


def at_ms_of(text: str) -> int:
    """Read a moment, in milliseconds since 1970; takes what tables show.

    Raises:
        MalformedError: it is none.
    """
    try:
        at = datetime.datetime.fromisoformat(text.strip())
    except ValueError as cause:
        raise MalformedError("time", text, expected=EXPECTED) from cause
    known = at if at.tzinfo is not None else at.replace(tzinfo=datetime.UTC)
    return (known - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(milliseconds=1)
