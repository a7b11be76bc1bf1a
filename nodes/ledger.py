"""The state of one shard: what its journal, replayed from the first entry, adds up to.

``decide`` on the primary turns a command into an entry and changes nothing; ``apply`` on every copy takes entries in
order. The same entries give the same state everywhere, retry index included, so a retry is recognised across failover,
snapshot and restart (I10). Which entries are committed is not known here: whoever calls waits for that (I11).
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from google.protobuf.message import DecodeError, Message

from core.errors import MalformedError, NotFoundError, OversizedError, RequestIdReusedError, UnavailableError
from core.names import ShardId
from nodes.app_port import App, Asked, Decided
from nodes.app_table import AppTable, type_url
from nodes.apps import tenant as tenant_app
from nodes.apps.wire import (
    Answers,
    AppPiece,
    End,
    Entry,
    Head,
    Item,
    Recorded,
    TenantHead,
    entry_body,
    entry_of,
    items_of,
    parts_of,
)
from nodes.retries import Retries, RetryWindow, body_hash, refuse_if_too_old

BODY_BYTES_MAX = 1 << 20
"""Of a command or a query."""
DECIDED_BYTES_MAX = BODY_BYTES_MAX + (64 << 10)
"""Of the events and the answer that an app makes of one command."""
REQUEST_ID_LENGTH_MAX = 64
ACTOR_LENGTH_MAX = 256
SNAPSHOT_VERSION = 1
SHARD_PREFIX = "shards/"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A command as it came in."""

    tenant: str
    """``tenants/{geography}/{slug}``; belongs to the shard that is asked."""
    app: str
    """The app's name, resolved from the type URL (``AppTable.of_command``)."""
    body: bytes
    type_url: str
    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """A new entry, to be applied and replicated; the answer waits for its commit."""

    entry: bytes
    """A serialized ``JournalEntry``."""
    type_url: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """A retry: the answer that was recorded at ``lsn``, which may not be committed yet."""

    lsn: int
    type_url: str
    answer: bytes


Decision: TypeAlias = Fresh | Replay


class _Tenant:
    """One tenant: what each app holds for it, and its retry index."""

    __slots__ = ("retries", "states", "stored_bytes")

    def __init__(self, stored_bytes: int = 0) -> None:
        self.states: dict[str, object] = {}
        self.retries = Retries()
        self.stored_bytes = stored_bytes

    @property
    def record(self) -> tenant_app.TenantRecord:
        """The tenant's own record."""
        record = self.states.get(tenant_app.NAME)
        assert isinstance(record, tenant_app.TenantRecord), "a tenant is made by its own first entry"
        return record


