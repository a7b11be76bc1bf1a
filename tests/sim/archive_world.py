"""The pair world with an archive: production archivers beside production drivers, in trouble together.

The archive is slow, away now and then, and keeps what a process sent even if that died before it was told. Laws: what
is archived was committed; it fits together; any state that can be rebuilt from it is one that the shard went through,
in the order of their times; and when everything has healed the archive is complete up to the last entries.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from chaos.fleet_laws import FleetLaw
from core.errors import PositionGoneError
from core.names import NodeId, ShardId
from core.ports import Done
from nodes.archive import Piece, entries
from nodes.archive_aside import Aside
from nodes.archive_chain import Course, Line, course_to, end_of, line_to
from nodes.archive_driver import ArchiveDriver, served_by
from nodes.archive_machine import Pace, Served
from nodes.archive_memory import ArchiveShelf, MemoryArchive
from nodes.driver import NodeDriver
from nodes.memory_journal import MemoryJournal
from nodes.pair_rules import Rules
from nodes.ports import ArchiveFailure, Listing, Recovered
from tests.sim.pair_laws import BrokenLawError
from tests.sim.pair_world import APPS, Machine, PairWorld, Tally

PACE = Pace(seal_s=0.3, seal_entries=20, bytes_per_s=200_000.0, look_s=0.05, retry_s=0.2)
HOLD_S = 1.0
TAIL_ENTRIES = 60
"""What may be committed and not archived when all is calm: what comes in within the time to seal it."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Way:
    """A process's way to the archive: what it asks for happens, whether or not it lives to be told."""

    machine: Machine
    archive: MemoryArchive

    def put(self, piece: Piece, parts: Sequence[bytes], done: Done[ArchiveFailure | None]) -> None:
        self.archive.put(piece, parts, self._told(done))

    def pieces(self, shard: ShardId, *, from_lsn: int, done: Done[Listing | ArchiveFailure]) -> None:
        self.archive.pieces(shard, from_lsn=from_lsn, done=self._told(done))

    def read(self, piece: Piece, done: Done[Sequence[bytes] | ArchiveFailure]) -> None:
        self.archive.read(piece, self._told(done))

    def _told(self, done: Callable[[Answer], None]) -> Callable[[Answer], None]:
        answers = list[Answer]()
        tell = self.machine.host.guard(lambda: done(answers[0]))

        def told(answer: Answer) -> None:
            answers.append(answer)
            tell()

        return told


class ArchivingMachine(Machine):
    """A node with an archiver."""

    def start(self) -> None:
        """Begin a life."""
        super().start()
        world = self.world
        assert isinstance(world, ArchiveWorld)
        driver, journal = self._living(), self.journal
        assert journal is not None, "it was just started"
        ArchiveDriver(
            archive=_Way(self, MemoryArchive(world.shelf, world.later)),
            journal=journal,
            served=lambda: world.served_by(driver),
            busy=lambda: world.time.chance.random() < 0.1,
            clock=self.host,
            spawn=self.host,
            tell=lambda event, facts: world.told(self.node, event, facts),
            pace=PACE,
        ).start()


