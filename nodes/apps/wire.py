"""Journal entries and snapshot items, between plain values and protobuf; the ledger knows no message of ours."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from core.errors import MalformedError
from twinhold.v1 import journal_pb2 as pb

ITEMS_BYTES = 256 * 1024
"""Small items share a part until it has this size."""
EXTRA_BYTES = 512
"""Of an item beside what it carries, at most; a request id with its answer adds a few bytes more."""


class Entry(NamedTuple):
    """The body of a journal record: what was decided."""

    tenant: str
    app: str
    schema_version: int
    actor: str
    request_id: str
    body_hash: bytes
    at_ms: int
    events: tuple[bytes, ...]
    answer: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a snapshot stands."""

    version: int
    shard: int
    lsn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class TenantHead:
    """A tenant begins."""

    tenant: str
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class AppPiece:
    """A piece of an app's state for the tenant; ``last``: nothing follows of this app."""

    app: str
    schema_version: int
    body: bytes
    last: bool


class Recorded(NamedTuple):
    """What a retry gets."""

    lsn: int
    at_ms: int
    body_hash: bytes
    app: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Answers:
    """Recorded answers of one actor of the tenant, oldest first: request ids, and what each of them gets."""

    actor: str
    request_ids: Sequence[str]
    packed: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows; how many items there were."""

    items: int


Item: TypeAlias = Head | TenantHead | AppPiece | Answers | End


def entry_body(entry: Entry) -> bytes:
    """Write an entry."""
    message = pb.JournalEntry()
    (
        message.tenant,
        message.app,
        message.schema_version,
        message.actor,
        message.request_id,
        message.body_hash,
        message.at_ms,
        events,
        message.answer,
    ) = entry  # Taken apart in one step: every field of a named tuple that is asked for by name is looked up.
    for event in events:  # One or two: to extend by them takes three times as long.
        message.events.append(event)
    return message.SerializeToString()


def entry_of(body: bytes) -> Entry:
    """Read an entry; its hash has been checked, so that it is one."""
    message = pb.JournalEntry.FromString(body)
    return Entry(
        message.tenant,
        message.app,
        message.schema_version,
        message.actor,
        message.request_id,
        message.body_hash,
        message.at_ms,
        tuple(message.events[:]),  # Sliced first: protobuf's own iteration is slower.
        message.answer,
    )


def parts_of(items: Iterable[Item]) -> Iterator[bytes]:
    """Pack items into parts; a part is a little larger than 256 KiB at most."""
    part, size = pb.LedgerPart(), 0
    for item in items:
        length = _about_bytes(item)
        if size and size + length > ITEMS_BYTES:
            yield part.SerializeToString()
            part, size = pb.LedgerPart(), 0
        _write_item(item, part.items.add())
        size += length
    yield part.SerializeToString()


def items_of(part: bytes) -> Iterator[Item]:
    """Unpack a part.

    Raises:
        MalformedError: it is none, or of a newer format.
    """
    try:
        message = pb.LedgerPart.FromString(part)
    except DecodeError as cause:
        raise MalformedError("snapshot part", f"{len(part)} bytes", expected="a LedgerPart") from cause
    return map(_item_from, message.items)


def _about_bytes(item: Item) -> int:
    match item:
        case AppPiece():
            return len(item.body) + EXTRA_BYTES
        case Answers():
            return sum(map(len, item.packed)) + sum(map(len, item.request_ids)) + EXTRA_BYTES
        case _:
            return EXTRA_BYTES


def _write_item(item: Item, into: pb.LedgerItem) -> None:
    """Fill an item in where it stands: protobuf copies what is built apart."""
    match item:
        case Head(version, shard, lsn, at_ms):
            head = into.head
            head.version, head.shard, head.lsn, head.at_ms = version, shard, lsn, at_ms
        case TenantHead(tenant, stored_bytes):
            into.tenant.tenant, into.tenant.stored_bytes = tenant, stored_bytes
        case AppPiece(app, schema_version, body, last):
            piece = into.piece
            piece.app, piece.schema_version, piece.body, piece.last = app, schema_version, body, last
        case End(items):
            into.end.items = items
        case Answers(actor, request_ids, packed):
            answers = into.answers
            answers.actor = actor
            answers.request_ids.extend(request_ids)
            answers.packed.extend(packed)


def _item_from(message: pb.LedgerItem) -> Item:
    kind = message.WhichOneof("item")
    if kind == "head":
        head = message.head
        return Head(head.version, head.shard, head.lsn, head.at_ms)
    if kind == "tenant":
        return TenantHead(message.tenant.tenant, message.tenant.stored_bytes)
    if kind == "piece":
        piece = message.piece
        return AppPiece(piece.app, piece.schema_version, piece.body, piece.last)
    if kind == "answers":
        found = message.answers
        return Answers(found.actor, tuple(found.request_ids), tuple(found.packed))
    if kind == "end":
        return End(message.end.items)
    raise MalformedError("snapshot item", kind, expected="one that this version reads")
