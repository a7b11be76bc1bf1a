"""What one copy of a shard knows: durable meta, journal's ends, peers, and what it waits for."""

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from typing import Protocol

from core.assignments import Assignment, Change, Copy, Fence
from core.copies import NOTHING_QUARANTINED, Quarantined, Role
from core.machine import NEVER
from core.names import NodeId, ShardId
from core.orders import Order
from core.rhythm import Rhythm
from core.timers import Timers
from nodes.frames import ShardMessage
from nodes.pair_events import Action, Hasten, Note, Persist, Propose, SaveMeta, Send
from nodes.pair_rules import Rules
from nodes.ports import CopyMeta, Intent, Span
from nodes.records import EMPTY, Generation, Record, Tip, tip_of

RECENT_RECORDS = 512
"""Durable entries kept in memory beyond those not yet durable: whoever lags less needs no disk read."""
OUTWARD = (Send, Propose)
"""Deeds that others see, and that wait for the meta."""
HASTEN = Hasten()
OWNERS = (Role.PRIMARY, Role.DRAINED, Role.PROMOTED)
FOLLOWERS = (Role.STANDBY, Role.LEARNER)


class Leases(Protocol):
    """What the link machine knows, read only."""

    def lease_until(self, shard: ShardId, peer: NodeId, fence: Fence) -> float:
        """Until when the peer's lease of the shard, granted in that epoch, holds; in the past if it never did."""
        ...

    def replied_at(self, peer: NodeId) -> float:
        """When this node last answered, and so may have granted, a heartbeat of the peer; -inf: never."""
        ...

    def heard_at(self, peer: NodeId, now: float) -> float:
        """When the peer last gave a sign of life; watched from now on, with a grace, if it never did."""
        ...

    def refused(self, peer: NodeId) -> bool:
        """Say whether the peer's stream was reset and connects are refused."""
        ...


class Mode(Enum):
    """How far a peer follows."""

    ASKED = "asked"
    SNAPSHOT = "snapshot"
    CATCHUP = "catchup"
    LIVE = "live"


@dataclass(slots=True)
class Peer:
    """What a primary knows of a standby or learner; everything holds for the present generation only."""

    node: NodeId
    ask: int
    mode: Mode = Mode.ASKED
    copy: Copy | None = None
    number: int = 0
    """Of the Hello that is being served."""
    sent: Tip = EMPTY
    """The last entry sent."""
    acked: int = -1
    """The last entry acknowledged in this generation; -1: it has not answered in it."""
    told_commit_lsn: int = -1
    moved_at: float = 0.0
    """When it last made progress, or last had nothing to do."""
    asked_at: float = 0.0
    unfit: str = ""
    """Not empty: it can't follow, and why."""


@dataclass(slots=True)
class Attempt:
    """A proposal of the present base; ``retry_at``: when to ask again, unless an answer is awaited."""

    change: Change
    waiting: bool = True
    retry_at: float = NEVER


@dataclass(slots=True)
class Joining:
    """A learner that the leader wants in: not binding until it becomes an intent."""

    order: Order
    node: NodeId


@dataclass(slots=True)
class Incoming:
    """A snapshot on its way in."""

    number: int
    tip: Tip
    parts: list[bytes]


