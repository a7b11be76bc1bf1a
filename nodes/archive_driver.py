"""Archives what a node serves: gives the machine its events, performs its actions through the ports.

It stands beside the node's driver and asks it what is served; nobody waits for it. It works on the node's thread, in
slices.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

from core.assignments import Fence
from core.errors import TwinholdError
from core.machine import NEVER, Output
from core.names import ShardId
from core.ports import Clock, Spawn, Timer
from nodes.archive import SEGMENT_BYTES, Form, Sealed, segment, snapshot
from nodes.archive_chain import end_of
from nodes.archive_machine import (
    Action,
    Archiver,
    CopySnapshot,
    Event,
    Failed,
    Found,
    Kept,
    Looked,
    Pace,
    Seal,
    Seek,
    Served,
)
from nodes.driver import NodeDriver
from nodes.ports import Archive, ArchiveFailure, Journal, Listing
from nodes.records import EMPTY, Record
from nodes.world import Tell

SLICE_BYTES = 64 * 1024
"""Read from the journal in one turn: about a millisecond."""
Step: TypeAlias = Callable[[], bool]


class ArchiveDriver:
    """One node's archiver.

    Args:
        archive: of the node's geography.
        journal: the node's.
        served: lists what the node serves now.
        busy: says whether clients' work waits for its turn.
        clock: when to look.
        spawn: runs slices of work.
        tell: receives what people look for in the node's log.
        pace: how fast.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        journal: Journal,
        served: Callable[[], Iterable[Served]],
        busy: Callable[[], bool],
        clock: Clock,
        spawn: Spawn,
        tell: Tell,
        pace: Pace,
    ) -> None:
        self._archive = archive
        self._journal = journal
        self._served = served
        self._busy = busy
        self._clock = clock
        self._spawn = spawn
        self._tell = tell
        self._pace = pace
        self._machine = Archiver(pace)
        self._timer: Timer | None = None
        self._look_timer: Timer | None = None
        self._cause = ""
        """Why the archive refused last; empty: it did not."""

    @property
    def backlog(self) -> int:
        """Count the entries that are committed and not archived, as far as known."""
        return self._machine.backlog

    def start(self) -> None:
        """Begin; call once."""
        self._look()

    def stop(self) -> None:
        """Look no more; what is under way may still end."""
        for timer in (self._timer, self._look_timer):
            if timer is not None:
                timer.cancel()

    def _look(self) -> None:
        self._look_timer = self._clock.call_at(self._clock.now() + self._pace.look_s, self._look)
        self._feed(Looked(tuple(self._served()), self._busy()))

    def _feed(self, event: Event) -> None:
        self._run(self._machine.on(event, self._clock.now()))

    def _wake(self) -> None:
        self._timer = None
        self._run(self._machine.wake(self._clock.now()))

    def _run(self, output: Output[Action]) -> None:
        for action in output.actions:
            self._do(action)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if output.wake_at < NEVER:
            self._timer = self._clock.call_at(output.wake_at, self._wake)

    def _do(self, action: Action) -> None:
        match action:
            case Seek(shard, _, from_lsn):
                self._archive.pieces(shard, from_lsn=from_lsn, done=lambda found: self._sought(action, found))
            case Seal():
                self._spawn.soon(self._reading(action))
            case CopySnapshot():
                self._spawn.soon(lambda: self._copy(action))
            case _:
                assert_never(action)

    def _sought(self, asked: Seek, found: Listing | ArchiveFailure) -> None:
        shard = asked.shard
        if isinstance(found, ArchiveFailure):
            self._failed(asked, found.cause)
            return
        if found.damaged:
            self._tell("archive.damaged", {"shard": shard, "pieces": list(found.damaged)})
        try:
            end = end_of(found.pieces, lambda lsn: self._journal.tip_at(shard, lsn)) or EMPTY
            states = [piece for piece in found.pieces if piece.form is Form.SNAPSHOT]
            state = end_of(states, lambda lsn: self._journal.tip_at(shard, lsn)) or EMPTY
        except TwinholdError as damage:
            self._failed(asked, damage.message)
        else:
            self._feed(Found(shard, asked.fence, end, state.lsn))

    def _reading(self, asked: Seal) -> Step:
        """Read entries in slices, then seal them."""
        records = list[Record]()
        place_lsn = asked.after.lsn

        def step() -> bool:
            try:
                more = self._read(asked, place_lsn + len(records))
                records.extend(more)
                size = sum(len(record.body) for record in records)
                if more and size < SEGMENT_BYTES and records[-1].lsn < asked.until_lsn:
                    return True
                self._seal(asked, records)
            except TwinholdError as damage:
                self._failed(asked, damage.message)
            return False

        return step

    def _read(self, asked: Seal, after_lsn: int) -> list[Record]:
        found = self._journal.read(asked.shard, after_lsn=after_lsn, limit_bytes=SLICE_BYTES)
        return [record for record in found if record.lsn <= asked.until_lsn]

    def _seal(self, asked: Seal, records: list[Record]) -> None:
        """Put what was read, if the copy has served all the while: then all of it is committed, and none was cut."""
        if records and self._serves(asked.shard, asked.fence):
            self._put(asked, segment(asked.shard, asked.fence, asked.after, records))
        else:
            self._failed(asked, "")

    def _copy(self, asked: CopySnapshot) -> bool:
        try:
            found = self._journal.load_snapshot(asked.shard)
            if found is not None and self._serves(asked.shard, asked.fence):
                tip, parts = found
                if 0 < asked.end.lsn < tip.lsn:
                    gap = {"shard": asked.shard, "first_lsn": asked.end.lsn + 1, "last_lsn": tip.lsn}
                    self._tell("archive.gap", gap)
                before = asked.end if asked.end.lsn < tip.lsn else tip
                self._put(asked, snapshot(asked.shard, asked.fence, before, tip, parts))
            else:
                self._failed(asked, "")
        except TwinholdError as damage:
            self._failed(asked, damage.message)
        return False

    def _serves(self, shard: ShardId, fence: Fence) -> bool:
        return any(one.shard == shard and one.fence == fence for one in self._served())

    def _put(self, asked: Seal | CopySnapshot, sealed: Sealed) -> None:
        piece = sealed.piece

        def done(failure: ArchiveFailure | None, /) -> None:
            if failure is not None:
                self._failed(asked, failure.cause)
                return
            self._recovered()
            self._feed(Kept(asked.shard, asked.fence, piece.after, piece.size_bytes, piece.form is Form.SNAPSHOT))

        self._archive.put(piece, sealed.parts, done)

    def _failed(self, asked: Action, cause: str) -> None:
        """Go on later; the first refusal of a row is told, an empty cause is none."""
        if cause and not self._cause:
            self._tell("archive.refused", {"shard": asked.shard, "cause": cause})
        self._cause = cause or self._cause
        self._feed(Failed(asked.shard, asked.fence))

    def _recovered(self) -> None:
        if self._cause:
            self._tell("archive.recovered", {"backlog": self.backlog})
        self._cause = ""


def served_by(driver: NodeDriver) -> Iterable[Served]:
    """List what a node serves."""
    for desk in driver.serving():
        yield Served(desk.shard, desk.pair.state.fence, desk.floor_lsn, desk.commit_lsn)