class Ledger:
    """The state of one copy of a shard.

    Args:
        shard: whose state it is.
        apps: what the node runs.
        window: how long retries are recognised; the same on all nodes, or copies come to differ.
    """

    def __init__(self, shard: ShardId, apps: AppTable, window: RetryWindow) -> None:
        self.shard = shard
        self._apps = apps
        self._window = window
        self._tenants: dict[str, _Tenant] = {}
        self._names: list[str] = []
        self._lsn = 0
        self._at_ms = 0

    @property
    def applied_lsn(self) -> int:
        """The last entry that the state holds."""
        return self._lsn

    @property
    def tenants(self) -> int:
        """How many tenants live here."""
        return len(self._names)

    def stored_bytes(self, tenant: str) -> int:
        """Sum the tenant's entries up, for its quota; 0 for an unknown one."""
        known = self._tenants.get(tenant)
        return 0 if known is None else known.stored_bytes

    def decide(self, submitted: Submitted, *, at_ms: int, seed: int, strict_solo: bool) -> Decision:
        """Judge a command; changes nothing.

        Args:
            submitted: the command.
            at_ms: the primary's wall clock; an earlier one than the last entry's counts as that.
            seed: sixty-four fresh bits for the app.
            strict_solo: the shard has one copy, so that strict tenants don't write.

        Raises:
            NotFoundError: the app or the tenant does not exist.
            RequestIdReusedError: the request id was used for something else.
            RequestTooOldError: the request id is dated, and older than the window.
            UnavailableError: the tenant is strict, and ``strict_solo``.
            FixRequestError: the command is malformed, oversized, or refused by the app.
        """
        app = self._apps.named(submitted.app)
        _check(submitted)
        hashed = body_hash(submitted.app, submitted.body)
        at_ms = max(at_ms, self._at_ms)
        known = self._tenants.get(submitted.tenant)
        if known is not None:
            recorded = known.retries.find(submitted.actor, submitted.request_id)
            if recorded is not None:
                return self._replay(submitted, recorded, hashed)
        refuse_if_too_old(submitted.request_id, at_ms=at_ms, window=self._window)
        state = self._state_for_writing(known, app, submitted.tenant, strict_solo=strict_solo)
        command = _parsed(app.command, submitted.body, "command")
        decided = app.decide(state, command, Asked(submitted.tenant, submitted.actor, at_ms, seed))
        return self._fresh(submitted, app, decided, hashed, at_ms)

    def apply(self, lsn: int, body: bytes) -> None:
        """Take the next entry.

        Raises:
            NotFoundError: the entry is of an app that this node does not run: the copy can't go on here.
            MalformedError: it is of a version of the app that this node does not read.
        """
        assert lsn == self._lsn + 1, f"shard {self.shard}: entry {lsn} can't follow entry {self._lsn}"
        entry = entry_of(body)
        app = self._readable(entry.app, entry.schema_version)
        known = self._tenants.get(entry.tenant) or self._born(entry)
        state = known.states.get(entry.app)
        if state is None:
            state = app.empty()
        for event in entry.events:
            state = app.apply(state, event, entry.schema_version)
        known.states[entry.app] = state
        known.stored_bytes += len(body)
        recorded = Recorded(lsn, entry.at_ms, entry.body_hash, entry.app, entry.answer)
        known.retries.add(entry.actor, entry.request_id, recorded, self._window)
        self._lsn, self._at_ms = lsn, entry.at_ms

    def ask(self, tenant: str, type_url: str, body: bytes, actor: str) -> Iterator[tuple[str, bytes]]:
        """Answer a query in parts (type URL, bytes), from the state as it is at the call.

        Args:
            tenant: whose state; ``shards/{number}`` for what spans tenants.
            type_url: of the query.
            body: the query.
            actor: who asks.

        Raises:
            NotFoundError: the app or the tenant does not exist.
            FixRequestError: the query is malformed, oversized, or refused by the app.
        """
        app = self._apps.of_query(type_url)
        if len(body) > BODY_BYTES_MAX:
            raise OversizedError("query", size_bytes=len(body), limit_bytes=BODY_BYTES_MAX)
        query = _parsed(app.query, body, "query")
        listed = tenant_app.listing_of(query)
        if listed is not None:
            return _packed(iter((tenant_app.listing(self._listed(listed)),)))
        known = self._known(tenant)
        state = known.states.get(app.name)
        if state is None:
            state = app.empty()
        return _packed(app.ask(state, query, Asked(tenant, actor, self._at_ms, 0)))

    def export(self) -> Iterator[bytes]:
        """Write the state in parts of a little more than 256 KiB at most.

        The state as it is at the call: entries applied while parts are drawn don't show.
        """
        head = Head(SNAPSHOT_VERSION, self.shard, self._lsn, self._at_ms)
        tenants = [self._exported(name) for name in self._names]
        return parts_of(_ended(_chained(head, tenants)))

    @classmethod
    def load(cls, shard: ShardId, apps: AppTable, window: RetryWindow, parts: Iterable[bytes]) -> "Ledger":
        """Read what ``export`` wrote, in one go.

        Raises:
            MalformedError: it is no snapshot of this shard that this version reads.
            NotFoundError: it holds state of an app that this node does not run.
        """
        loading = Loading(shard, apps, window)
        for part in parts:
            loading.take(part)
        return loading.ledger()

    def _replay(self, submitted: Submitted, recorded: Recorded, hashed: bytes) -> Replay:
        if recorded.body_hash != hashed:
            raise RequestIdReusedError(
                f"request id {submitted.request_id!r} was used before with another body: use a fresh id",
                request_id=submitted.request_id,
                lsn=recorded.lsn,
            )
        return Replay(recorded.lsn, self._apps.answer_url(recorded.app), recorded.answer)

    def _state_for_writing(self, known: _Tenant | None, app: App[object], tenant: str, *, strict_solo: bool) -> object:
        if known is None:
            if app.name != tenant_app.NAME:
                raise _unknown(tenant)
            return app.empty()
        if strict_solo and known.record.strict:
            raise UnavailableError(
                f"{tenant} is strict, and its shard has one copy at the moment: retry when it has two again",
                reason="STRICT_SOLO",
                retry_after_s=1.0,
            )
        state = known.states.get(app.name)
        return app.empty() if state is None else state

    def _fresh(self, submitted: Submitted, app: App[object], decided: Decided, hashed: bytes, at_ms: int) -> Fresh:
        answer = decided.answer.SerializeToString()
        size = len(answer) + sum(map(len, decided.events))
        if size > DECIDED_BYTES_MAX:
            raise OversizedError(f"what {app.name} decided", size_bytes=size, limit_bytes=DECIDED_BYTES_MAX)
        entry = Entry(
            submitted.tenant,
            app.name,
            app.schema_version,
            submitted.actor,
            submitted.request_id,
            hashed,
            at_ms,
            decided.events,
            answer,
        )
        return Fresh(entry_body(entry), self._apps.answer_url(app.name), answer)

    def _readable(self, name: str, version: int) -> App[object]:
        app = self._apps.named(name)
        lowest, highest = app.reads_versions
        if not lowest <= version <= highest:
            raise MalformedError(
                f"version of {name}", version, expected=f"{lowest} to {highest}, which this node reads"
            )
        return app

    def _born(self, entry: Entry) -> _Tenant:
        assert entry.app == tenant_app.NAME, f"shard {self.shard}: {entry.tenant} wrote before it was created"
        return self._add(entry.tenant, 0)

    def _add(self, name: str, stored_bytes: int) -> _Tenant:
        known = self._tenants[name] = _Tenant(stored_bytes)
        insort(self._names, name)
        return known

    def _known(self, tenant: str) -> _Tenant:
        known = self._tenants.get(tenant)
        if known is None:
            raise _unknown(tenant)
        return known

    def _listed(self, listed: tenant_app.Listing) -> list[tenant_app.TenantRecord]:
        first = bisect_right(self._names, listed.after)
        return [self._tenants[name].record for name in self._names[first : first + listed.limit]]

    def _exported(self, name: str) -> tuple[TenantHead, list[tuple[str, int, Iterator[bytes]]], Iterator[Answers]]:
        known = self._tenants[name]
        pieces = []
        for app_name, state in known.states.items():
            app = self._apps.named(app_name)
            pieces.append((app_name, app.schema_version, app.export(state)))
        return TenantHead(name, known.stored_bytes), pieces, known.retries.items()


