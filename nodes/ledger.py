"""The state of one shard: what its journal, replayed from the first entry, adds up to.

``decide`` on the primary turns a command into an entry and changes nothing; ``apply`` on every copy takes entries in
order. The same entries give the same state everywhere, retry index included, so a retry is recognised across failover,
snapshot and restart (I10). Which entries are committed is not known here: whoever calls waits for that (I11).

What every write makes one of is a named tuple: a frozen dataclass takes three times as long to make.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from google.protobuf.message import DecodeError, Message

from core.errors import MalformedError, NotFoundError, OversizedError, RequestIdReusedError, UnavailableError
from core.names import ShardId
from nodes.admission import quota_reached
from nodes.app_port import App, Asked
from nodes.app_table import AppTable, type_url
from nodes.apps import restore as restore_app
from nodes.apps import tenant as tenant_app
from nodes.apps.wire import Entry, Recorded, entry_body, entry_of
from nodes.ledger_snapshot import Reading, written
from nodes.ledger_state import LedgerState, TenantState
from nodes.restoring import in_place
from nodes.retries import RetryWindow, body_hash, refuse_if_too_old

BODY_BYTES_MAX = 1 << 20
"""Of a command or a query."""
DECIDED_BYTES_MAX = BODY_BYTES_MAX + (64 << 10)
"""Of the events and the answer that an app makes of one command."""
STORED_BYTES_MAX = 4 << 30
"""Of a tenant's entries, usually."""
STORED_RETRY_S = 60.0
"""A storage quota does not free itself: someone must raise it or erase."""
REQUEST_ID_LENGTH_MAX = 64
ACTOR_LENGTH_MAX = 256
SHARD_PREFIX = "shards/"


class Submitted(NamedTuple):
    """A command as it came in."""

    tenant: str
    """``tenants/{geography}/{slug}``; belongs to the shard that is asked."""
    app: str
    """The app's name, resolved from the type URL (``AppTable.of_command``)."""
    body: bytes
    type_url: str
    actor: str
    request_id: str
    epoch: int = 0
    """The highest that its sender has heard of; 0: it does not say."""


class Fresh(NamedTuple):
    """A new entry, to be applied and replicated; the answer waits for its commit."""

    entry: bytes
    """A serialized ``JournalEntry``."""
    decided: Entry
    """The same, as it was before."""
    type_url: str
    answer: bytes


class Replay(NamedTuple):
    """A retry: the answer that was recorded at ``lsn``, which may not be committed yet."""

    lsn: int
    type_url: str
    answer: bytes


Decision: TypeAlias = Fresh | Replay


class Ledger:
    """The state of one copy of a shard.

    Args:
        shard: whose state it is.
        apps: what the node runs.
        window: how long retries are recognised; the same on all nodes, or copies come to differ.
        state: where it starts from; None: before the first entry.
    """

    def __init__(self, shard: ShardId, apps: AppTable, window: RetryWindow, state: LedgerState | None = None) -> None:
        self.shard = shard
        self._apps = apps
        self._window = window
        self._state = state or LedgerState()
        self.applied_lsn = self._state.lsn
        """The last entry that the state holds."""
        self.loaded_bytes = self._state.written_bytes
        """Of the entries in the state that it started from."""

    @property
    def written_bytes(self) -> int:
        """Sum all entries up."""
        return self._state.written_bytes

    @property
    def tenants(self) -> int:
        """How many tenants live here."""
        return len(self._state.names)

    def stored_bytes(self, tenant: str) -> int:
        """Sum the tenant's entries up, for its quota; 0 for an unknown one."""
        known = self._state.tenants.get(tenant)
        return 0 if known is None else known.stored_bytes

    @property
    def at_ms(self) -> int:
        """The time of the last entry that the state holds, milliseconds since 1970."""
        return self._state.at_ms

    def held(self, tenant: str) -> Mapping[str, object]:
        """Return what a tenant's apps hold now, to read and not to change; raises NotFoundError."""
        return self._state.known(tenant).apps

    def recorded(self, tenant: str, actor: str, request_id: str) -> Recorded | None:
        """Look up what a request of a tenant was answered with; None: it is not known."""
        known = self._state.tenants.get(tenant)
        return None if known is None else known.retries.find(actor, request_id)

    def decide(self, submitted: Submitted, *, at_ms: int, seed: int, strict_solo: bool, quota_bytes: int) -> Decision:
        """Judge a command; changes nothing.

        Args:
            submitted: the command.
            at_ms: the primary's wall clock; an earlier one than the last entry's counts as that.
            seed: sixty-four fresh bits for the app.
            strict_solo: the shard has one copy, so that strict tenants don't write.
            quota_bytes: what a tenant may store; retries of what was taken are answered above it, too.

        Raises:
            NotFoundError: the app or the tenant does not exist.
            RequestIdReusedError: the request id was used for something else.
            RequestTooOldError: the request id is dated, and older than the window.
            UnavailableError: the tenant is strict, and ``strict_solo``.
            OverloadedError: the tenant has reached its quota.
            FixRequestError: the command is malformed, oversized, or refused by the app.
        """
        tenant, name, body, _, actor, request_id, _ = submitted
        app = self._apps.named(name)
        _check(actor, request_id, body)
        hashed = body_hash(name, body)
        at_ms = max(at_ms, self._state.at_ms)
        known = self._state.tenants.get(tenant)
        if known is not None:
            recorded = known.retries.find(actor, request_id)
            if recorded is not None:
                return self._replay(submitted, recorded, hashed)
        refuse_if_too_old(request_id, at_ms=at_ms, window=self._window)
        if known is not None and known.stored_bytes + len(body) > quota_bytes:
            raise quota_reached(tenant, f"{quota_bytes} bytes stored", STORED_RETRY_S)
        state = _state_for_writing(known, app, tenant, strict_solo=strict_solo)
        command = _parsed(app.command, body, "command")
        events, message = app.decide(state, command, Asked(tenant, actor, at_ms, seed))
        answer = message.SerializeToString()
        _check_decided(name, events, answer)
        entry = Entry(tenant, name, app.schema_version, actor, request_id, hashed, at_ms, events, answer)
        return Fresh(entry_body(entry), entry, self._apps.answer_url(name), answer)

    def apply(self, lsn: int, body: bytes) -> None:
        """Take the next entry.

        Raises:
            NotFoundError: the entry is of an app that this node does not run: the copy can't go on here.
            MalformedError: it is of a version of the app that this node does not read.
        """
        self._take(lsn, entry_of(body), len(body))

    def take(self, lsn: int, fresh: Fresh) -> None:
        """Take the entry that was just decided here: what ``apply`` does, without reading it."""
        self._take(lsn, fresh.decided, len(fresh.entry))

    def _take(self, lsn: int, entry: Entry, size_bytes: int) -> None:
        held = self._state
        assert lsn == held.lsn + 1, f"shard {self.shard}: entry {lsn} can't follow entry {held.lsn}"
        tenant, name, version, _, _, _, at_ms, events, _ = entry
        app = self._apps.reading(name, version)
        known = held.tenants.get(tenant) or self._born(entry)
        state = known.apps.get(name)
        if state is None:
            state = app.empty()
        for event in events:
            state = app.apply(state, event, version)
        known.apps[name] = state
        if name == restore_app.NAME:
            known.apps = in_place(self._apps, known.apps)
        known.stored_bytes += size_bytes
        held.written_bytes += size_bytes
        known.retries.add(lsn, entry, self._window)
        self.applied_lsn = held.lsn = lsn
        held.at_ms = at_ms

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
        if app.name == tenant_app.NAME and (listing := tenant_app.listing_of(query)) is not None:
            return _packed(iter((tenant_app.listing(self._state.listed(listing)),)))
        state = self._state.known(tenant).apps.get(app.name)
        if state is None:
            state = app.empty()
        return _packed(app.ask(state, query, Asked(tenant, actor, self._state.at_ms, 0)))

    def export(self) -> Iterator[bytes]:
        """Write the state in parts of a little more than 256 KiB at most.

        The state as it is at the call: entries applied while parts are drawn don't show.
        """
        return written(self.shard, self._apps, self._state)

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

    def _born(self, entry: Entry) -> TenantState:
        assert entry.app == tenant_app.NAME, f"shard {self.shard}: {entry.tenant} wrote before it was created"
        return self._state.add(entry.tenant, 0)


