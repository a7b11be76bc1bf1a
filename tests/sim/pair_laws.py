"""The laws of a pair world: what its clients saw, and what stands on the disks behind it, named as in the protocol.

``Witness`` looks at every answer, record, frame and fsync when it happens; the functions judge a whole history. Both
know the production code's state only by looking: they ask no rule of it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from chaos.fleet_laws import AnyLaw, Breach, FleetLaw
from chaos.judgement import Law
from chaos.sim.time import Host
from core.assignments import Add, Assignment, Change, Copy, Evict, Override, Promote, Swap, Switchover
from core.copies import Role
from core.names import CopyId, NodeId, ShardId
from core.proposals import Proposal
from core.timers import Timers
from nodes.driver import NodeDriver
from nodes.frames import Ack, Append, Frame, Hello, Invite, SnapshotPart, Welcome
from nodes.memory_journal import MemoryDisk, Shelf
from nodes.pair import Pair
from nodes.pair_rules import JOINING
from nodes.ports import Intent
from nodes.records import Generation, Tip, tip_of
from nodes.views import Answered, QueryAnswer

OF_A_GENERATION = (Append, Ack, Invite, Welcome, SnapshotPart)
OWNING = (Role.PRIMARY, Role.DRAINED)
BY_SILENCE = ("silent for", "acknowledges nothing")
"""How a primary says that it evicts its standby for what it has, or has not, heard."""


class BrokenLawError(AssertionError):
    """What must never happen has happened."""

    def __init__(self, law: AnyLaw, what: str) -> None:
        super().__init__(f"{law.name}: {what}")
        self.breach = Breach(law, what)


@dataclass(slots=True)
class Op:
    """A client's write or read."""

    kind: str
    text: str
    invoked: float
    completed: float | None = None
    place: int = 0
    """Of an acknowledged write; from 1."""
    seen: tuple[str, ...] = ()
    once: bool = False
    """Its client asks for nothing more."""


class Watched(Protocol):
    """A machine, as a witness sees it."""

    node: NodeId
    host: Host
    disk: MemoryDisk
    driver: NodeDriver | None