class ArchiveWorld(PairWorld):
    """The world of one schedule."""

    def __init__(self, seed: int, *, snapshot_entries: int, snapshot_hold_s: float) -> None:
        self.shelf = ArchiveShelf()
        super().__init__(seed, rules=Rules(), snapshot_entries=snapshot_entries)
        self.snapshot_hold_s = snapshot_hold_s
        self.gaps = self.rebuilt = 0

    def machine(self, node: NodeId) -> Machine:
        """Make a node with an archiver."""
        return ArchivingMachine(self, node)

    def served_by(self, driver: NodeDriver) -> Iterable[Served]:
        """List what a node serves, as its process does; tests override it."""
        return served_by(driver)

    def later(self, callback: Callable[[], None]) -> None:
        """Take the archive's time for something."""
        self.time.after(self.time.chance.uniform(0.001, 0.3), callback)

    def _fault(self) -> None:
        super()._fault()
        chance = self.time.chance
        if not self.calm and not self.shelf.refusal and chance.random() < 0.1:
            self.shelf.refusal = "it is away"
            self.time.after(chance.uniform(0.1, 1.0), self._archive_back)

    def _archive_back(self) -> None:
        self.shelf.refusal = ""

    def _judge(self) -> Tally:
        tally = super()._judge()
        if not self._blocked():
            self._judge_archive()
        return tally

    def _judge_archive(self) -> None:
        primary = self.machines[self.store.records[self.shard].primary.node]
        journal = primary.journal
        assert journal is not None, "everything has healed"
        pieces = sorted((it for it, _ in self.shelf.kept.get(self.shard, {}).values()), key=lambda it: it.name)
        recovered = journal.recover_one(self.shard)
        assert recovered is not None, "the primary has a journal"
        self._committed_only(journal, recovered, pieces)
        desk = primary._living().desk(str(self.tenant))
        if not pieces or desk.commit_lsn - pieces[-1].after.lsn > TAIL_ENTRIES:
            raise BrokenLawError(FleetLaw.LIVENESS, f"{desk.commit_lsn} entries, archived: {pieces[-1:]}")
        end = end_of(pieces, lambda lsn: journal.tip_at(self.shard, lsn)) or recovered.floor
        line = line_to(end, pieces)
        self.gaps += sum(not isinstance(step, Piece) for step in line.steps)
        whole = desk.replay.ledger.held(str(self.tenant)).get("log", [])
        assert isinstance(whole, list), "a log is a list"
        times = sorted({it.last_at_ms for it in pieces} | {it.first_at_ms for it in pieces})
        states = [log for at_ms in times if (log := self._log_at(line, at_ms)) is not None]
        for earlier, later in pairwise([*states, whole]):
            if later[: len(earlier)] != earlier:
                raise BrokenLawError(FleetLaw.I8, "a rebuilt state is none that the shard went through")

    def _committed_only(self, journal: MemoryJournal, recovered: Recovered, pieces: Sequence[Piece]) -> None:
        for it in pieces:
            if it.after.lsn > recovered.tip.lsn:
                raise BrokenLawError(FleetLaw.I8, f"{it.name} is archived, and the journal ends at {recovered.tip.lsn}")
            if it.after.lsn >= recovered.floor.lsn and journal.tip_at(self.shard, it.after.lsn) != it.after:
                raise BrokenLawError(FleetLaw.I8, f"{it.name} was never committed")

    def _log_at(self, line: Line, at_ms: int) -> list[str] | None:
        """Rebuild the log as of a time; None: the archive says that it can't."""
        try:
            course = course_to(at_ms, line)
        except PositionGoneError:
            return None
        self.rebuilt += 1
        return self._rebuilt(course, at_ms)

    def _rebuilt(self, course: Course, at_ms: int) -> list[str]:
        aside, kept = Aside(self.shard, str(self.tenant), APPS, at_ms=at_ms), self.shelf.kept[self.shard]
        if course.base is not None:
            for part in kept[course.base.name][1]:
                aside.part(part)
            aside.begin(course.base.after)
        for piece in course.segments:
            aside.take(entries(piece, kept[piece.name][1]))
        found = aside.state().get("log", [])
        assert isinstance(found, list), "a log is a list"
        return found


def play(seed: int, *, snapshot_entries: int, snapshot_hold_s: float = HOLD_S) -> ArchiveWorld:
    """Play one schedule; what breaks a law names the seed."""
    world = ArchiveWorld(seed, snapshot_entries=snapshot_entries, snapshot_hold_s=snapshot_hold_s)
    try:
        world.run()
    except AssertionError as broken:
        raise AssertionError(f"seed {seed}, a snapshot every {snapshot_entries} entries: {broken!r}") from broken
    return world
