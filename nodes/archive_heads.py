"""Heads of archived pieces as lines of text: readable by hand, and with a checksum of their own."""

import json
from hashlib import blake2b

from core.assignments import Fence
from core.errors import MalformedError
from core.names import ShardId
from nodes.archive import Form, Piece
from nodes.records import Generation, Tip

FORMAT = 1


def head_line(piece: Piece) -> bytes:
    """Write a piece's head, without a line's end."""
    body = json.dumps(
        {
            "format": FORMAT,
            "form": piece.form.value,
            "shard": piece.shard,
            "sealed_by": list(piece.sealed_by),
            "before": _place(piece.before),
            "after": _place(piece.after),
            "first_at_ms": piece.first_at_ms,
            "last_at_ms": piece.last_at_ms,
            "size_bytes": piece.size_bytes,
            "checksum": piece.checksum.hex(),
        },
        separators=(",", ":"),
    ).encode()
    return body + b" " + _sum(body)


def head_of(line: bytes) -> Piece:
    """Read a piece's head.

    Raises:
        MalformedError: it was altered, torn, or written by a later release.
    """
    body, _, check = line.rpartition(b" ")
    if _sum(body) != check:
        raise MalformedError("head of an archived piece", line[:60], expected="one that matches its checksum")
    found = json.loads(body)
    if found["format"] != FORMAT:
        raise MalformedError(
            "format of an archived piece", found["format"], expected=f"{FORMAT}, which this release reads"
        )
    return Piece(
        Form(found["form"]),
        ShardId(found["shard"]),
        Fence(*found["sealed_by"]),
        _place_of(found["before"]),
        _place_of(found["after"]),
        found["first_at_ms"],
        found["last_at_ms"],
        found["size_bytes"],
        bytes.fromhex(found["checksum"]),
    )


def _sum(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).hexdigest().encode()


def _place(tip: Tip) -> list[object]:
    return [tip.lsn, list(tip.generation), tip.hash.hex()]


def _place_of(found: list[object]) -> Tip:
    match found:
        case [int(lsn), [int(incarnation), int(epoch), int(boot)], str(hashed)]:
            return Tip(lsn, Generation(incarnation, epoch, boot), bytes.fromhex(hashed))
    raise AssertionError("a place was written in another form than it is read")
