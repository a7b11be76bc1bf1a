"""Performs what a pair machine wants done, through the ports; what comes of it goes back as events."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from core.assignments import Assignment
from core.errors import DamagedError
from core.names import NodeId
from core.ports import Done
from core.proposals import ProposalAnswer
from nodes.pair_events import (
    Action,
    CarryLeases,
    Cut,
    CutMismatch,
    Durable,
    Event,
    FindPlace,
    HandOver,
    Hasten,
    InstallSnapshot,
    MetaSaved,
    Note,
    Persist,
    PlaceFound,
    ProposalAnswered,
    Propose,
    ReadRecord,
    ReadTail,
    RecordRead,
    SaveMeta,
    Send,
    SendSnapshot,
    SnapshotSent,
    TailRead,
    Truncate,
)
from nodes.pair_state import CopyState
from nodes.ports import DiskError
from nodes.records import Tip
from nodes.replay import Replay
from nodes.shipping import Shipping
from nodes.world import World

TAIL_BYTES = 1024 * 1024
"""Read at once for a peer that catches up."""
Kind = TypeVar("Kind")


class Host(Protocol):
    """The copy whose machine asks."""

    def feed(self, event: Event) -> None:
        """Give the machine an event."""
        ...

    def disk_failed(self, error: DiskError) -> None:
        """Note that the disk refused: what is in memory is void."""
        ...

    def damaged(self, damage: DamagedError) -> None:
        """Note that the disk lied."""
        ...

    def hand_over(self, peer: NodeId) -> None:
        """Forward the waiting requests to the new primary."""
        ...


class Deeds:
    """One copy's hands. Whatever comes back after ``stop`` is ignored: it belongs to a life that is over."""

    def __init__(self, world: World, state: CopyState, host: Host, replay: Replay) -> None:
        self._world = world
        self._state = state
        self._host = host
        self._replay = replay
        self._over = False
        self.shipping = Shipping(world, state, self._shipped)
        self._deeds: Mapping[type, Callable[[Action], None]] = {
            SaveMeta: _for(SaveMeta, self._save_meta),
            Truncate: _for(Truncate, self._truncate),
            InstallSnapshot: _for(InstallSnapshot, self._install),
            Propose: _for(Propose, self._propose),
            ReadRecord: _for(ReadRecord, self._read_record),
            FindPlace: _for(FindPlace, self._find_place),
            ReadTail: _for(ReadTail, self._read_tail),
            SendSnapshot: _for(SendSnapshot, self._ship),
            HandOver: _for(HandOver, lambda a: host.hand_over(a.peer)),
            CarryLeases: _for(CarryLeases, self._carry),
            Note: _for(Note, lambda a: world.tell(a.event, dict(a.facts))),
        }

    def do(self, action: Action) -> None:
        """Perform one action."""
        # What every write asks for is not taken apart by its pattern: that takes three times as long.
        match action:
            case Send():
                self._world.turn.send(action.peer, action.message, bulk=action.bulk)
            case Persist():
                durable = self._then(Durable(action.records[-1].lsn, action.cuts))
                self._world.journal.append(self._state.shard, action.records, durable, quiet=action.quiet)
            case Hasten():
                self._world.journal.hasten()
            case _:
                self._deeds[type(action)](action)

    def stop(self) -> None:
        """Ignore what still comes back."""
        self._over = True

    def _then(self, event: Event) -> Done[DiskError | None]:
        return partial(self._done, event)

    def _done(self, event: Event, error: DiskError | None, /) -> None:
        if self._over:
            return
        if error is not None:
            self._host.disk_failed(error)
        else:
            self._host.feed(event)

    def _save_meta(self, a: SaveMeta) -> None:
        self._world.journal.save_meta(self._state.shard, a.meta, self._then(MetaSaved(a.version)))

    def _truncate(self, a: Truncate) -> None:
        """Cut; entries before the cut are compared first, because dropping the wrong ones can't be taken back."""
        found = self._world.journal.tip_at(self._state.shard, a.keep.lsn)
        if found is not None and found.hash != a.keep.hash:
            self._host.feed(CutMismatch(a.keep.lsn))
            return
        stale = self._replay.ledger.applied_lsn > a.keep.lsn
        if stale:
            self._replay.pause()
        then = self._cut(a.cuts)
        self._world.journal.truncate(
            self._state.shard,
            keep_lsn=a.keep.lsn,
            orphan=True,
            done=self._reloading(then) if stale else then,
            lossy=a.lossy,
        )

    def _install(self, a: InstallSnapshot) -> None:
        self._replay.pause()
        then = self._reloading(self._cut(a.cuts))
        self._world.journal.save_snapshot(self._state.shard, a.tip, a.parts, then, orphan=a.lossy)

    def _cut(self, cuts: int) -> Done[DiskError | None]:
        """Tell of a cut once it is on disk, and what is kept aside by then."""

        def done(error: DiskError | None, /) -> None:
            self._then(Cut(cuts, self._world.journal.quarantined(self._state.shard)))(error)

        return done

    def _reloading(self, then: Done[DiskError | None]) -> Done[DiskError | None]:
        """Build the state anew once the disk shows the new journal: before, it would show what is gone."""

        def done(error: DiskError | None, /) -> None:
            if not self._over and error is None:
                self._replay.reload()
            then(error)

        return done

    def _propose(self, a: Propose) -> None:
        def done(answer: ProposalAnswer) -> None:
            if not self._over:
                self._host.feed(ProposalAnswered(a.proposal, answer))

        self._world.turn.propose(a.proposal, done)

    def _read_record(self, action: ReadRecord) -> None:
        def done(found: Assignment | None) -> None:
            if not self._over:
                self._host.feed(RecordRead(action.number, found))

        self._world.turn.read(self._state.shard, done)

    def _find_place(self, a: FindPlace) -> None:
        found = self._world.journal.tip_at(self._state.shard, a.lsn)
        self._host.feed(PlaceFound(a.peer, a.number, found))

    def _read_tail(self, a: ReadTail) -> None:
        self._world.spawn.soon(lambda: self._tail(a))

    def _tail(self, a: ReadTail) -> bool:
        if not self._over:
            try:
                records = self._world.journal.read(self._state.shard, after_lsn=a.after_lsn, limit_bytes=TAIL_BYTES)
            except DamagedError as damage:
                self._host.damaged(damage)
            else:
                self._host.feed(TailRead(a.peer, a.number, tuple(records)))
        return False

    def _ship(self, a: SendSnapshot) -> None:
        try:
            self.shipping.ship(a.peer, a.number)
        except DamagedError as damage:
            self._host.damaged(damage)

    def _shipped(self, peer: NodeId, number: int, tip: Tip) -> None:
        self._host.feed(SnapshotSent(peer, number, tip))

    def _carry(self, a: CarryLeases) -> None:
        for peer in a.peers:
            link = self._world.links.find(peer)
            if link is not None:
                link.carry(self._state.shard, a.old, a.new)


def _for(kind: type[Kind], deed: Callable[[Kind], None]) -> Callable[[Action], None]:
    def checked(action: Action) -> None:
        assert isinstance(action, kind), f"a deed for {kind.__name__} was given {type(action).__name__}"
        deed(action)

    return checked
