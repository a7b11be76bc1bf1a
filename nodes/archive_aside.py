"""One tenant's state, rebuilt aside as of a time, from a snapshot of its shard and the entries after it."""

from collections.abc import Iterable

from core.errors import DamagedError, MalformedError, NotFoundError
from core.names import ShardId
from nodes.app_table import AppTable
from nodes.apps import restore as restore_app
from nodes.apps.wire import AppPiece, Entry, Head, TenantHead, entry_of, items_of
from nodes.ledger_snapshot import VERSION
from nodes.records import EMPTY, Record, Tip, tip_of
from nodes.restoring import in_place, loaded


class Aside:
    """The tenant so far. Other tenants of the shard are read past, not kept.

    Args:
        shard: where the tenant lives.
        tenant: its name.
        apps: what this node runs.
        at_ms: entries decided after this are not taken.
    """

    def __init__(self, shard: ShardId, tenant: str, apps: AppTable, *, at_ms: int) -> None:
        self._shard = shard
        self._tenant = tenant
        self._apps = apps
        self._at_ms = at_ms
        self._held: dict[str, object] = {}
        self._place: Tip = EMPTY
        self._complete = False
        self._pieces: list[AppPiece] = []
        self._reading = ""

    @property
    def as_of_lsn(self) -> int:
        """The last entry of the shard that the state reflects."""
        return self._place.lsn

    @property
    def complete(self) -> bool:
        """Say whether an entry after the time was met: whatever follows changes nothing."""
        return self._complete

    def part(self, part: bytes) -> None:
        """Take the next part of the snapshot to start from.

        Raises:
            MalformedError: it is none that this release reads.
        """
        for item in items_of(part):
            match item:
                case Head(version, shard):
                    self._check(version, shard)
                case TenantHead(name):
                    self._reading = name
                case AppPiece() if self._reading == self._tenant:
                    self._pieces.append(item)
                case _:
                    pass

    def begin(self, tip: Tip) -> None:
        """Start from the snapshot of which the last part was taken; it is the state as of ``tip``.

        Raises:
            MalformedError: it holds state in a version that this node does not read.
            NotFoundError: it holds an app that this node does not run.
        """
        self._held = loaded(self._apps, self._pieces)
        self._pieces = []
        self._place = tip

    def take(self, records: Iterable[Record]) -> None:
        """Take entries, in order; those up to the present place are compared with it and read past.

        Raises:
            DamagedError: one is missing, or the snapshot is of another journal.
            MalformedError, NotFoundError: as ``begin``.
        """
        for record in records:
            if self._complete:
                return
            if record.lsn > self._place.lsn:
                self._apply(record)
            elif record.lsn == self._place.lsn and record.hash != self._place.hash:
                raise DamagedError(shard=self._shard, lsn=record.lsn, cause="the snapshot is of another journal")

    def state(self) -> dict[str, object]:
        """Return what the tenant's apps held; raises NotFoundError when there was no such tenant at the time."""
        if not self._held:
            raise NotFoundError("tenant", self._tenant, remedy="it was created after that time, choose a later one")
        return self._held

    def _apply(self, record: Record) -> None:
        if record.lsn != self._place.lsn + 1:
            raise DamagedError(shard=self._shard, lsn=self._place.lsn + 1, cause="the entry is missing")
        entry = entry_of(record.body)
        self._complete = entry.at_ms > self._at_ms
        if self._complete:
            return
        self._place = tip_of(record)
        if entry.tenant == self._tenant:
            self._advance(entry)

    def _advance(self, entry: Entry) -> None:
        app = self._apps.reading(entry.app, entry.schema_version)
        state = self._held.get(entry.app)
        if state is None:
            state = app.empty()
        for event in entry.events:
            state = app.apply(state, event, entry.schema_version)
        self._held[entry.app] = state
        if entry.app == restore_app.NAME:
            self._held = in_place(self._apps, self._held)

    def _check(self, version: int, shard: int) -> None:
        if (version, shard) != (VERSION, self._shard):
            found = f"version {version} of shard {shard}"
            raise MalformedError("snapshot", found, expected=f"version {VERSION} of shard {self._shard}")
