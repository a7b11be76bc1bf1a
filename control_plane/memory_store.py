"""The assignment store and the leader lock in memory: honest adapters for tests and for the simulated world.

A ``Vault`` is what the voting sites hold together; a ``MemoryStore`` is one caller's way to it. Requests and answers
travel on clocks, so a call may be slow, lost on the way there (never happened), lost on the way back (happened, and the
caller does not know), or arrive after its caller has given up on it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from control_plane.ports import (
    FLEET,
    Adoption,
    Applied,
    Doc,
    Partition,
    PartitionState,
    ReadAnswer,
    Refused,
    Row,
    StaleTerm,
    StoreIdentity,
    Unknown,
    WriteAnswer,
)
from control_plane.store_rules import EVENTS_KEPT, RESTORED, StoreRules, judged_doc, numbered, outdated
from core.assignments import Assignment
from core.names import ControlPlaneId, ShardId
from core.ports import Clock
from core.topology import Topology

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Fate:
    """How one call fares: seconds to the store and back; None: lost on that leg."""

    there_s: float | None = 0.0
    back_s: float | None = 0.0


class Weather(Protocol):
    """Decides every call's fate; the hook by which the simulator delays, cuts and loses calls."""

    def __call__(self, caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
        """Decide the fate of a call that touches these partitions (the lock and the events lie in the fleet's)."""
        ...


def calm(caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
    """Let every call through at once."""
    return Fate()


@dataclass(slots=True)
class _Shelf:
    """One partition."""

    term: int = 0
    assignments: dict[ShardId, Assignment] = field(default_factory=dict)
    docs: dict[str, Doc] = field(default_factory=dict)

    def copied(self) -> "_Shelf":
        return _Shelf(self.term, dict(self.assignments), dict(self.docs))


@dataclass(frozen=True, slots=True)
class Backup:
    """What a vault held at some time."""

    shelves: Mapping[Partition, _Shelf]
    events: tuple[bytes, ...]
    events_dropped: int


class Vault:
    """What the voting sites hold together: every deed is atomic and durable at once.

    Args:
        topology: the fleet that it belongs to.
        clock: the store's own time; locks run out by it.
    """

    def __init__(self, topology: Topology, clock: Clock) -> None:
        self.fleet = topology.fleet
        self.incarnation = 1
        self.restored = False
        self.clock = clock
        self.rules = StoreRules(topology)
        self._shelves: dict[Partition, _Shelf] = {}
        self._events: list[bytes] = []
        self._events_dropped = 0
        self._lock: tuple[ControlPlaneId, float] | None = None

    def write(self, partition: Partition, term: int, rows: Sequence[Row], docs: Sequence[Doc]) -> WriteAnswer:
        """Judge and write each row and doc under ``IF term <= mine``; nothing once it knows that it was restored."""
        if self.restored:
            return Unknown(RESTORED)
        shelf = self._shelves.setdefault(partition, _Shelf())
        stale = outdated(term, shelf.term)
        if stale is not None:
            return stale
        shelf.term = term
        written: list[Applied | Refused] = [self._write_row(shelf, partition, row) for row in rows]
        return (*written, *(_write_doc(shelf, doc) for doc in docs))

    def read(
        self, partitions: Sequence[Partition] | None, shards: Collection[ShardId] | None = None
    ) -> Mapping[Partition, PartitionState]:
        """Copy partitions, or some records of them, out; one that was never written is empty, with term 0."""
        wanted = sorted(self._shelves, key=_order) if partitions is None else partitions
        return {partition: _state(self._shelves.get(partition, _Shelf()), shards) for partition in wanted}

    def raise_term(self, term: int) -> WriteAnswer:
        """Take the fleet partition over; only a higher term than the present one does."""
        shelf = self._shelves.setdefault(FLEET, _Shelf())
        if term <= shelf.term:
            return StaleTerm(shelf.term)
        shelf.term = term
        return (Applied(),)

    def adopt(self, term: int, adoption: Adoption) -> WriteAnswer:
        """Put records in place of what is held, under the next incarnation; all or nothing."""
        stale = outdated(term, max((shelf.term for shelf in self._shelves.values()), default=0))
        if stale is not None:
            return stale
        fleet = self._shelves.setdefault(FLEET, _Shelf())
        records = {a.shard: a for shelf in self._shelves.values() for a in shelf.assignments.values()}
        judged = self.rules.adoption(adoption, incarnation=self.incarnation, record=records.get, doc=fleet.docs.get)
        if isinstance(judged, Applied):
            self._put(adoption)
            self.incarnation, self.restored = adoption.next_incarnation, False
            for shelf in self._shelves.values():
                shelf.term = term
        return (judged,)

    def append_events(self, term: int, bodies: Sequence[bytes]) -> WriteAnswer:
        """Number and keep events."""
        stale = outdated(term, self._shelves.setdefault(FLEET, _Shelf()).term)
        if stale is not None:
            return stale
        first = self._events_dropped + len(self._events) + 1
        self._events += [numbered(body, first + offset) for offset, body in enumerate(bodies)]
        surplus = max(0, len(self._events) - EVENTS_KEPT)
        del self._events[:surplus]
        self._events_dropped += surplus
        return (Applied(),) * len(bodies)

    def read_events(self, before_number: int | None, limit: int) -> Sequence[bytes]:
        """Copy events out, newest first."""
        end = len(self._events) if before_number is None else max(0, before_number - 1 - self._events_dropped)
        return self._events[max(0, end - limit) : end][::-1]

    def try_lock(self, holder: ControlPlaneId, ttl_s: float) -> ControlPlaneId:
        """Take or renew the lock if it is free, run out or the holder's own; says who has it."""
        now = self.clock.now()
        if self._lock is None or self._lock[0] == holder or self._lock[1] <= now:
            self._lock = (holder, now + ttl_s)
        return self._lock[0]

    def unlock(self, holder: ControlPlaneId) -> None:
        """Free the lock if the holder has it."""
        if self._lock is not None and self._lock[0] == holder:
            self._lock = None

    def identity(self) -> StoreIdentity:
        """Say whose vault it is."""
        return StoreIdentity(self.fleet, self.incarnation, self.restored)

    def backup(self) -> Backup:
        """Copy everything."""
        return Backup({p: shelf.copied() for p, shelf in self._shelves.items()}, (*self._events,), self._events_dropped)

    def restore(self, backup: Backup, *, noticed: bool) -> None:
        """Put an old backup in place, as an operator would: same fleet, same incarnation, older records (C10).

        Whether it is ``noticed`` depends on what was kept beside the data that was put back.
        """
        self.restored = noticed
        self._shelves = {partition: shelf.copied() for partition, shelf in backup.shelves.items()}
        self._events, self._events_dropped = [*backup.events], backup.events_dropped

    def _put(self, adoption: Adoption) -> None:
        self._shelves[FLEET].docs.update((doc.key, doc) for doc in adoption.docs)
        for new in adoption.assignments:
            self._shelves.setdefault(self.rules.home(new), _Shelf()).assignments[new.shard] = new

    def _write_row(self, shelf: _Shelf, partition: Partition, row: Row) -> Applied | Refused:
        judged = self.rules.row(partition, row, shelf.assignments.get(row.new.shard))
        if isinstance(judged, Applied):
            shelf.assignments[row.new.shard] = row.new
        return judged


class _Trips:
    """One caller's calls to a vault: each answered exactly once, at the latest when its deadline has passed."""

    def __init__(
        self, vault: Vault, caller: ControlPlaneId, *, clock: Clock, weather: Weather, deadline_s: float
    ) -> None:
        self._vault = vault
        self._caller = caller
        self._clock = clock
        self._weather = weather
        self._deadline_s = deadline_s

    def start(
        self,
        partitions: Sequence[Partition],
        deed: Callable[[], Answer],
        done: Callable[[Answer | Unknown], None],
    ) -> None:
        """Send a call; the deed is done at the store's time, the answer arrives at the caller's."""
        fate = self._weather(self._caller, partitions)
        open_calls = [done]

        def settle(answer: Answer | Unknown) -> None:
            timer.cancel()
            if open_calls:
                open_calls.pop()(answer)

        def arrive() -> None:
            answer = deed()
            if fate.back_s is not None:
                self._clock.call_at(self._clock.now() + fate.back_s, lambda: settle(answer))

        timer = self._clock.call_at(
            self._clock.now() + self._deadline_s,
            lambda: settle(Unknown(f"the store did not answer within {self._deadline_s} s")),
        )
        if fate.there_s is not None:
            self._vault.clock.call_at(self._vault.clock.now() + fate.there_s, arrive)


class MemoryStore:
    """One control plane's ``AssignmentStore``.

    Args:
        vault: what it leads to; shared by all callers.
        caller: whose store this is.
        clock: the caller's time: answers and deadlines run on it.
        weather: what becomes of each call.
        deadline_s: when an unanswered call counts as Unknown.
    """

    def __init__(
        self, vault: Vault, caller: ControlPlaneId, *, clock: Clock, weather: Weather, deadline_s: float
    ) -> None:
        self._vault = vault
        self._trips = _Trips(vault, caller, clock=clock, weather=weather, deadline_s=deadline_s)

    def write(
        self,
        partition: Partition,
        term: int,
        rows: Sequence[Row],
        docs: Sequence[Doc],
        done: Callable[[WriteAnswer], None],
    ) -> None:
        """Write rows and docs of one partition."""
        sent_rows, sent_docs = tuple(rows), tuple(docs)
        self._trips.start([partition], lambda: self._vault.write(partition, term, sent_rows, sent_docs), done)

    def read(
        self,
        partitions: Sequence[Partition] | None,
        done: Callable[[ReadAnswer], None],
        *,
        shards: Collection[ShardId] | None = None,
    ) -> None:
        """Read partitions, or some records of them; None: all that exist."""
        wanted = None if partitions is None else tuple(partitions)
        named = None if shards is None else frozenset(shards)
        self._trips.start(self._vault.rules.touched(wanted), lambda: self._vault.read(wanted, named), done)

    def raise_term(self, term: int, done: Callable[[WriteAnswer], None]) -> None:
        """Take the fleet partition over."""
        self._trips.start([FLEET], lambda: self._vault.raise_term(term), done)

    def adopt(self, term: int, adoption: Adoption, done: Callable[[WriteAnswer], None]) -> None:
        """Put records in place of those of a restored store."""
        self._trips.start(self._vault.rules.touched(None), lambda: self._vault.adopt(term, adoption), done)

    def append_events(self, term: int, bodies: Sequence[bytes], done: Callable[[WriteAnswer], None]) -> None:
        """Add lines to the audit journal."""
        sent = tuple(bodies)
        self._trips.start([FLEET], lambda: self._vault.append_events(term, sent), done)

    def read_events(
        self, before_number: int | None, limit: int, done: Callable[[Sequence[bytes] | Unknown], None]
    ) -> None:
        """Read the newest events before a number."""
        self._trips.start([FLEET], lambda: self._vault.read_events(before_number, limit), done)

    def identity(self, done: Callable[[StoreIdentity | Unknown], None]) -> None:
        """Say whose vault it is."""
        self._trips.start([FLEET], self._vault.identity, done)


class MemoryLock:
    """One control plane's ``LeaderLock``; arguments as for ``MemoryStore``."""

    def __init__(
        self, vault: Vault, caller: ControlPlaneId, *, clock: Clock, weather: Weather, deadline_s: float
    ) -> None:
        self._vault = vault
        self._trips = _Trips(vault, caller, clock=clock, weather=weather, deadline_s=deadline_s)

    def try_acquire(self, holder: ControlPlaneId, ttl_s: float, done: Callable[[ControlPlaneId | None], None]) -> None:
        """Take or renew the lock; answers with who holds it, None when the vault does not answer."""
        self._trips.start(
            [FLEET],
            lambda: self._vault.try_lock(holder, ttl_s),
            lambda answer: done(None if isinstance(answer, Unknown) else answer),
        )

    def release(self, holder: ControlPlaneId) -> None:
        """Give the lock back."""
        self._trips.start([FLEET], lambda: self._vault.unlock(holder), lambda _: None)


def _write_doc(shelf: _Shelf, doc: Doc) -> Applied | Refused:
    judged = judged_doc(doc, shelf.docs.get(doc.key))
    if isinstance(judged, Applied):
        shelf.docs[doc.key] = doc
    return judged


def _state(shelf: _Shelf, shards: Collection[ShardId] | None) -> PartitionState:
    found = [a for a in shelf.assignments.values() if shards is None or a.shard in shards]
    assignments = sorted(found, key=lambda assignment: assignment.shard)
    docs = sorted(shelf.docs.values(), key=lambda doc: doc.key) if shards is None else []
    return PartitionState(shelf.term, (*assignments,), (*docs,))


def _order(partition: Partition) -> tuple[str, int]:
    return (partition.geography or "", partition.segment)