class Loading:
    """A ledger on its way in from a snapshot, part by part."""

    def __init__(self, shard: ShardId, apps: AppTable, window: RetryWindow) -> None:
        self._reading = Reading(shard, apps)
        self._made_for = (shard, apps, window)

    def take(self, part: bytes) -> None:
        """Take the next part; raises as ``Ledger.load`` does."""
        self._reading.take(part)

    def ledger(self) -> Ledger:
        """Return the ledger, after the last part; raises MalformedError when one is missing."""
        return Ledger(*self._made_for, self._reading.state())


def entry(body: bytes) -> Entry:
    """Read an entry, for subscriptions."""
    return entry_of(body)


def _state_for_writing(known: TenantState | None, app: App[object], tenant: str, *, strict_solo: bool) -> object:
    if known is None:
        if app.name != tenant_app.NAME:
            raise NotFoundError("tenant", tenant, remedy="check the name, or create it")
        return app.empty()
    if strict_solo and known.record.strict:
        raise UnavailableError(
            f"{tenant} is strict, and its shard has one copy at the moment: retry when it has two again",
            reason="STRICT_SOLO",
            retry_after_s=1.0,
        )
    state = known.apps.get(app.name)
    return app.empty() if state is None else state


def _check(actor: str, request_id: str, body: bytes) -> None:
    if len(body) > BODY_BYTES_MAX:
        raise OversizedError("command", size_bytes=len(body), limit_bytes=BODY_BYTES_MAX)
    if not 0 < len(request_id) <= REQUEST_ID_LENGTH_MAX:
        raise MalformedError("request id", request_id, expected=f"1 to {REQUEST_ID_LENGTH_MAX} characters, a UUID")
    if len(actor) > ACTOR_LENGTH_MAX:
        raise MalformedError("actor", actor, expected=f"at most {ACTOR_LENGTH_MAX} characters")


def _check_decided(app: str, events: Iterable[bytes], answer: bytes) -> None:
    size = len(answer) + sum(map(len, events))
    if size > DECIDED_BYTES_MAX:
        raise OversizedError(f"what {app} decided", size_bytes=size, limit_bytes=DECIDED_BYTES_MAX)


def _parsed(kind: type[Message], body: bytes, what: str) -> Message:
    try:
        return kind.FromString(body)
    except DecodeError as cause:
        raise MalformedError(what, f"{len(body)} bytes", expected=str(kind.DESCRIPTOR.full_name)) from cause


def _packed(parts: Iterator[Message]) -> Iterator[tuple[str, bytes]]:
    for part in parts:
        yield type_url(type(part)), part.SerializeToString()
