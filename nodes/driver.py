"""Hosts the copies of one node: gives the machines their events, performs their actions through the ports.

Everything here runs on one thread, in callbacks; nothing awaits. ``tell`` receives what people and the rehearsal
look for in a node's log: an event name and facts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from core.assignments import Assignment, Copy, Fence
from core.copies import CopyView, Role
from core.errors import MalformedError, NotOwnerError, StaleEpochError, TwinholdError
from core.names import NodeId, ShardId, TenantName, shard_id, tenant_name
from core.orders import PrepareResult, PrepareShard, TransferOrder, TransferResult
from core.ports import Clock, Rng, Spawn
from core.rhythm import Rhythm
from core.sharding import shard_of
from core.timers import Timers
from core.topology import Topology
from nodes.app_table import AppTable
from nodes.control_port import Control
from nodes.desk import Desk, not_owner
from nodes.frames import Frame, Heartbeat, HeartbeatReply, Invite, ShardMessage
from nodes.holding import Holding, blank
from nodes.ledger import SHARD_PREFIX, STORED_BYTES_MAX, Submitted
from nodes.link import LinkTable
from nodes.pair_events import Jumped, LinkDown, LinkUp, MapRecord, Ordered
from nodes.pair_rules import Rules
from nodes.ports import DiskError, Inbox, Journal, Links, Recovered
from nodes.pulse import Pulse
from nodes.retries import USUAL_WINDOW, RetryWindow
from nodes.subscription import Subscription
from nodes.turn import Turn
from nodes.views import Observation, Outcome, QueryOutcome
from nodes.world import Tell, World

SNAPSHOT_ENTRIES = 5_000
PROGRESS_S = 60.0
"""Nothing is decided by how far a journal has come, and each copy told costs its node and every control plane; nodes
that start together tell it at different times."""
TENANTS_CACHED = 65_536
FIRST = Fence(1, 1)


class NodeDriver:
    """One node: its copies, its links, what its clients wait for.

    Hand ``inbox`` to the adapter of ``Links``. Heartbeats, and what can wait for them, leave at ``rhythm``. Every
    ``done`` is called exactly once, possibly inside the call that was given it when the answer is known at once.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        node: NodeId,
        timers: Timers,
        rhythm: Rhythm,
        clock: Clock,
        spawn: Spawn,
        rng: Rng,
        journal: Journal,
        links: Links[Frame],
        apps: AppTable,
        control: Control,
        tell: Tell,
        rules: Rules,
        window: RetryWindow = USUAL_WINDOW,
        quota_bytes: int = STORED_BYTES_MAX,
        snapshot_entries: int = SNAPSHOT_ENTRIES,
        snapshot_hold_s: float = 0.0,
    ) -> None:
        self.node = node
        self._topology = topology
        self._clock = clock
        self._journal = journal
        self._timers = timers
        self._links = LinkTable(timers=timers, serial=lambda: rng.getrandbits(48) + 1)
        self._turn = Turn(clock=clock, links=links, control=control)
        self._pulse = Pulse(
            node=node,
            topology=topology,
            timers=timers,
            rhythm=rhythm,
            clock=clock,
            links=self._links,
            turn=self._turn,
            tell=tell,
            partners=self.partners,
            grants=self._grants,
            swept=self._sweep,
            silent=self._wake_for,
            stepped=self._stepped,
            jumped=self._thaw,
        )
        self.look = self._pulse.look
        """Compares the clock with the last time: a step means that the process was stopped, or its loop blocked.

        The driver does it whenever it is called; the host does it before every callback of its own.
        """
        self._world = World(
            node=node,
            timers=timers,
            rhythm=rhythm,
            clock=clock,
            spawn=spawn,
            rng=rng,
            journal=journal,
            apps=apps,
            window=window,
            quota_bytes=quota_bytes,
            turn=self._turn,
            links=self._links,
            rules=rules,
            tell=tell,
            look=self._pulse.look,
            snapshot_entries=snapshot_entries,
            snapshot_hold_s=snapshot_hold_s,
        )
        self._holdings: dict[ShardId, Holding] = {}
        self._map: dict[ShardId, Assignment] = {}
        self._overrides: dict[TenantName, ShardId] = {}
        self._tenants: dict[str, ShardId] = {}
        self._waiting: dict[ShardId, Holding] = {}
        self._wanted: dict[ShardId, frozenset[NodeId]] = {}
        self._reported: dict[ShardId, CopyView] = {}
        self._touched: set[ShardId] = set()
        """Shards whose copy stands otherwise than was reported."""
        self._conditions: dict[ShardId, tuple[object, ...]] = {}
        """Copies whose role, record, learner or complaint may have changed since the last report."""
        self._progress_at = 0.0
        self._gone: list[ShardId] = []
        self._term = 0
        self._forgetful: list[Callable[[], None]] = []
        self._peers: dict[ShardId, frozenset[NodeId]] = {}
        """By shard, the nodes that its copy talks with."""
        self._partners: frozenset[NodeId] | None = None

    def start(self) -> None:
        """Recover the copies from the journal and begin; call once, before anything else."""
        for recovered in self._journal.recover():
            self._hold(recovered)
        self._pulse.start()

    def stop(self) -> None:
        """Stop timers and answer whoever still waits; nothing relies on it being called."""
        self._pulse.stop()
        for holding in self._holdings.values():
            holding.stop()

    def inbox(self) -> Inbox[Frame]:
        """Say where messages and link changes go."""
        return Inbox(self.message, self.link_up, self.link_down)

    def message(self, peer: NodeId, frame: Frame) -> None:
        """Take a frame from a peer, from either channel."""
        link = self._pulse.heard(peer)
        for message in frame.messages:
            match message:
                case Heartbeat():
                    self._pulse.asked(link, message)
                case HeartbeatReply():
                    if self._pulse.granted(link, message) and self._waiting:
                        self._leases_grew()
                case _:
                    self._shard_message(peer, message)

    def link_up(self, peer: NodeId) -> None:
        """Note that the stream to a peer stands; what was sent before may be lost."""
        self._pulse.up(peer)
        for holding in tuple(self._holdings.values()):
            holding.feed(LinkUp(peer))

    def link_down(self, peer: NodeId, refused: bool) -> None:
        """Note that it broke; ``refused``: it was reset, and connects were refused."""
        self._pulse.down(peer, refused)
        for holding in tuple(self._holdings.values()):
            holding.feed(LinkDown(peer, refused))

    def partners(self) -> frozenset[NodeId]:
        """Name the nodes that this one must have a stream with now; asked again after every change."""
        if self._partners is None:
            self._partners = frozenset[NodeId]().union(*self._peers.values()) - {self.node}
        return self._partners

    def follow_steps(self, forget: Callable[[], None]) -> None:
        """Call ``forget`` after every step of the clock above L/4: what was observed before is worth nothing."""
        self._forgetful.append(forget)

    def map_changed(
        self, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId] | None = None
    ) -> None:
        """Take records from the map: all of a snapshot, or the changed ones of a delta; None: overrides as before."""
        if overrides is not None:
            self._overrides = dict(overrides)
            self._tenants.clear()
        for assignment in assignments:
            known = self._map.get(assignment.shard)
            if known is None or known.fence < assignment.fence:
                self._map[assignment.shard] = assignment
            self._learn(self._map[assignment.shard])

    def submit(self, submitted: Submitted, done: Callable[[Outcome], None]) -> None:
        """Run a command; ``done`` gets the answer once it is committed, or the error (never raises)."""
        self._pulse.look()
        try:
            holding = self._serving(submitted.tenant)
        except TwinholdError as error:
            done(error)
        else:
            holding.desk.submit(submitted, done)

    def query(
        self, *, tenant: str, type_url: str, body: bytes, actor: str, done: Callable[[QueryOutcome], None]
    ) -> None:
        """Read; linearizable. A tenant of the form ``shards/N`` asks the shard itself (lists)."""
        self._pulse.look()
        try:
            holding = self._serving(tenant)
        except TwinholdError as error:
            done(error)
        else:
            holding.desk.query(tenant, type_url, body, actor, done)

    def read(self, tenant: str, type_url: str, body: bytes, actor: str) -> QueryOutcome | None:
        """Read as ``query`` does, when nothing has to be waited for; None: ``query`` finds out what for."""
        now, shard = self._pulse.look(), self._tenants.get(tenant)
        holding = None if shard is None else self._holdings.get(shard)
        return None if holding is None else holding.desk.read(tenant, type_url, body, actor, now)

    def subscribe(self, tenant: str, after_lsn: int | None, wake: Callable[[], None]) -> Subscription:
        """Follow a tenant's committed entries; ``wake`` is called when ``take`` has something.

        Raises:
            NotOwnerError: another node serves the shard.
        """
        return self._serving(tenant).desk.subscribe(tenant, after_lsn, wake)

    def prepare(
        self, shards: Sequence[PrepareShard], term: int, done: Callable[[Sequence[PrepareResult]], None]
    ) -> None:
        """Say which copies could take over now; raises StaleEpochError for an older term than one seen.

        All copies stand on one disk, so one of them proves for all that it takes writes.
        """
        self._of_term(term)
        results = [self._prepared(shard) for shard in shards]
        first = next((self._holdings[result.shard] for result in results if result.ready), None)
        if first is None:
            done(results)
            return

        def written(error: DiskError | None) -> None:
            if error is None:
                done(results)
            else:
                done([replace(r, ready=False, refusal=error.cause) if r.ready else r for r in results])

        first.probe_disk(written)

    def transfer(self, orders: Sequence[TransferOrder], term: int) -> Sequence[TransferResult]:
        """Take orders of the leader; raises StaleEpochError for an older term than one seen."""
        self._of_term(term)
        return [self._transfer(order) for order in orders]

    def report(self, *, complete: bool) -> Sequence[CopyView]:
        """List the copies: all, or those that changed since the last call.

        How far a journal has come is no news: it is told about once in ``PROGRESS_S``, so that a busy fleet's
        control planes hear of changes and not of writes.
        """
        now = self._pulse.look()
        whole = complete or now >= self._progress_at
        if whole:
            self._progress_at = now + PROGRESS_S * (0.5 + self._world.rng.random())
        shards = self._holdings if whole else self._touched & self._holdings.keys()
        views = {shard: self._holdings[shard].view() for shard in shards}
        changed = [view for shard, view in views.items() if complete or self._reported.get(shard) != view]
        self._reported.update(views)
        self._touched = {view.shard for view in views.values() if view.learner is not None or _unsettled(view)}
        return changed

    def desk(self, tenant: str) -> Desk:
        """Find the desk at which a tenant stands; raises NotOwnerError, NotFoundError or MalformedError."""
        return self._serving(tenant).desk

    def serving(self) -> Iterable[Desk]:
        """List the desks at which clients are served now."""
        return [holding.desk for holding in self._holdings.values() if holding.desk.serving]

    def copies(self) -> Sequence[CopyView]:
        """List the copies as they stand; whoever reports misses nothing by it."""
        return [holding.view() for holding in self._holdings.values()]

    def gone(self) -> Sequence[ShardId]:
        """List the shards whose copy is no longer held, since the last call."""
        gone, self._gone = self._gone, []
        for shard in gone:
            self._reported.pop(shard, None)
        return gone

    @property
    def term(self) -> int:
        """The highest term of a leader that has asked something of this node; older ones are refused."""
        return self._term

    def observations(self) -> Sequence[Observation]:
        """Say what this node sees of its partners."""
        return self._pulse.observations()

    def stats(self) -> Mapping[str, float]:
        """Counters and gauges, by metric name."""
        views = self.copies()
        return {
            "copies": len(views),
            "primaries": sum(view.role is Role.PRIMARY for view in views),
            "serving": sum(view.serving for view in views),
            "writes_total": sum(holding.desk.writes_total for holding in self._holdings.values()),
            "orphaned_total": sum(view.orphaned for view in views),
        }

    def _shard_message(self, peer: NodeId, message: ShardMessage) -> None:
        holding = self._holdings.get(message.shard)
        if holding is None and isinstance(message, Invite):
            holding = self._hold(self._new_copy(message.shard))
        if holding is not None:
            holding.heard(peer, message)

    def _wake_for(self, silent: frozenset[NodeId]) -> None:
        """Let the copies that need a silent peer look at it."""
        for holding in tuple(self._holdings.values()):
            if not silent.isdisjoint(holding.partners()):
                holding.wake()

    def _sweep(self, now: float) -> None:
        """Answer whoever waits for a lease that came, or waited too long."""
        for holding in tuple(self._waiting.values()):
            holding.desk.answer_readers()
            holding.desk.expire(now)
            if not holding.desk.waiting.timed:
                self._waiting.pop(holding.shard, None)

    def _stepped(self) -> None:
        for holding in self._holdings.values():
            holding.pair.stepped(self._clock.now())
        for forget in self._forgetful:
            forget()

    def _thaw(self, step_s: float) -> None:
        """Stop answering until confirmed: a flag per copy at once; asking peers and the store is sliced.

        A jump often means that this machine is busy, and a long turn would make the next one.
        """
        thawed = [holding for holding in self._holdings.values() if holding.pair.thaw()]
        self._links.judge_anew()

        def one() -> bool:
            if thawed:
                thawed.pop().feed(Jumped(step_s))
            return bool(thawed)

        self._world.spawn.soon(one)

    def _grants(self, shard: ShardId, peer: NodeId, fence: Fence) -> bool:
        holding = self._holdings.get(shard)
        return holding is not None and holding.pair.grants(peer, fence)

    def _leases_grew(self) -> None:
        for holding in tuple(self._waiting.values()):
            holding.desk.answer_readers()

    def _hold(self, recovered: Recovered) -> Holding:
        holding = self._holdings[recovered.shard] = Holding(self._world, recovered, changed=self._changed)
        holding.start()
        return holding

    def _new_copy(self, shard: ShardId) -> Recovered:
        return blank(shard, self._journal.fresh_copy_id(shard))

    def _learn(self, assignment: Assignment) -> None:
        holding = self._holdings.get(assignment.shard)
        named = assignment.fence == FIRST and self.node in [copy.node for copy in assignment.in_sync]
        if holding is None and named:
            mine = Copy(self.node, self._journal.fresh_copy_id(assignment.shard))
            if mine in assignment.in_sync:
                holding = self._hold(self._new_copy(assignment.shard))
        if holding is not None and holding.fence < assignment.fence:
            holding.feed(MapRecord(assignment))

    def _changed(self, holding: Holding) -> None:
        """Bring leases, timed waits and the shard's own record up to date."""
        self._links.judge_anew()
        shard, peers = holding.shard, frozenset(holding.partners())
        if peers != self._peers.get(shard):
            self._peers[shard], self._partners = peers, None
        condition = holding.condition()
        if condition != self._conditions.get(shard):
            self._conditions[shard] = condition
            self._touched.add(shard)
        if holding.desk.waiting.timed:
            self._waiting[shard] = holding
        else:
            self._waiting.pop(shard, None)
        record = holding.record
        known = self._map.get(shard)
        if record is not None and (known is None or known.fence < record.fence):
            self._map[shard] = record
        elif known is not None and holding.fence < known.fence:
            holding.feed(MapRecord(known))  # a copy that was rebuilt has forgotten what its disk did not take
            return
        self._ask_leases(holding)
        if holding.to_set_aside:
            self._set_aside(holding)

    def _ask_leases(self, holding: Holding) -> None:
        shard, grantors = holding.shard, holding.grantors()
        for peer in self._wanted.get(shard, frozenset()) - grantors:
            self._links.watch(peer, self._clock.now()).want(shard, None)
        for peer in sorted(grantors):
            self._links.watch(peer, self._clock.now()).want(shard, holding.fence)
        self._wanted[shard] = grantors

    def _set_aside(self, holding: Holding) -> None:
        """Move a damaged copy that no record counts on out of the way; the next one is a new copy (I9)."""
        del self._holdings[holding.shard]
        self._peers.pop(holding.shard, None)
        self._conditions.pop(holding.shard, None)
        self._partners = None
        holding.stop()
        self._gone.append(holding.shard)
        self._journal.set_aside(holding.shard, lambda _: None)

    def _serving(self, tenant: str) -> Holding:
        shard = self._tenants.get(tenant)
        if shard is None:
            shard = self.shard_of(tenant)
        holding = self._holdings.get(shard)
        if holding is not None:
            return holding
        if shard not in self._map:
            raise NotOwnerError(f"this node does not know who serves shard {shard}", shard=shard)
        raise not_owner(self._map[shard])

    def shard_of(self, tenant: str) -> ShardId:
        """Find the shard that serves a tenant, as far as known here; raises NotFoundError or MalformedError."""
        shard = self._tenants.get(tenant)
        if shard is None:
            if len(self._tenants) >= TENANTS_CACHED:
                self._tenants.clear()
            shard = self._tenants[tenant] = self._located(tenant)
        return shard

    def _located(self, tenant: str) -> ShardId:
        if tenant.startswith(SHARD_PREFIX):
            return shard_id(tenant)
        name = tenant_name(tenant)
        return shard_of(name, self._topology.geography(name.geography), self._overrides)

    def _of_term(self, term: int) -> None:
        if term < self._term:
            raise StaleEpochError(f"term {term} is over: a leader of term {self._term} was here", term=self._term)
        self._term = term

    def _prepared(self, asked: PrepareShard) -> PrepareResult:
        """Say whether a copy could take over if the disk takes writes."""
        holding = self._holdings.get(asked.shard)
        if holding is None:
            return PrepareResult(asked.shard, False, "holds no copy", 0)
        refusal = holding.unready(asked.base)
        return PrepareResult(asked.shard, not refusal, refusal, holding.last_lsn)

    def _transfer(self, order: TransferOrder) -> TransferResult:
        holding = self._holdings.get(order.shard)
        if holding is None:
            return TransferResult(order.shard, False, "holds no copy")
        if order.target is not None and order.target not in {node.id for node in self._topology.nodes}:
            raise MalformedError("target", order.target, expected="a node of the fleet")
        refusal = holding.order(Ordered(order.order, order.base, order.target))
        return TransferResult(order.shard, not refusal, refusal)


def _unsettled(view: CopyView) -> bool:
    """Say whether a copy is on its way to serving."""
    return view.role in (Role.PRIMARY, Role.PROMOTED, Role.DRAINED) and not view.serving