@dataclass(slots=True)
class Witness:
    """What was seen of one shard, and what must therefore hold."""

    shard: ShardId
    timers: Timers
    machines: Mapping[NodeId, Watched]
    record: Assignment | None = None
    """As the store holds it."""
    acked: Tip | None = None
    """The last entry that was acknowledged: with it everything before, because the hashes chain."""
    spoken: dict[NodeId, Generation] = field(default_factory=dict)
    """The highest generation that a copy has spoken in."""
    lost: dict[NodeId, set[CopyId]] = field(default_factory=dict)
    """Copies that went with their disk."""
    thawed_at: dict[NodeId, float] = field(default_factory=dict)

    # What the store decides.

    def first(self, record: Assignment) -> None:
        """Take the record that the shard starts with."""
        self.record = record

    def decided(self, change: Change, new: Assignment) -> None:
        """Judge a record that the store has just taken."""
        old, self.record = self.record, new
        assert old is not None, "a shard's first record is no change"
        if isinstance(change, Override):
            self.acked = None
            return
        if new.incarnation != old.incarnation or new.epoch != old.epoch + 1:
            raise BrokenLawError(FleetLaw.C2, f"{new.fence} follows {old.fence}")
        if new.primary not in old.in_sync:
            raise BrokenLawError(FleetLaw.I2, f"{new.primary} leads {new.fence}, {old.in_sync} were in sync")
        joined = [copy for copy in new.in_sync if copy not in old.in_sync]
        if joined and not isinstance(change, Add | Swap):
            raise BrokenLawError(FleetLaw.C4, f"{joined} joined by {type(change).__name__}")
        if isinstance(change, Promote) and not new.solo:
            raise BrokenLawError(FleetLaw.C5, f"{new.standby} stays in sync in {new.fence}, unplanned")
        if isinstance(change, Switchover):
            self._drained(old, new)
        for copy in joined:
            if not self._has_acked(copy):
                raise BrokenLawError(FleetLaw.I7, f"{copy} joins in {new.fence} without {self.acked}")

    def _drained(self, old: Assignment, new: Assignment) -> None:
        """See that whoever changes roles by plan has handed over everything before."""
        pair = self._pair(old.primary.node)
        if pair is None or pair.state.fence != old.fence or pair.state.role not in OWNING:
            return
        if pair.state.role is not Role.DRAINED or not self._has(new.primary, pair.state.tip):
            what = f"{old.primary.node} is {pair.state.role.value} at {pair.state.tip.lsn} in {old.fence}"
            raise BrokenLawError(FleetLaw.I13, f"{what}, {new.primary.node} takes over")

    # What nodes answer, say and write.

    def answered(self, machine: Watched, outcome: Answered) -> None:
        """Judge an answer that a node gives to a command."""
        pair = self._pair(machine.node)
        if pair is None or pair.state.role not in OWNING or self._overridden(pair):
            return  # the answer to a forwarded request, passed on
        self._alone(machine, pair)
        tip = _place(machine, pair, outcome.lsn)
        lacking = self._lacking(machine, tip)
        if tip is not None and lacking:
            law = FleetLaw.I11 if outcome.replayed else self._law_of(machine, pair)
            raise BrokenLawError(law, f"{machine.node} answers {tip.lsn} in {pair.state.gen}, not yet on {lacking}")
        if tip is not None and (self.acked is None or tip.lsn > self.acked.lsn):
            self.acked = tip

    def read(self, machine: Watched, outcome: QueryAnswer) -> None:
        """Judge an answer that a node gives to a query."""
        pair = self._pair(machine.node)
        if pair is None or self._overridden(pair):
            return
        self._alone(machine, pair)
        lacking = self._lacking(machine, _place(machine, pair, outcome.lsn))
        if lacking:
            raise BrokenLawError(FleetLaw.I11, f"{machine.node} shows {outcome.lsn}, not yet on {lacking}")

    def said(self, machine: Watched, frame: Frame) -> None:
        """Judge what a node sends to another."""
        for message in frame.messages:
            gen = message.seen if isinstance(message, Hello) else None
            if isinstance(message, OF_A_GENERATION):
                gen = message.gen
            if gen is None:
                continue
            if gen < self.spoken.get(machine.node, gen):
                before = self.spoken[machine.node]
                raise BrokenLawError(FleetLaw.I5, f"{machine.node} speaks in {gen} after {before}: {message}")
            self.spoken[machine.node] = gen

    def proposed(self, machine: Watched, proposal: Proposal) -> None:
        """Judge what a primary asks the store for: what a stopped process has not heard is nobody's silence."""
        since = self.thawed_at.get(machine.node)
        by_silence = isinstance(proposal.change, Evict) and any(word in proposal.reason for word in BY_SILENCE)
        if by_silence and since is not None and machine.host.world.now - since < 0.9 * self.timers.standby_silence_s:
            raise BrokenLawError(FleetLaw.VERDICT, f"{machine.node}, just awake, evicts: {proposal.reason}")

    def synced(self, machine: Watched) -> None:
        """Judge a disk after a write, a crash, or a repair."""
        shelf = machine.disk.shelves.get(self.shard)
        if shelf is not None and shelf.meta is not None and shelf.meta.copy_id in self.lost.get(machine.node, ()):
            raise BrokenLawError(FleetLaw.I9, f"{machine.node} has lost {shelf.meta.copy_id}, and is it again")
        if self.record is None:
            return
        for copy in self.record.in_sync:
            if copy.node == machine.node and not self._has_acked(copy):
                raise BrokenLawError(FleetLaw.I8, f"{copy}, in sync in {self.record.fence}, lacks {self.acked}")

    def thawed(self, machine: Watched, frozen_s: float) -> None:
        """Note that a process goes on after a stop."""
        if frozen_s > self.timers.jump_s:
            self.thawed_at[machine.node] = machine.host.world.now

    def disk_lost(self, machine: Watched) -> None:
        """Note that a disk is gone, with whatever copy stood on it."""
        shelf = machine.disk.shelves.get(self.shard)
        if shelf is not None and shelf.meta is not None:
            self.lost.setdefault(machine.node, set()).add(shelf.meta.copy_id)
        self.spoken.pop(machine.node, None)

    # What it looks at.

    def _overridden(self, pair: Pair) -> bool:
        return self.record is not None and pair.state.fence.incarnation != self.record.incarnation

    def _alone(self, machine: Watched, pair: Pair) -> None:
        """See that nobody of an earlier epoch could answer a read now."""
        for other in self.machines.values():
            older = self._pair(other.node)
            if older is None or other.host.frozen or older.state.fence >= pair.state.fence or self._overridden(older):
                continue
            if older.readable(other.host.now()):
                what = f"{other.node} still reads in {older.state.fence}"
                raise BrokenLawError(FleetLaw.I6, f"{what} while {machine.node} answers in {pair.state.fence}")

    def _lacking(self, machine: Watched, tip: Tip | None) -> list[Copy]:
        """Name the copies that must hold an entry, and do not: the store's, and those of a change in flight."""
        if tip is None or self.record is None:
            return []
        needed = [*self.record.in_sync, *(i.learner for i in self._joining(machine, tip) if i.learner is not None)]
        return [copy for copy in dict.fromkeys(needed) if not self._has(copy, tip)]

    def _joining(self, machine: Watched, tip: Tip) -> Sequence[Intent]:
        shelf = machine.disk.shelves.get(self.shard)
        if shelf is None or shelf.meta is None or self.record is None or shelf.meta.assignment != self.record:
            return ()
        return [i for i in shelf.meta.intents if i.kind in JOINING and tip.lsn > i.lsn]

    def _law_of(self, machine: Watched, pair: Pair) -> FleetLaw:
        """Name the law that an answer broke which not everybody holds: by what the primary was about to do."""
        p = pair.state
        assert self.record is not None, "somebody was to hold it"
        shelf = machine.disk.shelves.get(self.shard)
        intents = () if shelf is None or shelf.meta is None else shelf.meta.intents
        grown = self.record.primary == p.me and self.record.fence > p.fence and not self.record.solo
        if grown or any(intent.kind in JOINING for intent in intents):
            return FleetLaw.I4
        alone = any(isinstance(attempt.change, Evict) for attempt in p.attempts.values())
        return FleetLaw.I3 if alone else FleetLaw.I1

    def _has_acked(self, copy: Copy) -> bool:
        return self.acked is None or self._has(copy, self.acked)

    def _has(self, copy: Copy, tip: Tip) -> bool:
        """Say whether an entry is on a copy's disk; what a lost disk held is not asked for."""
        if not copy.copy_id.startswith(f"{self.machines[copy.node].disk.disk_id}."):
            return True
        shelf = self._shelf(copy)
        return shelf is not None and _holds(shelf, tip)

    def _shelf(self, copy: Copy) -> Shelf | None:
        return self.machines[copy.node].disk.shelves.get(self.shard)

    def _pair(self, node: NodeId) -> Pair | None:
        driver = self.machines[node].driver
        holding = None if driver is None else driver._holdings.get(self.shard)
        return None if holding is None else holding.pair