@dataclass(slots=True)
class CopyState:
    """All of it; the functions of the ``pair_*`` files read and change it, the machine in ``pair.py`` owns it."""

    shard: ShardId
    me: Copy
    timers: Timers
    rhythm: Rhythm
    """When heartbeats leave: news of commits goes with them."""
    leases: Leases
    rules: Rules
    meta: CopyMeta
    tip: Tip
    floor: Tip
    spans: list[Span]
    booted_at: float
    serial: int
    """Grows with every Hello and Invite; starts at random, so that no number comes back after a restart."""
    granted_until: float
    """Before this a promoted or restarted copy does not serve (I6)."""
    role: Role = Role.OUT
    restarted: bool = False
    """An owner that has not yet served since its start: proposes only Evict, Cancel and what its intents hold."""
    contact: bool = False
    """STANDBY, LEARNER: its journal is a prefix of its primary's, in this generation."""
    thawed: bool = False
    """Was stopped for longer than a lease: answers nothing until it is known to be in force."""
    ahead: Fence | None = None
    """Somebody has seen this higher fence: stop until its record is read (I5)."""
    complaint: str = ""
    """Not empty: damaged, or the disk refuses; serves, grants and acks nothing."""
    durable_lsn: int = 0
    commit_lsn: int = 0
    changes: int = 0
    """Grows whenever role, epoch or what may be served may have changed: ordinary writes alone leave it as it is."""
    others_of: int = -1
    others_known: tuple[Copy, ...] = ()
    grantors_of: int = -1
    grantors_known: tuple[Copy, ...] = ()
    meta_version: int = 0
    saved_version: int = 0
    cuts: int = 0
    cutting: bool = False
    """A truncation or snapshot is on its way to the disk."""
    recent: deque[Record] = field(default_factory=deque)
    fresh: list[Record] = field(default_factory=list)
    """Admitted in this turn, neither written nor sent."""
    peers: dict[NodeId, Peer] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    joining: Joining | None = None
    cancel: bool = False
    drain_from: float = 0.0
    """When it stopped admitting for a switchover, or started as a drained copy."""
    hello: int = 0
    """The number of the Hello that is out; 0: none, or voided by an append."""
    hello_at: float = 0.0
    incoming: Incoming | None = None
    reading: int = 0
    """The number of the read of the record whose answer is awaited; 0: none is."""
    read_at: float = NEVER
    """When the record is asked for again; NEVER: it is not wanted, or asked for."""
    news_at: float = NEVER
    """When idle peers are told of the last commits, and the last writes are looked at."""
    orphaned: int = 0
    quarantined: Quarantined = NOTHING_QUARANTINED
    """What ``orphan/`` keeps although it may have been acknowledged; told at every start until it is taken away."""
    actions: list[Action] = field(default_factory=list)
    held: list[Action] = field(default_factory=list)
    """Wait until the meta they depend on is on disk."""

    @property
    def gen(self) -> Generation:
        """The (incarnation, epoch, boot) it acts in: the highest it has persisted, or is about to (I5)."""
        return self.meta.seen

    @property
    def fence(self) -> Fence:
        """Its (incarnation, epoch)."""
        return Fence(self.meta.seen.incarnation, self.meta.seen.epoch)

    @property
    def assignment(self) -> Assignment:
        """Its record; only for roles that have one."""
        assert self.meta.assignment is not None, f"shard {self.shard}: {self.role} without a record"
        return self.meta.assignment

    @property
    def owner(self) -> bool:
        """Say whether the present record, as far as known here, names this copy as primary."""
        return self.role in OWNERS

    @property
    def follower(self) -> bool:
        """Say whether it appends what a primary sends."""
        return self.role in FOLLOWERS

    @property
    def dirty(self) -> bool:
        """Say whether the meta on disk is behind: nothing that depends on it has been sent yet."""
        return self.saved_version < self.meta_version

    @property
    def sound(self) -> bool:
        """Say whether nothing forbids to act in the present generation."""
        return not self.thawed and self.ahead is None and not self.complaint

    @property
    def admits(self) -> bool:
        """Say whether commands are taken now: serving, not draining (I5, I6)."""
        return self.role is Role.PRIMARY and not self.restarted and self.sound

    @property
    def drains(self) -> bool:
        """Say whether it has asked, or is about to ask, for a change of roles: only a CAS ends that."""
        return any(intent.kind == "drain" for intent in self.meta.intents)

    @property
    def commits(self) -> bool:
        """Say whether the commit point may move: an owner whose meta is on disk, and that nothing forbids to act."""
        return (
            self.role in OWNERS
            and self.saved_version >= self.meta_version
            and not self.complaint
            and self.ahead is None
        )

    def do(self, action: Action) -> None:
        """Ask for a deed; what others would see waits for the meta (I5, I3)."""
        if self.dirty and isinstance(action, OUTWARD):
            self.held.append(action)
        else:
            self.actions.append(action)

    def send(self, peer: NodeId, message: ShardMessage, *, bulk: bool = False) -> None:
        """Send, once the meta is on disk (I5, I3)."""
        (self.held if self.saved_version < self.meta_version else self.actions).append(Send(peer, message, bulk))

    def note(self, event: str, **facts: object) -> None:
        """Tell people."""
        self.actions.append(Note(event, (("shard", self.shard), ("epoch", self.fence.epoch), *facts.items())))

    def tell_quarantined(self) -> None:
        """Tell people what is kept aside although it may have been acknowledged."""
        found = self.quarantined.most
        self.note("copy.quarantined", node=self.me.node, tenants=dict(found.tenants), snapshot_lsn=found.snapshot_lsn)

    def save(self, meta: CopyMeta) -> None:
        """Change the meta; whatever is sent from now on waits until it is on disk.

        What still waits from an older generation would leave when that one is over: it is dropped, as a link may (I5).
        """
        if meta.seen != self.meta.seen:
            self.held.clear()
        self.meta = meta
        self.meta_version += 1
        self.changes += 1
        self.actions.append(SaveMeta(meta, self.meta_version))

    def save_intents(self, *intents: Intent) -> None:
        """Remember what was asked for (I4)."""
        self.save(replace(self.meta, intents=intents))

    def number(self) -> int:
        """Make a number that this shard has not used before."""
        self.serial += 1
        return self.serial

    def extend(self, *records: Record) -> None:
        """Add entries at the end, in memory."""
        spans = self.spans
        for record in records:
            if not spans or spans[-1].generation != record.generation:
                spans.append(Span(record.generation, record.lsn))
        self.recent.extend(records)
        self.tip = tip_of(records[-1])

    def persist(self, records: tuple[Record, ...], *, quiet: bool) -> None:
        """Write entries; ``quiet``: whoever waits for them waits for others too, and hastens this disk then."""
        self.actions.append(Persist(records, self.cuts, quiet))

    def hasten(self) -> None:
        """Ask to be told at once how far the disk is, if it is behind."""
        if self.durable_lsn < self.tip.lsn:
            self.actions.append(HASTEN)

    def trim(self) -> None:
        """Forget old entries in memory; never one that is not on disk."""
        recent = self.recent
        if recent:
            for _ in range(self.durable_lsn - RECENT_RECORDS + 1 - recent[0].lsn):
                recent.popleft()

    def place(self, lsn: int) -> Tip | None:
        """Look an lsn up in memory; None: not there."""
        if lsn == self.tip.lsn:
            return self.tip
        if lsn == self.floor.lsn:
            return self.floor
        if self.recent and self.recent[0].lsn <= lsn <= self.recent[-1].lsn:
            return tip_of(self.recent[lsn - self.recent[0].lsn])
        return None

    def since(self, lsn: int) -> tuple[Record, ...] | None:
        """Return the entries after a place, if memory holds them all."""
        if lsn >= self.tip.lsn:
            return ()
        if not self.recent or self.recent[0].lsn > lsn + 1:
            return None
        newest_first = islice(reversed(self.recent), self.tip.lsn - lsn)
        return tuple(newest_first)[::-1]

    def others(self) -> tuple[Copy, ...]:
        """Name whose word an acknowledgement needs now; worked out once per meta, it stands in every write's path."""
        if self.others_of != self.meta_version:
            self.others_known = self.rules.acknowledgers(self.assignment, self.meta.intents)
            self.others_of = self.meta_version
        return self.others_known

    def grantors(self) -> tuple[Copy, ...]:
        """Name whose lease a read needs now; nobody's for a copy that may not read (a drained one gave it up).

        Worked out once per meta, as every read asks for it.
        """
        if self.role is not Role.PRIMARY or self.complaint:
            return ()
        if self.grantors_of != self.meta_version:
            self.grantors_known = self.rules.grantors(self.assignment, self.meta.intents)
            self.grantors_of = self.meta_version
        return self.grantors_known

    def retry_s(self) -> float:
        """How long to wait before anything is asked again."""
        return 2 * self.timers.heartbeat_s
