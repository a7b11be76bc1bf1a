"""One copy as its node holds it: the machine, its hands, its state, and the desk where its clients stand."""

from collections import deque
from collections.abc import Callable, Iterable

from core.assignments import Assignment, Fence
from core.copies import CopyView, Role
from core.errors import TwinholdError
from core.machine import NEVER, Output
from core.names import CopyId, NodeId, ShardId
from core.ports import Timer
from nodes.deeds import Deeds
from nodes.desk import DISK, Desk
from nodes.frames import Forward, Forwarded, ShardMessage, SnapshotAck
from nodes.pair import Pair
from nodes.pair_events import Action, Event, Flush, Heard, Ordered, SnapshotTaken
from nodes.ports import CopyMeta, DiskError, Recovered
from nodes.records import EMPTY, Generation, Tip
from nodes.replay import Replay
from nodes.shipping import Keeping
from nodes.world import World

DISK_RETRY_S = 1.0
"""After a refusal of the disk, before the copy is built anew."""
NOTHING = Generation(0, 0, 0)
FLUSH = Flush()


def blank(shard: ShardId, copy_id: CopyId) -> Recovered:
    """Describe a copy of which the disk holds nothing yet: member of nothing (I9)."""
    return Recovered(shard, CopyMeta(copy_id, NOTHING), EMPTY, EMPTY, ())


