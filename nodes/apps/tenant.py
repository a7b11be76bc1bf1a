"""The built-in app "tenant": the tenant's own record, the first entry that its shard's journal holds of it.

Listing the tenants of a shard looks over more than one tenant, so the ledger collects the records, and only
``listing`` here turns them into an answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.message import Message

from core.errors import AlreadyExistsError, MalformedError
from core.names import tenant_name
from nodes.app_port import Asked, Decided
from twinhold.v1 import journal_pb2, tenant_pb2

NAME = "tenant"
DISPLAY_NAME_LENGTH_MAX = 200
LIST_LIMIT = 1000
"""Tenants in one answer at most; with names at their longest, well below 512 KiB."""


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant, as its shard knows it."""

    name: str
    display_name: str
    strict: bool
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The question that spans tenants: those after a name, at most so many."""

    after: str
    limit: int


class TenantApp:
    """Keeps one record per tenant; its state is that record, or None before Create."""

    name = NAME
    schema_version = 1
    reads_versions = (1, 1)
    command: type[Message] = journal_pb2.TenantCommand
    query: type[Message] = journal_pb2.TenantQuery
    event: type[Message] = tenant_pb2.Tenant
    answer: type[Message] = journal_pb2.TenantAnswer

    def empty(self) -> object:
        """Make the state before Create."""
        return None

    def decide(self, state: object, command: Message, asked: Asked) -> Decided:
        """Create the tenant, once."""
        assert isinstance(command, journal_pb2.TenantCommand), "the ledger parses what the app names"
        if command.WhichOneof("action") != "create":
            raise MalformedError("tenant command", command, expected="create")
        name = str(tenant_name(asked.tenant))
        if state is not None:
            raise AlreadyExistsError(f"tenant {name!r} exists already: choose another slug, or use it", name=name)
        record = TenantRecord(name, _display_name(command.create.display_name), command.create.strict, asked.at_ms)
        message = _message(record)
        return Decided((message.SerializeToString(),), journal_pb2.TenantAnswer(tenants=[message]))

    def apply(self, state: object, event: bytes, version: int) -> object:
        """Take the record."""
        return _record(event)

    def ask(self, state: object, query: Message, asked: Asked) -> Iterator[Message]:
        """Show the tenant's own record."""
        assert isinstance(query, journal_pb2.TenantQuery), "the ledger parses what the app names"
        if query.WhichOneof("question") != "get":
            raise MalformedError("tenant query", query, expected="get or list")
        assert isinstance(state, TenantRecord), "the ledger asks existing tenants only"
        return iter((listing([state]),))

    def export(self, state: object) -> Iterator[bytes]:
        """Write the record."""
        assert isinstance(state, TenantRecord), "the ledger keeps existing tenants only"
        return iter((_message(state).SerializeToString(),))

    def load(self, parts: Iterable[bytes], version: int) -> object:
        """Read the record."""
        return _record(b"".join(parts))


def listing(records: Iterable[TenantRecord]) -> Message:
    """Answer with records."""
    return journal_pb2.TenantAnswer(tenants=[_message(record) for record in records])


def listing_of(query: Message) -> Listing | None:
    """Read the question that spans tenants; None: it is another one."""
    if not isinstance(query, journal_pb2.TenantQuery) or query.WhichOneof("question") != "list":
        return None
    return Listing(query.list.after, min(query.list.limit or LIST_LIMIT, LIST_LIMIT))


def _message(record: TenantRecord) -> tenant_pb2.Tenant:
    return tenant_pb2.Tenant(
        name=record.name,
        display_name=record.display_name,
        strict=record.strict,
        created_at_ms=record.created_at_ms,
    )


def _record(body: bytes) -> TenantRecord:
    message = tenant_pb2.Tenant.FromString(body)
    return TenantRecord(message.name, message.display_name, message.strict, message.created_at_ms)


def _display_name(text: str) -> str:
    if len(text) > DISPLAY_NAME_LENGTH_MAX:
        raise MalformedError("display name", text, expected=f"at most {DISPLAY_NAME_LENGTH_MAX} characters")
    return text