class Loading:
    """A snapshot on its way in: part by part, so that a long one does not stop the loop."""

    def __init__(self, shard: ShardId, apps: AppTable, window: RetryWindow) -> None:
        self._ledger = Ledger(shard, apps, window)
        self._apps = apps
        self._tenant: _Tenant | None = None
        self._pieces: list[bytes] = []
        self._items = 0
        self._ended = False

    def take(self, part: bytes) -> None:
        """Take the next part; raises as ``Ledger.load`` does."""
        for item in items_of(part):
            self._take(item)
            self._items += 1

    def ledger(self) -> Ledger:
        """Return the state, after the last part."""
        if not self._ended:
            raise MalformedError("snapshot", f"shard {self._ledger.shard}", expected="all of its parts, in order")
        return self._ledger

    def _take(self, item: Item) -> None:
        match item:
            case Head():
                self._begin(item)
            case TenantHead(tenant, stored_bytes):
                self._tenant = self._ledger._add(tenant, stored_bytes)
            case AppPiece():
                self._piece(item)
            case Answers():
                self._current.retries.load(item)
            case End(items):
                self._ended = items == self._items
            case _:
                assert_never(item)

    @property
    def _current(self) -> _Tenant:
        if self._tenant is None:
            raise MalformedError("snapshot", f"shard {self._ledger.shard}", expected="a tenant before its state")
        return self._tenant

    def _begin(self, head: Head) -> None:
        ledger = self._ledger
        if (head.version, head.shard) != (SNAPSHOT_VERSION, ledger.shard):
            raise MalformedError(
                "snapshot",
                f"version {head.version} of shard {head.shard}",
                expected=f"version {SNAPSHOT_VERSION} of shard {ledger.shard}",
            )
        ledger._lsn, ledger._at_ms = head.lsn, head.at_ms

    def _piece(self, piece: AppPiece) -> None:
        if piece.body:
            self._pieces.append(piece.body)
        if piece.last:
            app = self._ledger._readable(piece.app, piece.schema_version)
            self._current.states[piece.app] = app.load(self._pieces, piece.schema_version)
            self._pieces = []


def entry(body: bytes) -> Entry:
    """Read an entry, for subscriptions."""
    return entry_of(body)


def _check(submitted: Submitted) -> None:
    if len(submitted.body) > BODY_BYTES_MAX:
        raise OversizedError("command", size_bytes=len(submitted.body), limit_bytes=BODY_BYTES_MAX)
    if not 0 < len(submitted.request_id) <= REQUEST_ID_LENGTH_MAX:
        raise MalformedError(
            "request id", submitted.request_id, expected=f"1 to {REQUEST_ID_LENGTH_MAX} characters, a fresh UUID"
        )
    if len(submitted.actor) > ACTOR_LENGTH_MAX:
        raise MalformedError("actor", submitted.actor, expected=f"at most {ACTOR_LENGTH_MAX} characters")


def _parsed(kind: type[Message], body: bytes, what: str) -> Message:
    try:
        return kind.FromString(body)
    except DecodeError as cause:
        raise MalformedError(what, f"{len(body)} bytes", expected=str(kind.DESCRIPTOR.full_name)) from cause


def _unknown(tenant: str) -> NotFoundError:
    return NotFoundError("tenant", tenant, remedy="check the name, or create it")


def _packed(parts: Iterator[Message]) -> Iterator[tuple[str, bytes]]:
    return ((type_url(type(part)), part.SerializeToString()) for part in parts)


def _chained(
    head: Head, tenants: list[tuple[TenantHead, list[tuple[str, int, Iterator[bytes]]], Iterator[Answers]]]
) -> Iterator[Item]:
    yield head
    for tenant, apps, answers in tenants:
        yield tenant
        for app, version, pieces in apps:
            for piece in pieces:
                yield AppPiece(app, version, piece, last=False)
            yield AppPiece(app, version, b"", last=True)
        yield from answers


def _ended(items: Iterable[Item]) -> Iterator[Item]:
    count = 0
    for item in items:
        yield item
        count += 1
    yield End(count)
