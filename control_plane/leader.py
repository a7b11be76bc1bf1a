"""One term of one leader: reads what the one before left, then judges, moves, writes and answers until deposed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from control_plane.audit import AuditEvent
from control_plane.books import Shelf
from control_plane.catalog import Catalog
from control_plane.chronicle import Chronicle
from control_plane.desk import Desk
from control_plane.guard import Guard
from control_plane.mover import Mover
from control_plane.office import Office
from control_plane.overriding import Quarantines
from control_plane.placement import Placement
from control_plane.ports import AssignmentStore, Nodes, Row
from control_plane.proposals import Done, Proposals
from control_plane.records_reader import Memory, Reader
from control_plane.roster import News, Roster
from control_plane.verdicts import Verdicts
from control_plane.views import DataCenterView, Proposal
from control_plane.writer import Writer
from core.assignments import Assignment, Copy, Fence
from core.assignments import Leader as LeaderProposer
from core.errors import RefusedBySafetyError, UnavailableError
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, ShardId, copy_id, dc_of
from core.ports import Clock, Rng, Timer
from core.timers import Timers

FIRST_GENERATION = 1
"""Of the copies that a fresh disk holds."""
PLACE_AGAIN_S = 1.0
PLACE_ANYWAY_S = 15.0
"""How long the first placement waits for all nodes of a geography to register."""
LOOK_AGAIN_S = 0.002
READ_AFTER_S = 0.3
"""How soon after taking over the geographies' records are read: a verdict, if there is one to give, comes before."""
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
        """The office, once the term is won and the fleet's records are read; None before."""
        return self._office if self._opened_at is not None else None

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
        if self.office is None:
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
        office = self.office
        if office is None or office.over:
            return
        now = self._world.clock.now()
        wake_at = self.guard.look(now)
        if now >= self._plan_at:
            self.desk.look()
            self._plan_at = self.mover.look(now)
        if now >= self._place_at:
            self._place(office, now)
        self._read_on(now)
        self._arm(max(now + LOOK_AGAIN_S, min(wake_at, self._plan_at, self._place_at)))

    def _arrived(self) -> None:
        """Open the office when the fleet's records are there; take geographies in as they come."""
        office, reader = self._office, self._reader
        if office is None or reader.fleet is None or reader.identity is None:
            return
        if self._opened_at is None:
            self._open(office, reader.identity)
        self._take_geographies(office)

    def _open(self, office: Office, identity: tuple[str, int]) -> None:
        assert self._reader.fleet is not None, "the office opens after the fleet's records are read"
        self._opened_at = self._world.clock.now()
        office.shelf.read(self._reader.fleet.docs)
        self._catalog.stamp = (identity[1], self.term)
        self._catalog.expose(self._world.clock.wall_ms())
        if identity[0] != office.topology.fleet:
            self._freeze(f"the store belongs to fleet {identity[0]}, not to {office.topology.fleet}")
        for presence in office.roster.nodes.values():
            self.mover.heard(presence.node, presence.copies.values())
        self.guard.take_over()
        term = f"controlPlanes/{office.me}"
        self._audit("leader.took_over", term, acted=True, reasons=(f"term {self.term}",))
        self._plan_at = self._opened_at
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
            if held is not None and record.fence < held.fence:
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

    def _behind(self, shard: ShardId, fence: Fence) -> bool:
        record = self._catalog.get(shard)
        if record is not None:
            return fence > record.fence
        return self._catalog.knows(shard) and self._catalog.topology.geography_of_shard(shard).id in self._learnt

    def _learn(self, decided: Iterable[Assignment]) -> None:
        changed = self._catalog.learn(decided, self._world.clock.wall_ms())
        if changed and self._opened_at is not None:
            self.mover.changed(changed, self._world.clock.now())
            self.again()

    def _forgot(self, shard: ShardId, held: Fence, stored: Fence | None) -> None:
        shown = "nothing" if stored is None else f"{stored.incarnation}.{stored.epoch}"
        self._freeze(
            f"the store holds {shown} of shard {shard}, a copy holds {held.incarnation}.{held.epoch}: "
            "it was restored from a backup; nothing is written until `twinhold store adopt` has rebuilt it"
        )

    def _freeze(self, why: str) -> None:
        office = self._office
        if office is None or office.frozen:
            return
        office.frozen = why
        self._audit("store.restored", "store", acted=False, reasons=(why,))

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
            if self._all_here(office, geography.id, now):
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
        missing = [a for a in placed if self._catalog.get(a.shard) is None]
        reasons = (f"{len(missing)} shards in {len(usable)} data centers",)
        self._audit("placement.created", f"geographies/{geography}", acted=True, reasons=reasons)
        for assignment in missing:
            row = Row(None, replace(assignment), None, LeaderProposer())
            office.writer.put(self._catalog.home(assignment.shard), row, lambda _: self.again())
