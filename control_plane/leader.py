"""One term of one leader: reads what the one before left, then judges, moves, writes and answers until deposed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from control_plane.audit import AuditEvent
from control_plane.books import Shelf
from control_plane.catalog import Catalog, partitions_in
from control_plane.chronicle import Chronicle
from control_plane.desk import Desk
from control_plane.guard import Guard
from control_plane.mover import Mover
from control_plane.office import Office
from control_plane.overriding import Quarantines
from control_plane.placement import Placement
from control_plane.ports import AssignmentStore, Nodes, Partition, Row, StoreIdentity
from control_plane.proposals import Done, Proposals
from control_plane.records_reader import Memory, Patrol, Reader
from control_plane.restoration import Restoration
from control_plane.roster import News, Roster
from control_plane.verdicts import Verdicts
from control_plane.views import DataCenterView
from control_plane.writer import Writer
from core.assignments import Assignment, Copy, Fence
from core.assignments import Leader as LeaderProposer
from core.errors import RefusedBySafetyError, UnavailableError
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, ShardId, copy_id, dc_of
from core.ports import Clock, Rng, Timer
from core.proposals import Proposal
from core.timers import Timers

NO_COPY = Fence(0, 0)
FIRST_GENERATION = 1
"""Of the copies that a fresh disk holds."""
PLACE_AGAIN_S = 1.0
PLACE_ANYWAY_S = 15.0
"""How long the first placement waits for all nodes of a geography to register."""
LOOK_AGAIN_S = 0.002
READ_AFTER_S = 0.3
"""How soon after taking over the geographies' records are read: a verdict, if there is one to give, comes before."""
PATROL_S = 2.0
"""How often one partition of the store is compared with what is known."""
RESTORED = "it was restored from a backup; nothing is written until `twinhold store adopt` has rebuilt it"
PLAN_AGAIN_S = 0.05
"""How soon after one look the next one may be; verdicts and rescues are looked at sooner than plans."""


@dataclass(frozen=True, slots=True)
class World:
    """What a leader is given of the world outside."""

    me: ControlPlaneId
    timers: Timers
    clock: Clock
    rng: Rng
    store: AssignmentStore
    nodes: Nodes
    roster: Roster
    catalog: Catalog
    placement: Placement
    deposed: Callable[[int], None]
    events_added: Callable[[], None]
    operations_changed: Callable[[], None]
    encode: Callable[[AuditEvent], bytes]
    tell: Callable[[str, Mapping[str, object]], None]
    view: Callable[[DcId], DataCenterView]


