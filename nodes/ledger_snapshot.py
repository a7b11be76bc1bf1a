"""A ledger's state in parts, and back: for the journal's snapshots, and for learners that have nothing else."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias, assert_never

from core.errors import MalformedError
from core.names import ShardId
from nodes.app_table import AppTable
from nodes.apps.wire import Answers, AppPiece, End, Head, Item, TenantHead, items_of, parts_of
from nodes.ledger_state import LedgerState, TenantState

VERSION = 2
Pieces: TypeAlias = tuple[str, int, Iterator[bytes]]
"""What an app exports: its name, its schema version, its pieces."""
Frozen: TypeAlias = tuple[TenantHead, list[Pieces], Iterator[Answers]]
"""A tenant as it is at one moment, yet to be written."""


def written(shard: ShardId, apps: AppTable, state: LedgerState) -> Iterator[bytes]:
    """Write a state as it is at the call, in parts of a little more than 256 KiB at most."""
    head = Head(VERSION, shard, state.lsn, state.at_ms)
    tenants = [_frozen(apps, name, state.tenants[name]) for name in state.names]
    return parts_of(_ended(_items(head, tenants)))


class Reading:
    """A state on its way in, part by part, so that a long one does not stop the loop."""

    def __init__(self, shard: ShardId, apps: AppTable) -> None:
        self._shard = shard
        self._apps = apps
        self._state = LedgerState()
        self._tenant: TenantState | None = None
        self._pieces: list[bytes] = []
        self._items = 0
        self._ended = False

    def take(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            MalformedError: it is no snapshot of this shard that this version reads.
            NotFoundError: it holds state of an app that this node does not run.
        """
        for item in items_of(part):
            self._take(item)
            self._items += 1

    def state(self) -> LedgerState:
        """Return the state, after the last part; raises MalformedError when a part is missing."""
        if not self._ended:
            raise MalformedError("snapshot", f"shard {self._shard}", expected="all of its parts, in order")
        return self._state

    def _take(self, item: Item) -> None:
        match item:
            case Head():
                self._begin(item)
            case TenantHead(tenant, stored_bytes):
                self._tenant = self._state.add(tenant, stored_bytes)
            case AppPiece():
                self._piece(item)
            case Answers():
                self._current.retries.load(item)
            case End(items):
                self._ended = items == self._items
            case _:
                assert_never(item)

    @property
    def _current(self) -> TenantState:
        if self._tenant is None:
            raise MalformedError("snapshot", f"shard {self._shard}", expected="a tenant before its state")
        return self._tenant

    def _begin(self, head: Head) -> None:
        if (head.version, head.shard) != (VERSION, self._shard):
            found = f"version {head.version} of shard {head.shard}"
            raise MalformedError("snapshot", found, expected=f"version {VERSION} of shard {self._shard}")
        self._state.lsn, self._state.at_ms = head.lsn, head.at_ms

    def _piece(self, piece: AppPiece) -> None:
        if piece.body:
            self._pieces.append(piece.body)
        if piece.last:
            app = self._apps.reading(piece.app, piece.schema_version)
            self._current.apps[piece.app] = app.load(self._pieces, piece.schema_version)
            self._pieces = []


def _frozen(apps: AppTable, name: str, tenant: TenantState) -> Frozen:
    pieces = [
        (app.name, app.schema_version, app.export(state))
        for app, state in ((apps.named(app_name), state) for app_name, state in tenant.apps.items())
    ]
    return TenantHead(name, tenant.stored_bytes), pieces, tenant.retries.items()


def _items(head: Head, tenants: list[Frozen]) -> Iterator[Item]:
    yield head
    for tenant, exports, answers in tenants:
        yield tenant
        for app, version, pieces in exports:
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