class Holding:
    """One copy; lives as long as its node holds the shard, through rebuilds."""

    def __init__(self, world: World, recovered: Recovered, *, changed: Callable[["Holding"], None]) -> None:
        """Args: ``changed`` is called when role, epoch or peers may have changed."""
        self.shard = recovered.shard
        self._view: CopyView | None = None
        self._world = world
        self._changed = changed
        self._timer: Timer | None = None
        self._timer_at = NEVER
        self._events: deque[Event] = deque()
        self._running = False
        self._over = False
        self._build(recovered)
        self.desk = Desk(
            world, self.shard, pair=self.pair, replay=self.replay, flusher=self, timed=lambda: changed(self)
        )

    def _build(self, recovered: Recovered) -> None:
        """Make machine, state and hands from what the disk holds."""
        world = self._world
        self.pair = Pair(
            recovered,
            node=world.node,
            timers=world.timers,
            rhythm=world.rhythm,
            leases=world.links,
            rules=world.rules,
            serial=world.rng.getrandbits(48) << 12,
            now=world.clock.now(),
            quarantined=world.journal.quarantined(self.shard),
        )
        self._state = self.pair.state
        self._key: object = None
        self._changes = -1
        self._commit_lsn = -1
        """As the last look at what may be applied and answered found it."""
        self.replay = Replay(world, self._state, moved=self._settle, broke=self.damaged)
        self._deeds = Deeds(world, self._state, self, self.replay)
        self._keeping = Keeping(world, self._state, self.replay, self._kept)

    def start(self) -> None:
        """Begin the copy's life."""
        self.replay.reload()
        self._run(self.pair.start(self._world.clock.now()))

    def feed(self, event: Event) -> None:
        """Give the machine an event; what its actions cause at once comes after it, in order."""
        if self._running:
            self._events.append(event)
        else:
            self._run(self.pair.on(event, self._world.look()))

    def heard(self, peer: NodeId, message: ShardMessage) -> None:
        """Take a peer's message."""
        match message:
            case Forward():
                self.desk.take_forward(peer, message)
            case Forwarded():
                self.desk.take_forwarded(message)
            case SnapshotAck():
                self._deeds.shipping.acked(peer, message)
                self.feed(Heard(peer, message))
            case _:
                self.feed(Heard(peer, message))

    def order(self, event: Ordered) -> str:
        """Take an order of the leader; returns why not, or nothing."""
        refusal, output = self.pair.order(event, self._world.clock.now())
        self._run(output)
        return refusal

    def flush(self) -> None:
        """Write and send what this turn admitted."""
        self.feed(FLUSH)

    def disk_failed(self, error: DiskError) -> None:
        """Stop at once; build the copy anew from the disk a little later."""
        if self._state.complaint:
            return
        self._state.complaint = f"{DISK} is not writable: {error.cause}"
        self._deeds.stop()
        self._settle()
        self._world.clock.call_at(self._world.clock.now() + DISK_RETRY_S, self._rebuild)

    def damaged(self, damage: TwinholdError) -> None:
        """Stop serving: the disk lied, or its journal can't be read by this code."""
        self._state.complaint = damage.message
        self._settle()

    def view(self) -> CopyView:
        """Describe the copy for a report."""
        rate = self.desk.rate_per_s()
        if self._view is None or self._view.writes_per_s != rate:
            self._view = self.pair.view(serving=self.desk.serving, writes_per_s=rate)
        return self._view

    def condition(self) -> tuple[object, ...]:
        """Say how the copy stands, as one value that is another when there is something to report."""
        p = self._state
        return (p.meta.seen, p.role, p.complaint, p.orphaned, p.quarantined, tuple(p.peers), self.desk.serving)

    def stop(self) -> None:
        """End the copy's life here."""
        if self._timer is not None:
            self._timer.cancel()
        self._over = True
        self._deeds.stop()
        self.desk.stop()

    def hand_over(self, peer: NodeId) -> None:
        """Forward the waiting requests to the new primary."""
        self.desk.hand_over(peer)

    def partners(self) -> Iterable[NodeId]:
        """Name the nodes that this copy talks with."""
        p = self._state
        if p.owner:
            return p.peers
        return [p.assignment.primary.node] if p.meta.assignment is not None and p.role is not Role.OUT else ()

    def grantors(self) -> frozenset[NodeId]:
        """Name the nodes whose lease this copy wants."""
        return frozenset(copy.node for copy in self._state.grantors())

    def unready(self, base: Fence) -> str:
        """Say why this copy could not take over from the primary of ``base``; empty: it could."""
        p = self._state
        if p.role is not Role.STANDBY or p.fence != base:
            return f"is {p.role.value} at {p.fence.incarnation}.{p.fence.epoch}"
        return p.complaint or ("" if self.replay.warm else "is still replaying its journal")

    def probe_disk(self, done: Callable[[DiskError | None], None]) -> None:
        """Prove that the disk takes writes: the meta, as it is."""
        self._world.journal.save_meta(self.shard, self._state.meta, done)

    @property
    def record(self) -> Assignment | None:
        """The decided record that this copy acts on."""
        return self._state.meta.assignment

    @property
    def fence(self) -> Fence:
        """Its (incarnation, epoch)."""
        return self._state.fence

    @property
    def last_lsn(self) -> int:
        """The end of its journal."""
        return self._state.tip.lsn

    @property
    def to_set_aside(self) -> bool:
        """Say whether this copy is damaged and no record counts on it."""
        p = self._state
        return p.role is Role.OUT and bool(p.complaint) and not p.complaint.startswith(DISK)

    def _run(self, output: Output[Action]) -> None:
        """Perform actions, and those of every event that they cause, in order; then do what they allow."""
        self._running = True
        try:
            while True:
                for action in output.actions:
                    self._deeds.do(action)
                if output.wake_at < self._timer_at:
                    self._wake_by(output.wake_at)
                if not self._events:
                    break
                output = self.pair.on(self._events.popleft(), self._world.clock.now())
        finally:
            self._running = False
        self._view = None
        if self._changes != self._state.changes:
            self._settle()
        elif self._commit_lsn != self._state.commit_lsn:
            self._settle_commit()

    def _wake_by(self, at: float) -> None:
        """Set the timer; one that goes off too early does no harm, so it is only ever moved forward."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._world.clock.call_at(at, self._wake), at

    def _wake(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self._run(self.pair.beat(self._world.look()))

    def wake(self) -> None:
        """Let the machine look at everything that time may have brought, the silence of its peers included."""
        self._run(self.pair.wake(self._world.look()))

    def _rebuild(self) -> None:
        """Start the copy's life over from the disk, its primary's boot number raised."""
        if self._over:
            return
        recovered = self._world.journal.recover_one(self.shard) or blank(self.shard, self._state.me.copy_id)
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, NEVER
        self._events.clear()
        self._build(recovered)
        self.desk.serve(self.pair, self.replay)
        self.start()

    def _kept(self, tip: Tip) -> None:
        self.feed(SnapshotTaken(tip))

    def _settle(self) -> None:
        """Do what the new state allows: apply, answer, admit, tell."""
        p = self._state
        self._changes = p.changes
        key = (p.role, p.restarted, p.meta_version, p.dirty, p.complaint, p.thawed, p.ahead, len(p.peers))
        if key != self._key:
            self._key = key
            self._role_changed()
        self.replay.catch_up()
        self._settle_commit()
        self.desk.admit_queue()

    def _settle_commit(self) -> None:
        """Apply and answer what is committed now."""
        self._commit_lsn, self._view = self._state.commit_lsn, None
        if self.replay.ledger.applied_lsn < self._commit_lsn:
            self.replay.catch_up()
        if self.desk.released():
            self._keeping.consider()

    def _role_changed(self) -> None:
        """Answer those who waited for a role that is over; tell the node."""
        if not self._state.owner or self._state.complaint:
            self.desk.close()
        self._changed(self)