def _place(machine: Watched, pair: Pair, lsn: int) -> Tip | None:
    """Find what a node's journal holds at an lsn; None: only its snapshot does."""
    found = pair.state.place(lsn)
    shelf = machine.disk.shelves.get(pair.state.shard)
    if found is None and shelf is not None and shelf.floor.lsn < lsn <= shelf.tip.lsn:
        found = tip_of(shelf.records[shelf.index(lsn) - 1])
    return found


def _holds(shelf: Shelf, tip: Tip) -> bool:
    if shelf.floor.lsn >= tip.lsn:
        return shelf.floor.lsn > tip.lsn or shelf.floor.hash == tip.hash
    return shelf.tip.lsn >= tip.lsn and shelf.records[shelf.index(tip.lsn) - 1].hash == tip.hash


def once_and_in_place(writes: Sequence[Op], log: tuple[str, ...], *, until: float) -> None:
    """See that what was acknowledged is in the log, where the answer said, and nothing twice."""
    if len(set(log)) < len(log):
        raise BrokenLawError(FleetLaw.I10, "a write is in the log twice")
    for op in writes:
        if op.completed is None or op.completed > until:
            continue
        if log[op.place - 1 : op.place] != (op.text,):
            raise BrokenLawError(Law.LOST, f"acknowledged {op.text} is not at {op.place} of {len(log)}")


def reads_hold(reads: Sequence[Op], writes: Sequence[Op], log: tuple[str, ...]) -> None:
    """See that reads are prefixes of the log that hold everything known before they began."""
    acked = [(op.completed, op.place) for op in writes if op.completed is not None]
    seen = [(read.completed, len(read.seen)) for read in reads if read.completed is not None]
    known = sorted(acked + seen)
    times = [when for when, _ in known]
    due = list(accumulate((place for _, place in known), max, initial=0))
    for read in reads:
        if read.seen != log[: len(read.seen)]:
            raise BrokenLawError(FleetLaw.I11, f"a read at {read.invoked:.3f} shows what the log does not hold")
        least = due[bisect_left(times, read.invoked)]
        if len(read.seen) < least:
            what = f"a read at {read.invoked:.3f} shows {len(read.seen)} entries, {least} were known"
            raise BrokenLawError(Law.STALE, what)
    for op in writes:
        least = due[bisect_left(times, op.invoked)]
        if op.completed is not None and op.place <= least:
            what = f"{op.text} stands at {op.place}, {least} were known before it was written"
            raise BrokenLawError(Law.ORDER, what)