class Leader:
    """A candidate that has begun to read, and, once it has won, the leader of its term."""

    def __init__(self, world: World, term: int) -> None:
        self._world = world
        self.term = term
        self._catalog = world.catalog
        self._reader = Reader(world.store, world.clock, world.catalog.topology, term, self._arrived)
        self._office: Office | None = None
        self._opened_at: float | None = None
        self._learnt: set[GeographyId] = set()
        self._timer: Timer | None = None
        self._look_at = 0.0
        self._plan_at = 0.0
        self._place_at = 0.0
        self._patrol_at = 0.0
        self._blank = False
        """It came without a map, and has not compared the store with what the copies hold yet."""
        self._seen: dict[ShardId, Fence] = {}
        """What the store was seen to hold, in this term."""

    def stand(self) -> None:
        """Begin to read, beside raising the term."""
        self._reader.start()

    def win(self) -> None:
        """The term is ours: build the office."""
        world = self._world
        topology = self._catalog.topology
        self._catalog.stamp = None
        shelf = Shelf()
        self._chronicle = Chronicle(world.store, world.clock, self.term, encode=world.encode, added=world.events_added)
        self._office = Office(
            me=world.me,
            term=self.term,
            topology=topology,
            timers=world.timers,
            clock=world.clock,
            catalog=self._catalog,
            roster=world.roster,
            shelf=shelf,
            writer=Writer(
                world.store,
                world.clock,
                self.term,
                learned=self._learn,
                filed=shelf.seen,
                deposed=world.deposed,
                forgot=lambda what: self._freeze(f"the store does not hold {what} any more"),
                barred=lambda shard: "" if self._office is None else self._office.barred(shard),
            ),
            nodes=world.nodes,
            verdicts=Verdicts(world.me, topology, world.timers, world.roster),
            placement=world.placement,
            audit=self._audit,
            again=self.again,
        )
        self.guard = Guard(self._office)
        self.mover = Mover(
            self._office, self.guard.promote_one, lambda ended: self.desk.over(ended), self.guard.rescuing
        )
        self.desk = Desk(self._office, self.guard, self.mover, world.rng, world.view, world.operations_changed)
        self._proposals = Proposals(self._office)
        self._quarantines = Quarantines(self._office)
        self._memory = Memory(world.store, self._catalog.home, self._learn, self._forgot)
        self._patrol = Patrol(
            world.store,
            self.term,
            [partition for one in topology.geographies for partition in partitions_in(topology, one.id)],
            self._memory,
            self._fences_in,
            lambda: {doc.key: doc.version for doc in shelf.docs()},
            lambda what: self._freeze(f"the store does not hold {what} any more"),
        )
        self.restoration = Restoration(
            self._office, world.store, self._adopted, world.deposed, self._seen, world.clock.now()
        )
        self._arrived()

    def close(self, cause: str) -> None:
        """Give everything up: another leads, or may."""
        self._reader.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._office is None or self._office.over:
            return
        self._office.over = True
        self._catalog.stamp = None
        self._office.writer.close()
        self._chronicle.closed = True
        self._world.tell("leader.stepped_down", {"term": self.term, "cause": cause})

    @property
    def office(self) -> Office | None:
        """The office, once the term is won and what must be known first is read; None before."""
        return self._office if self._opened_at is not None and not self._blank else None

    def propose(self, node: NodeId, proposals: Sequence[Proposal], done: Done) -> None:
        """Judge and write proposals.

        Raises:
            UnavailableError: records are still being read, or nothing is written (C10).
        """
        self.must_write()
        behind = [p for p in proposals if self._behind(p.shard, p.base)]
        if not behind:
            self._proposals.take(node, proposals, done)
            return
        last = behind[-1]
        for proposal in behind[:-1]:
            self._memory.suspect(proposal.shard, proposal.base)
        self._memory.suspect(last.shard, last.base, lambda: self._proposals.take(node, proposals, done))

    def must_write(self) -> Office:
        """Return the office; raises UnavailableError while nothing may be written."""
        if self.office is None:
            raise UnavailableError("the new leader is still reading its records: ask again", retry_after_s=0.2)
        if self.office.frozen:
            raise UnavailableError(self.office.frozen, reason="STORE_RESTORED", retry_after_s=None)
        return self.office

    def heard(self, node: NodeId, news: News) -> None:
        """Take what a node's report changed."""
        if self._opened_at is None:
            return
        for copy in news.copies:
            if self._behind(copy.shard, copy.fence):
                self._memory.suspect(copy.shard, copy.fence)
        if news.copies:
            self.mover.heard(node, news.copies)
            self._quarantines.heard(node, news.copies)
        if news.targets or news.returned or (news.copies and (self.guard.missions or self.mover.complaints)):
            self.again()

    def again(self) -> None:
        """Look at everything again soon."""
        now = self._world.clock.now()
        self._plan_at = min(self._plan_at, now + PLAN_AGAIN_S)
        self._arm(now + LOOK_AGAIN_S)

    def _arm(self, when: float) -> None:
        if self._timer is not None and self._look_at <= when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._look_at = when
        self._timer = self._world.clock.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        office, now = self._office, self._world.clock.now()
        if office is None or office.over or self._opened_at is None:
            return
        if self._blank and not self._informed(office, now):
            self._arm(now + PLAN_AGAIN_S)
            return
        wake_at = self.guard.look(now)
        if now >= self._plan_at:
            self.desk.look()
            self._plan_at = self.mover.look(now)
        if now >= self._place_at:
            self._place(office, now)
        self._read_on(now)
        if now >= self._patrol_at:
            self._patrol_at = now + PATROL_S
            self._patrol.step()
        self._arm(max(now + LOOK_AGAIN_S, min(wake_at, self._plan_at, self._place_at, self._patrol_at)))

    def _informed(self, office: Office, now: float) -> bool:
        """Say whether a leader that came without a map knows enough to act.

        It has nothing but the store to go by. If that was restored, one look at what the copies hold must come before
        the first write: what a dead node has acknowledged alone would else be overtaken by the standby before it.
        """
        assert self._opened_at is not None, "it informs itself after opening"
        self._reader.read_geographies()
        waited = now - self._opened_at >= office.timers.silence_s
        heard = waited or office.roster.ready_to_judge(office.lost_nodes(), now)
        if heard and len(self._learnt) == len(office.topology.geographies):
            if not office.frozen:
                self._compare_copies(office, list(self._learnt))
            self._blank = self._memory.busy
        return not self._blank

    def _arrived(self) -> None:
        """Open the office when the fleet's records are there; take geographies in as they come."""
        office, reader = self._office, self._reader
        if office is None or reader.fleet is None or reader.identity is None:
            return
        if self._opened_at is None:
            self._open(office, reader.identity)
        self._take_geographies(office)

    def _open(self, office: Office, identity: StoreIdentity) -> None:
        assert self._reader.fleet is not None, "the office opens after the fleet's records are read"
        self._opened_at = self._world.clock.now()
        office.shelf.read(self._reader.fleet.docs)
        shown = self._catalog.revision.store_incarnation
        if identity.incarnation < shown:
            self._freeze(f"the store is at incarnation {identity.incarnation}, maps were published under {shown}")
        else:
            self._catalog.stamp = (identity.incarnation, self.term)
        self._catalog.expose(self._world.clock.wall_ms())
        if identity.fleet != office.topology.fleet:
            belongs = f"the store belongs to fleet {identity.fleet}, not to {office.topology.fleet}"
            self._freeze(belongs, "check its address")
        if identity.restored:
            self._freeze("the store does not hold all that it has served any more")
        self._blank = not len(self._catalog)
        for presence in office.roster.nodes.values():
            self.mover.heard(presence.node, presence.copies.values())
            self._quarantines.heard(presence.node, presence.copies.values())
        self.guard.take_over()
        term = f"controlPlanes/{office.me}"
        self._audit("leader.took_over", term, acted=True, reasons=(f"term {self.term}",))
        self._plan_at, self._patrol_at = self._opened_at, self._opened_at + PATROL_S
        self._compare_copies(office, [geography.id for geography in office.topology.geographies])
        self.again()

    def _take_geographies(self, office: Office) -> None:
        """Take records in; a control plane that knew nothing shows its map only when it is whole."""
        reader = self._reader
        if not len(self._catalog) and len(reader.geographies) < len(office.topology.geographies):
            return
        fresh = [g for g in reader.geographies if g not in self._learnt]
        if not fresh:
            return
        self._learnt.update(fresh)
        records = [record for geography in fresh for record in reader.geographies[geography]]
        for record in records:
            held = self._catalog.get(record.shard)
            if held is not None and record.fence < held.fence and not self._known_frozen(record.shard):
                self._memory.suspect(record.shard, held.fence)
        self._learn(records)
        self._compare_copies(office, fresh)
        self.again()

    def _read_on(self, now: float) -> None:
        """Read the geographies' records: all at once if nothing is known, else by and by while no shard waits.

        They are a thousand and more to carry and to compare, and who takes over after a loss has something to do first.
        """
        assert self._opened_at is not None, "reading goes on after opening"
        if not len(self._catalog):
            self._reader.read_geographies()
        elif now >= self._opened_at + READ_AFTER_S and not self.guard.rescuing(now):
            self._reader.read_next()

    def _compare_copies(self, office: Office, geographies: Sequence[GeographyId]) -> None:
        """Look for copies that stand above the records that were read: the store was restored, or they moved on."""
        for presence in office.roster.nodes.values():
            if self._catalog.geography_of(dc_of(presence.node)) not in geographies:
                continue
            for copy in presence.copies.values():
                if self._behind(copy.shard, copy.fence):
                    self._memory.suspect(copy.shard, copy.fence)

    def _known_frozen(self, shard: ShardId) -> bool:
        """Say whether the store is known to hold too little of a shard: nothing is written to that one."""
        return self._office is not None and shard in self._office.shelf.frozen_shards()

    def _fences_in(self, partition: Partition) -> Mapping[ShardId, Fence]:
        """Tabulate what the store must hold of a partition."""
        known = self._catalog.fences_in(partition)
        return {shard: fence for shard, fence in known.items() if not self._known_frozen(shard)}

    def _behind(self, shard: ShardId, fence: Fence) -> bool:
        if self._known_frozen(shard):
            return False
        record = self._catalog.get(shard)
        if record is not None:
            return fence > record.fence
        return self._catalog.knows(shard) and self._catalog.topology.geography_of_shard(shard).id in self._learnt

    def _learn(self, decided: Iterable[Assignment]) -> None:
        decided = tuple(decided)
        for record in decided:
            self._seen[record.shard] = max(record.fence, self._seen.get(record.shard, record.fence))
        changed = self._catalog.learn(decided, self._world.clock.wall_ms())
        if changed and self._opened_at is not None:
            self.mover.changed(changed, self._world.clock.now())
            self.again()

    def _forgot(self, shard: ShardId, held: Fence, stored: Fence | None) -> None:
        shown = "nothing" if stored is None else f"{stored.incarnation}.{stored.epoch}"
        self._freeze(f"the store holds {shown} of shard {shard}, {held.incarnation}.{held.epoch} is known elsewhere")

    def _freeze(self, why: str, remedy: str = RESTORED) -> None:
        office = self._office
        if office is None or office.over or office.frozen:
            return
        office.frozen = f"{why}: {remedy}"
        self.restoration.since = self._world.clock.now()
        self._audit("store.restored", "store", acted=False, reasons=(office.frozen,))

    def _adopted(self, store_incarnation: int, records: Sequence[Assignment]) -> None:
        """Go on from what took the place of a restored store's records."""
        self._catalog.stamp = (store_incarnation, self.term)
        self._learn(records)
        self.again()

    def _audit(
        self, type_: str, subject: str, *, acted: bool, reasons: Sequence[str], cause: str = "", actor: str = ""
    ) -> None:
        world = self._world
        event = AuditEvent(
            at_ms=world.clock.wall_ms(),
            type=type_,
            subject=subject,
            actor=actor or f"controlPlanes/{world.me}",
            acted=acted,
            reasons=tuple(reasons),
            cause=cause,
            term=self.term,
        )
        if self._chronicle.write(event):
            world.tell(type_, {"subject": subject, "acted": acted, "reasons": event.reasons, "cause": cause})

    def _place(self, office: Office, now: float) -> None:
        """Place the shards of geographies that have none yet."""
        self._place_at = now + PLACE_AGAIN_S
        unplaced = [g for g in office.topology.geographies if g.id in self._learnt and not self._placed(g.id)]
        if not unplaced and len(self._learnt) == len(office.topology.geographies):
            self._place_at = float("inf")
        if office.frozen:
            return
        for geography in unplaced:
            if self._all_here(office, geography.id, now) and self._fresh(office, geography.id):
                self._place_geography(office, geography.id)

    def _placed(self, geography: GeographyId) -> bool:
        home = self._catalog.topology.geography(geography)
        shards = range(home.first_shard, home.first_shard + home.shards)
        return all(self._catalog.get(ShardId(number)) is not None for number in shards)

    def _all_here(self, office: Office, geography: GeographyId, now: float) -> bool:
        """Say whether every node of a geography has said which disk it stands on, or enough time has passed."""
        assert self._opened_at is not None, "placement comes after opening"
        dcs = office.topology.dcs_in(geography)
        nodes = [node.id for dc in dcs for node in office.topology.nodes_in(dc.id)]
        named = all(office.roster.nodes[node].disk_id for node in nodes)
        return named or now - self._opened_at >= PLACE_ANYWAY_S

    def _fresh(self, office: Office, geography: GeographyId) -> bool:
        """Say whether a geography was never placed: a store without any record of it may have forgotten all."""
        home = self._catalog.topology.geography(geography)
        if any(home.holds(record.shard) for record in self._catalog.all()):
            return True
        nodes = [node.id for dc in office.topology.dcs_in(geography) for node in office.topology.nodes_in(dc.id)]
        highest, node = max((office.roster.nodes[node].highest, node) for node in nodes)
        if highest > NO_COPY:
            shown = f"{highest.incarnation}.{highest.epoch}"
            self._freeze(f"the store holds no record of {geography}, {node} holds copies up to {shown}")
        return highest == NO_COPY

    def _place_geography(self, office: Office, geography: GeographyId) -> None:
        here = {node for node, presence in office.roster.nodes.items() if presence.disk_id}
        usable = [dc for dc in office.usable() if all(node.id in here for node in office.topology.nodes_in(dc))]

        def copy_on(node: NodeId) -> Copy:
            return Copy(node, copy_id(office.roster.nodes[node].disk_id, FIRST_GENERATION))

        try:
            placed = office.placement.first(office.topology, geography, usable=usable, copy_on=copy_on)
        except RefusedBySafetyError as refusal:
            reasons = (refusal.message,)
            self._audit("placement.created", f"geographies/{geography}", acted=False, reasons=reasons)
            return
        missing = [a for a in placed if self._catalog.get(a.shard) is None and not office.barred(a.shard)]
        reasons = (f"{len(missing)} shards in {len(usable)} data centers",)
        self._audit("placement.created", f"geographies/{geography}", acted=True, reasons=reasons)
        for assignment in missing:
            row = Row(None, replace(assignment), None, LeaderProposer())
            office.writer.put(self._catalog.home(assignment.shard), row, lambda _: self.again())
