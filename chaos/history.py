"""What clients did and were told: the lines of ``history.jsonl``, one per logical operation, whatever its retries.

A line begins at the operation's first attempt and ends at its final answer, on one monotonic clock for all clients.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from core.errors import MalformedError

Outcome: TypeAlias = Literal["ok", "failed", "unknown"]
OUTCOMES: Mapping[object, Outcome] = MappingProxyType({"ok": "ok", "failed": "failed", "unknown": "unknown"})
SEQ_MAX = 10_000_000
"""A bound on memory: a longer channel is not believed."""
Seen: TypeAlias = "tuple[int, str | None]"
"""A post as a read shows it: its seq and its text; no text when it is deleted."""


@dataclass(frozen=True, slots=True)
class Post:
    """A post into a channel."""

    tenant: str
    channel: str
    client: str
    request_id: str
    text: str
    """Unique over the whole history."""
    seq: int | None
    """The position that was acknowledged; None unless the outcome is ok."""
    invoked_ns: int
    completed_ns: int | None
    """None: no final answer came."""
    outcome: Outcome
    """``failed`` only when every attempt certainly had no effect."""


@dataclass(frozen=True, slots=True)
class Read:
    """A linearizable read of the newest posts of a channel."""

    tenant: str
    channel: str
    client: str
    request_id: str
    limit: int
    """As in force after any cap; positive."""
    posts: tuple[Seen, ...]
    """The newest ``limit`` posts at the read's linearization point, ascending by seq."""
    invoked_ns: int
    completed_ns: int | None
    outcome: Outcome


Line: TypeAlias = Post | Read
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class MalformedLineError(MalformedError):
    """A line is not one of a history."""

    def __init__(self, number: int, expected: str, value: object) -> None:
        super().__init__(f"line {number} of the history", value, expected=expected)


def printed(line: Line) -> str:
    """Write a line, without its line end."""
    fields: dict[str, object] = {
        "tenant": line.tenant,
        "channel": line.channel,
        "client": line.client,
        "request_id": line.request_id,
    }
    match line:
        case Post():
            fields |= {"op": "post", "text": line.text, "seq": line.seq}
        case Read():
            fields |= {"op": "read", "limit": line.limit, "posts": line.posts}
    fields |= {"invoked_ns": line.invoked_ns, "completed_ns": line.completed_ns, "outcome": line.outcome}
    return _ENCODER.encode(fields)


def parsed(text: str, number: int) -> Line:
    """Read a line.

    Args:
        text: the line.
        number: where it stands in its file, from 1; for the complaint.

    Raises:
        MalformedLineError: it is not JSON, lacks a field, or a field has the wrong form.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise MalformedLineError(number, "a JSON object", text) from cause
    if not isinstance(fields, dict):
        raise MalformedLineError(number, "a JSON object", text)
    match fields.get("op"):
        case "post":
            return _post(fields, number)
        case "read":
            return _read(fields, number)
        case other:
            raise MalformedLineError(number, "op: post or read", other)


def _post(fields: Mapping[str, object], number: int) -> Post:
    outcome = _outcome(fields, number)
    seq = fields.get("seq")
    if (type(seq) is not int or not 1 <= seq <= SEQ_MAX) and not (seq is None and outcome != "ok"):
        raise MalformedLineError(number, f"seq: from 1 to {SEQ_MAX}, or null when the outcome is not ok", seq)
    invoked_ns, completed_ns = _times(fields, number, outcome)
    return Post(
        tenant=_text(fields, "tenant", number),
        channel=_text(fields, "channel", number),
        client=_text(fields, "client", number),
        request_id=_text(fields, "request_id", number),
        text=_text(fields, "text", number),
        seq=seq if type(seq) is int and outcome == "ok" else None,
        invoked_ns=invoked_ns,
        completed_ns=completed_ns,
        outcome=outcome,
    )


def _read(fields: Mapping[str, object], number: int) -> Read:
    outcome = _outcome(fields, number)
    limit = fields.get("limit")
    if type(limit) is not int or limit < 1:
        raise MalformedLineError(number, "limit: a whole number from 1", limit)
    invoked_ns, completed_ns = _times(fields, number, outcome)
    return Read(
        tenant=_text(fields, "tenant", number),
        channel=_text(fields, "channel", number),
        client=_text(fields, "client", number),
        request_id=str(fields.get("request_id") or ""),
        limit=limit,
        posts=_posts(fields, number) if outcome == "ok" else (),
        invoked_ns=invoked_ns,
        completed_ns=completed_ns,
        outcome=outcome,
    )


def _posts(fields: Mapping[str, object], number: int) -> tuple[Seen, ...]:
    posts = fields.get("posts")
    if not isinstance(posts, list):
        raise MalformedLineError(number, "posts: a list of [seq, text]", posts)
    # By whole columns: a history holds millions of these.
    if not posts:
        return ()
    if set(map(type, posts)) != {list} or set(map(len, posts)) != {2}:
        raise MalformedLineError(number, "posts: each [seq, text]", posts)
    seqs, texts = zip(*posts, strict=True)
    if set(map(type, seqs)) != {int} or not set(map(type, texts)) <= {str, type(None)} or max(seqs) > SEQ_MAX:
        raise MalformedLineError(number, "posts: each [seq, text]", posts)
    return tuple(zip(seqs, texts, strict=True))


def _outcome(fields: Mapping[str, object], number: int) -> Outcome:
    told = fields.get("outcome")
    outcome = OUTCOMES.get(told) if isinstance(told, str) else None
    if outcome is None:
        raise MalformedLineError(number, "outcome: ok, failed or unknown", told)
    return outcome


def _times(fields: Mapping[str, object], number: int, outcome: Outcome) -> tuple[int, int | None]:
    invoked, completed = fields.get("invoked_ns"), fields.get("completed_ns")
    if type(invoked) is not int:
        raise MalformedLineError(number, "invoked_ns: whole nanoseconds", invoked)
    if completed is None and outcome != "ok":
        return invoked, None
    if type(completed) is not int or completed < invoked:
        raise MalformedLineError(number, "completed_ns: whole nanoseconds, not before invoked_ns", completed)
    return invoked, completed


def _text(fields: Mapping[str, object], field: str, number: int) -> str:
    value = fields.get(field)
    if not isinstance(value, str) or not value:
        raise MalformedLineError(number, f"{field}: a text", value)
    return value
