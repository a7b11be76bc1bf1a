"""Sees what happens in a simulated fleet, and holds it to the laws at once, so that the first breach is near its cause.

It is told facts only: a message leaves, an answer leaves, the store takes something in. What it compares them with it
reads off disks, as they are at that moment. It changes nothing: a run is the same with it and without.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chaos import pair_laws, plane_laws
from chaos.fleet_laws import Breach, FleetLaw
from chaos.marks import Mark
from chaos.pair_laws import Chain, Duty, Grants, Said, duty_of, lacking
from chaos.plane_laws import Filed
from chaos.record_laws import reused, step_breaches
from chaos.sim.time import World
from control_plane.books import Book, Evacuation, Homecoming, OperationBook, Resume, book_of
from control_plane.driver import ControlPlaneDriver
from control_plane.ports import FLEET, Adoption, Doc, Partition, Row
from control_plane.views import Order, TransferOrder
from core.assignments import Add, Assignment, Cancel, Copy, Evict, Fence, Override, Promote, Swap, Switchover
from core.fleet_map import FleetMap, Revision
from core.names import ControlPlaneId, GeographyId, NodeId, ShardId, dc_of
from core.timers import Timers
from core.topology import Topology
from nodes.apps.wire import entry_of
from nodes.control_port import Proposal
from nodes.desk import DISK
from nodes.frames import (
    Ack,
    Append,
    Forwarded,
    Frame,
    Heartbeat,
    HeartbeatReply,
    Hello,
    Invite,
    Message,
    SnapshotPart,
    Welcome,
)
from nodes.memory_journal import MemoryDisk, Shelf
from nodes.ports import CopyMeta
from nodes.records import Generation
from nodes.views import Answered, QueryAnswer

LOOK_S = 1.0
"""How often maps and ledgers are compared."""
TROUBLE_S = 0.1
"""How often it is noted who is in trouble."""
PER_LAW_MAX = 3
LATELY_S = 0.5
"""How long after its last message a join, or a snapshot, counts as under way."""
CLOSED_WITHIN_S = 16.0
"""How long after what it names came back an evacuation may stay open: its longest wait, and a change of leader."""
Place = tuple[ShardId, NodeId]
_BY_EVENT: Mapping[str, Mark] = {
    "clock.jumped": Mark.JUMPED,
    "verdict.withheld": Mark.VERDICT_WITHHELD,
    "failover.impossible": Mark.BLOCKED,
    "brake.halted": Mark.BRAKED,
}
_BY_CHANGE: Mapping[type, Mark] = {
    Switchover: Mark.SWITCHED,
    Swap: Mark.SWAPPED,
    Cancel: Mark.CANCELLED,
    Override: Mark.OVERRIDDEN,
}
BY_ORDER = ("promote", "evacuate", "override")


@dataclass(slots=True)
class _Shard:
    """What is known of one shard: its records, oldest first, and what clients were told."""

    records: list[Assignment] = field(default_factory=list)
    unplanned: set[Fence] = field(default_factory=set)
    """Fences that came by a promotion or an override."""
    chain: Chain = field(default_factory=Chain)
    requests: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """By (tenant, actor, request id): where it took effect."""
    served: tuple[Fence, NodeId] = (Fence(0, 0), NodeId(""))
    """The highest fence in which anybody answered, and who."""
    begun: set[Fence] = field(default_factory=set)
    """Unplanned fences in which somebody has answered."""

    @property
    def newest(self) -> Assignment | None:
        return self.records[-1] if self.records else None

    def at(self, fence: Fence) -> int | None:
        """Find a record by its fence, the newest first."""
        for index in range(len(self.records) - 1, -1, -1):
            if self.records[index].fence == fence:
                return index
        return None


@dataclass(frozen=True, slots=True)
class Sights:
    """Where the witness looks; each as it is at the moment."""

    disk_of: Callable[[NodeId], MemoryDisk]
    """Finds the disk that a node has."""
    planes: Callable[[], Mapping[ControlPlaneId, ControlPlaneDriver]]
    """Finds the control planes that live."""
    maps: Callable[[], Iterable[tuple[str, FleetMap]]]
    """Finds every map that is shown, by who shows it."""
    troubled: Callable[[], Iterable[str]]
    """Names the processes that are dead, frozen, or hindered in talking with anybody."""


class Witness:
    """One run's."""

    def __init__(self, world: World, topology: Topology, timers: Timers, sights: Sights) -> None:
        self.breaches: list[Breach] = []
        """Earliest first; a few of each law."""
        self.marks: dict[str, int] = {}
        """How often each path that matters was taken, by the mark's name."""
        self._world, self._topology, self._sights = world, topology, sights
        self._geographies = {dc.id: dc.geography for dc in topology.data_centers}
        self._shards: dict[ShardId, _Shard] = {}
        self._grants = Grants(timers.lease_s)
        self._acks: dict[Place, tuple[Generation, int]] = {}
        self._metas: dict[Place, CopyMeta] = {}
        self._copies: dict[tuple[ShardId, Copy], Shelf] = {}
        self._tails: dict[Place, tuple[Generation, int]] = {}
        """What a restarted primary must have acknowledged before it answers."""
        self._evicting: dict[Place, Fence] = {}
        self._blocked: set[ShardId] = set()
        self._welcomed_s: dict[ShardId, float] = {}
        self._shipped_s: dict[ShardId, float] = {}
        self._greeted: dict[Place, int] = {}
        """The number of a copy's last greeting."""
        self._complained: set[Place] = set()
        self._homes: dict[str, ShardId] = {}
        self._terms: dict[Partition, int] = {}
        self._raised: set[int] = set()
        self._books: dict[str, Book] = {}
        self._filed: dict[str, Filed] = {}
        self._first_filed: dict[str, Filed] = {}
        self._resumed_at_s = float("-inf")
        self._touched_s: dict[str, float] = {}
        self._shown: dict[Revision, dict[ShardId, Fence]] = {}
        self._says: Mapping[type, Callable[[NodeId, NodeId, Message], None]] = {
            Append: self._append,
            Ack: self._ack,
            Hello: self._hello,
            Invite: self._invite,
            Welcome: self._welcome,
            Heartbeat: self._heartbeat,
            HeartbeatReply: self._reply,
            Forwarded: self._forwarded,
            SnapshotPart: self._part,
        }
        world.after(LOOK_S, self._look)
        world.after(TROUBLE_S, self._see_trouble)

    # What others tell.

    def sent(self, source: NodeId, target: NodeId, frame: Frame) -> None:
        """Note a frame that leaves a node."""
        for message in frame.messages:
            say = self._says.get(type(message))
            if say is not None:
                say(source, target, message)

    def answered(self, node: NodeId, caller: str, answer: Answered | QueryAnswer) -> None:
        """Note an answer that leaves a node for a client."""
        if answer.shard in self._blocked:
            self._blocked.discard(answer.shard)
            self._mark(Mark.UNBLOCKED)
        home = self._homes.setdefault(caller, answer.shard)
        if home != answer.shard:
            self._found(Breach(FleetLaw.I12, f"{caller} was served by shard {home} and by shard {answer.shard}"))
        if isinstance(answer, QueryAnswer):
            self._judge(Said(answer.shard, node, answer.lsn, "read"))
        else:
            self._judge(Said(answer.shard, node, answer.lsn, "retry" if answer.replayed else "ack"))
            if answer.replayed:
                self._mark(Mark.RETRY_ANSWERED)

    def wrote(self, partition: Partition, term: int, rows: Sequence[Row], docs: Sequence[Doc]) -> None:
        """Note what the store took in."""
        highest = self._terms.get(partition, 0)
        leaders = [plane for plane, driver in self._sights.planes().items() if _leads(plane, driver, term)]
        self._found(plane_laws.wrote(term, highest=highest, raised=term in self._raised, leaders=leaders))
        self._terms[partition] = max(term, highest)
        for row in rows:
            self._decided(row)
        for doc in docs:
            self._file(doc)

    def refused(self, rows: Sequence[Row]) -> None:
        """Note that changes were refused: another was first."""
        if any(row.base is not None for row in rows):
            self._mark(Mark.LOST_RACE)

    def deposed(self) -> None:
        """Note that a write of an older term was refused."""
        self._mark(Mark.OLD_LEADER)

    def unknown(self, rows: Sequence[Row]) -> None:
        """Note that a leader was not told what became of its write."""
        for row in rows:
            newest = self._shard(row.new.shard).newest
            self._mark(Mark.UNKNOWN_DONE if newest == row.new else Mark.UNKNOWN_NOT_DONE)

    def told(self, event: str, facts: Mapping[str, object]) -> None:
        """Note what a process tells people."""
        mark = _BY_EVENT.get(event)
        if mark is not None:
            self._mark(mark)
        if event == "copy.rejoined":
            if facts["snapshot"]:
                self._mark(Mark.SNAPSHOT_TAKEN)
            if facts["orphaned"]:
                self._mark(Mark.ORPHANED)
        if event == "failover.impossible":
            self._blocked.add(ShardId(int(str(facts["subject"]).rpartition("/")[2])))

    def raised(self, term: int) -> None:
        """Note that a term began."""
        if any(isinstance(book, Evacuation) and book.open for book in self._books.values()):
            self._mark(Mark.LED_ON)
        self._raised.add(term)
        self._terms[FLEET] = max(term, self._terms.get(FLEET, 0))

    def adopted(self, term: int, adoption: Adoption) -> None:
        """Note that records were put in place of a restored store's."""
        self._raised.add(term)
        for record in adoption.assignments:
            shard = self._shard(record.shard)
            shard.records.append(record)
            self._fit(shard, record.primary)
        for doc in adoption.docs:
            self._file(doc)

    def proposed(self, node: NodeId, proposals: Sequence[Proposal]) -> None:
        """Note that a primary asks for changes."""
        for proposal in proposals:
            if isinstance(proposal.change, Evict):
                self._evicting[proposal.shard, node] = proposal.base

    def proposal_unknown(self) -> None:
        """Note that a primary was not told what became of its proposal."""
        self._mark(Mark.PROPOSAL_UNKNOWN)

    def ordered(self, leader: ControlPlaneId, orders: Sequence[TransferOrder], now_ms: int) -> None:
        """Note what a leader wants of a primary, taken or not; ``now_ms`` is its wall time."""
        for order in orders:
            base = self._shard(order.shard).newest
            if base is None or base.fence != order.base:
                continue
            if order.target is not None:
                self._found(plane_laws.beside(base, order.target))
            if order.order is Order.SWITCHOVER and base.standby is not None and not self._by_hand(order.shard):
                dc = dc_of(base.standby.node)
                self._found(plane_laws.held_down(dc, self._welcomes(leader), now_ms))

    def complained(self, node: NodeId, shard: ShardId, complaint: str) -> None:
        """Note that a copy reported itself."""
        self._complained.add((shard, node))
        self._mark(Mark.DISK_REFUSED if complaint.startswith(DISK) else Mark.DAMAGE_REPORTED)

    def close(self) -> None:
        """Judge the end of the run: what was told to clients lies on every disk in sync, nothing is left open."""
        self._compare()
        for number, shard in self._shards.items():
            record, lsn = shard.newest, len(shard.chain.hashes)
            for copy in () if record is None else record.in_sync:
                if not self._holds(number, shard, copy, lsn):
                    what = f"at the end {copy.node}, in sync, does not hold lsn {lsn} of shard {number}"
                    self._found(Breach(FleetLaw.I1, what))
        well = {str(node.id): self._touched_s.get(node.id, 0.0) for node in self._topology.nodes}
        self._found(plane_laws.left_open(self._filed.values(), well, self._world.now, within_s=CLOSED_WITHIN_S))

    # Answers.

    def _judge(self, said: Said) -> None:
        """Judge an answer by the disks as they are now."""
        shard, shelf = self._shard(said.shard), self._shelf(said.shard, said.node)
        meta = None if shelf is None else shelf.meta
        record = None if meta is None else meta.assignment
        if shelf is None or meta is None or record is None or record.primary != Copy(said.node, meta.copy_id):
            if said.what == "read" or said.lsn > len(shard.chain.hashes):
                self._found(Breach(FleetLaw.I5, f"{said}: it is not the primary of the record on its disk"))
            return
        self._meta(said.shard, said.node, shelf)
        me, index = record.primary, shard.at(record.fence)
        if index is None or shard.records[index] != record:
            self._found(Breach(FleetLaw.I6, f"{said}: its record was never decided"))
            return
        for position in shard.chain.grow(shelf, said.lsn):
            self._took_effect(said, shard, shelf, position)
        duty = duty_of(meta, record)
        self._backed(said, shard, me, duty, meta)
        if said.what == "read":
            self._leased(said, shard, duty, index)
        self._in_time(said, shard, index)

    def _backed(self, said: Said, shard: _Shard, me: Copy, duty: Duty, meta: CopyMeta) -> None:
        """See that everybody who must hold what was said does, and has said so in the present generation."""
        evicting = self._evicting.get((said.shard, said.node)) == Fence(*meta.seen[:2])
        tail = self._tails.pop((said.shard, said.node), None)
        needed = said.lsn if said.what == "ack" else 0
        if tail is not None and tail[0] == meta.seen:
            needed = max(needed, tail[1])
            self._mark(Mark.RESTARTED)
        if duty.learners and said.what == "ack":
            self._mark(Mark.JOINT_ACK)
        for copy in duty.owed(said.lsn):
            held = self._holds(said.shard, shard, copy, said.lsn)
            gen, lsn = self._acks.get((said.shard, copy.node), (None, 0))
            if not held or (copy != me and needed and (gen != meta.seen or lsn < needed)):
                self._found(lacking(said, copy, duty, evicting=evicting))
                return

    def _leased(self, said: Said, shard: _Shard, duty: Duty, index: int) -> None:
        records = shard.records[index::-1]
        learners = [learner for learner, _ in duty.learners]
        if learners:
            self._mark(Mark.JOINT_READ)
        for copy in (*learners, *duty.members[1:]):
            if not self._grants.covers(said.shard, copy, said.node, records, self._world.now):
                law = FleetLaw.I4 if learners else FleetLaw.I6
                self._found(Breach(law, f"{said}: {copy.node} granted it no lease that still holds"))
                return
            if self._grants.of(said.shard, copy.node, said.node) != records[0].fence:
                self._mark(Mark.LEASE_CARRIED)

    def _in_time(self, said: Said, shard: _Shard, index: int) -> None:
        """See that no newer primary has answered, and that whoever was promoted let its own grants run out (I6)."""
        fence = shard.records[index].fence
        if said.what == "read" and fence < shard.served[0] and said.node != shard.served[1]:
            newer = f"{shard.served[1]} has served at {shard.served[0].epoch}"
            self._found(Breach(FleetLaw.I6, f"{said} at {fence.epoch}: {newer}"))
        shard.served = max(shard.served, (fence, said.node))
        began = _tenure(shard, index)
        if began in shard.unplanned and began not in shard.begun:
            shard.begun.add(began)
            holder = self._grants.outstanding(said.shard, said.node, self._world.now)
            if holder is not None:
                self._found(Breach(FleetLaw.I6, f"{said}: {holder} still holds a lease that it granted"))

    def _took_effect(self, said: Said, shard: _Shard, shelf: Shelf, position: int) -> None:
        record = shelf.records[position]
        entry = entry_of(record.body)
        first = shard.requests.setdefault((entry.tenant, entry.actor, entry.request_id), record.lsn)
        if first != record.lsn:
            what = f"request {entry.request_id} of {entry.tenant} took effect at lsn {first} and at {record.lsn}"
            self._found(Breach(FleetLaw.I10, what))

    # What nodes say to each other.

    def _append(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Append)
        self._spoke(source, message.shard, "an append", message.gen)

    def _invite(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Invite)
        self._spoke(source, message.shard, "an invitation", message.gen)

    def _welcome(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Welcome)
        self._spoke(source, message.shard, "a welcome", message.gen)
        self._welcomed_s[message.shard] = self._world.now

    def _hello(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Hello)
        self._spoke(source, message.shard, "a greeting", message.seen)
        self._greeted[message.shard, source] = message.number

    def _part(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, SnapshotPart)
        self._shipped_s[message.shard] = self._world.now
        if self._greeted.get((message.shard, target)) != message.number:
            self._mark(Mark.STALE_SNAPSHOT)

    def _ack(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Ack)
        number = message.shard
        shelf = self._spoke(source, number, "an ack", message.gen)
        if shelf is None or shelf.tip.lsn < message.lsn:
            what = f"{source} acknowledges lsn {message.lsn} of shard {number}, its disk does not hold it"
            self._found(Breach(FleetLaw.I1, what))
            return
        gen, lsn = self._acks.get((number, source), (message.gen, 0))
        if gen == message.gen:
            lsn = max(lsn, message.lsn)
        self._acks[number, source] = (message.gen, lsn if gen == message.gen else message.lsn)
        self._kept(number, source, shelf)

    def _kept(self, number: ShardId, node: NodeId, shelf: Shelf) -> None:
        """See that a member of in_sync still holds what clients were told (I8)."""
        shard = self._shard(number)
        record, told = shard.newest, len(shard.chain.hashes)
        if record is None or shelf.meta is None or shelf.tip.lsn >= told:
            return
        me = Copy(node, shelf.meta.copy_id)
        if me in record.in_sync:
            what = f"{node}, in sync, holds lsn {shelf.tip.lsn} of shard {number}, clients were told {told}"
            self._found(Breach(FleetLaw.I8, what))

    def _heartbeat(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Heartbeat)
        if message.wanted is not None:
            self._grants.asked(source, message.version, message.wanted)

    def _reply(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, HeartbeatReply)
        if not message.version:
            return
        for number, fence in self._grants.granted(source, target, message.version, message.refused, self._world.now):
            shelf = self._shelf(number, source)
            seen = None if shelf is None or shelf.meta is None else shelf.meta.seen
            if seen is None or seen[:2] != tuple(fence):
                what = f"{source} grants {target} shard {number} at {fence.epoch}, its disk says {seen and seen.epoch}"
                self._found(Breach(FleetLaw.I6, what))

    def _forwarded(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Forwarded)
        if message.error is None:
            self._mark(Mark.HANDED_OVER)
            self._judge(Said(message.shard, source, message.lsn, "retry" if message.replayed else "ack"))

    def _spoke(self, source: NodeId, number: ShardId, kind: str, gen: Generation) -> Shelf | None:
        shelf = self._shelf(number, source)
        if shelf is None or shelf.meta is None:
            if gen != (0, 0, 0):
                self._found(pair_laws.spoke(number, source, kind, gen, None))
            return shelf
        self._meta(number, source, shelf)
        if gen != shelf.meta.seen:
            self._found(pair_laws.spoke(number, source, kind, gen, shelf.meta))
        return shelf

    def _meta(self, number: ShardId, node: NodeId, shelf: Shelf) -> None:
        """Compare a copy's durable meta with the one that was seen last."""
        place, new = (number, node), shelf.meta
        assert new is not None, "a copy without a meta has nothing to compare"
        old = self._metas.get(place)
        if new is old:
            return
        self._metas[place] = new
        self._found(pair_laws.saved(number, node, old, new))
        copy = Copy(node, new.copy_id)
        if old is not None and old.copy_id != new.copy_id:
            self._mark(Mark.NEW_COPY)
        if self._copies.setdefault((number, copy), shelf) is not shelf:
            self._found(
                Breach(FleetLaw.I9, f"another disk of {node} calls itself copy {new.copy_id} of shard {number}")
            )
        home = self._topology.geography_of_shard(number).id
        self._found(plane_laws.outside(number, home, node, self._geography(node)))
        restarted = old is not None and old.seen[:2] == new.seen[:2] and old.seen.boot < new.seen.boot
        if restarted and new.assignment is not None and new.assignment.primary == copy:
            self._tails[place] = (new.seen, shelf.tip.lsn)

    # What the store takes in.

    def _decided(self, row: Row) -> None:
        new, shard = row.new, self._shard(row.new.shard)
        old = shard.newest
        index = shard.at(new.fence)
        self._found(reused(None if index is None else shard.records[index], new))
        for breach in step_breaches(old, new, row.change, row.proposer, self._geographies.__getitem__):
            self._found(breach)
        if old is not None:
            self._changed(shard, old, row)
        shard.records.append(new)

    def _changed(self, shard: _Shard, old: Assignment, row: Row) -> None:
        number, new = old.shard, row.new
        self._reached(old, row)
        match row.change:
            case Add(joiner) | Swap(_, joiner):
                self._joins(shard, old, joiner)
            case Switchover():
                shelves = [self._shelf(number, copy.node) for copy in (old.primary, new.primary)]
                if not any(self._lost(number, copy) for copy in old.in_sync):
                    self._found(pair_laws.switched(number, *shelves))
            case Promote():
                shard.unplanned.add(new.fence)
                self._takes_over(shard, new.primary)
                self._moved(old)
            case Override():
                shard.unplanned.add(new.fence)
                self._fit(shard, new.primary)
            case _:
                pass

    def _reached(self, old: Assignment, row: Row) -> None:
        """Note the path that a change took."""
        mark = _BY_CHANGE.get(type(row.change))
        if mark is not None:
            self._mark(mark)
        shelf = self._shelf(old.shard, old.primary.node)
        intents = () if shelf is None or shelf.meta is None else shelf.meta.intents
        in_flight = bool(intents) and shelf is not None and shelf.meta is not None and shelf.meta.assignment == old
        if in_flight and not isinstance(row.change, Switchover) and any(i.kind == "drain" for i in intents):
            self._mark(Mark.DRAIN_OVERTAKEN)
        if not isinstance(row.change, Promote):
            return
        lately = self._world.now - LATELY_S
        if in_flight:
            self._mark(Mark.PROMOTED_WITH_INTENT)
        if self._welcomed_s.get(old.shard, 0.0) > lately:
            self._mark(Mark.PROMOTED_IN_REJOIN)
        if self._shipped_s.get(old.shard, 0.0) > lately:
            self._mark(Mark.PROMOTED_IN_SNAPSHOT)
        if self._grants.outstanding(old.shard, row.new.primary.node, self._world.now) is not None:
            self._mark(Mark.LEASE_WAITED_OUT)

    def _joins(self, shard: _Shard, old: Assignment, joiner: Copy) -> None:
        primary = self._shelf(old.shard, old.primary.node)
        if primary is None or primary.meta is None or self._lost(old.shard, old.primary):
            return
        if primary.meta.seen[:2] == tuple(old.fence):
            acked = self._acks.get((old.shard, joiner.node))
            self._found(pair_laws.joined(old.shard, joiner, primary.meta.intents, acked, old.fence))
        told = len(shard.chain.hashes)
        if not self._holds(old.shard, shard, joiner, told):
            what = f"{joiner.node} joins shard {old.shard} without lsn {told}, of which clients were told"
            self._found(Breach(FleetLaw.I7, what))

    def _takes_over(self, shard: _Shard, copy: Copy) -> None:
        number, told = shard.records[-1].shard, len(shard.chain.hashes)
        if not self._holds(number, shard, copy, told):
            what = f"{copy.node} takes shard {number} over without lsn {told}, of which clients were told"
            self._found(Breach(FleetLaw.I1, what))
            self._fit(shard, copy)

    def _fit(self, shard: _Shard, copy: Copy) -> None:
        """Forget what a new primary does not have: it is lost, by the rules or with a breach told before."""
        shelf, told = self._shelf(shard.records[-1].shard, copy.node), len(shard.chain.hashes)
        while told and not shard.chain.held_by(shelf, copy, told):
            told -= 1
        shard.chain.forget_after(told)
        shard.requests = {request: lsn for request, lsn in shard.requests.items() if lsn <= told}

    def _moved(self, base: Assignment) -> None:
        by_order = any(
            isinstance(book, OperationBook) and book.kind in BY_ORDER and not book.ended_ms
            for book in self._books.values()
        )
        complained = (base.shard, base.primary.node) in self._complained or self._lost(base.shard, base.primary)
        filed, now = self._filed.values(), self._world.now
        self._found(plane_laws.moved(base, filed, complained=complained, ordered=by_order, now_s=now))
        if complained and not any(one.names(base.primary.node) for one in filed):
            self._mark(Mark.RELIEVED)

    def _by_hand(self, shard: ShardId) -> bool:
        """Say whether a person has asked for new roles of a shard."""
        books = self._books.values()
        return any(isinstance(b, OperationBook) and b.shard == shard and not b.ended_ms for b in books)

    def _welcomes(self, leader: ControlPlaneId) -> list[Homecoming]:
        """List what came back, as far as a leader has been told that the store knows."""
        driver = self._sights.planes().get(leader)
        office = None if driver is None else driver.office()
        known = [] if office is None else office.shelf.all(Homecoming)
        return [book for book in self.homecomings if book in known]

    def _file(self, doc: Doc) -> None:
        book = book_of(doc)
        if book is None:
            self._books.pop(doc.key, None)
            return
        before, self._books[doc.key] = self._books.get(doc.key), book
        if isinstance(book, Resume):
            self._resumed_at_s = self._world.now
        if isinstance(book, Evacuation):
            if not isinstance(before, Evacuation) or before.state != book.state:
                self._filed[doc.key] = Filed(book, self._world.now)
                if not book.open:
                    self._mark(Mark.EVACUATION_CLOSED)
            if doc.key not in self._first_filed:
                self._first_filed[doc.key] = self._filed[doc.key]
                self._declared(book)

    def _declared(self, book: Evacuation) -> None:
        self._mark(Mark.DC_EVACUATED if book.node is None else Mark.NODE_EVACUATED)
        nodes = [book.node] if book.node is not None else [n.id for n in self._topology.nodes_in(book.dc)]
        self._touched_s.update(dict.fromkeys(self._sights.troubled(), self._world.now))
        self._found(plane_laws.hasty(book, nodes, self._touched_s, self._world.now))
        self._found(plane_laws.braked(self._first_filed.values(), self._resumed_at_s))

    # A look now and then.

    def _look(self) -> None:
        self._world.after(LOOK_S, self._look)
        self._compare()

    def _see_trouble(self) -> None:
        self._world.after(TROUBLE_S, self._see_trouble)
        self._touched_s.update(dict.fromkeys(self._sights.troubled(), self._world.now))

    def _compare(self) -> None:
        """Compare maps with each other and with the store, and ledgers with maps (C8)."""
        newest = {number: shard.records[-1].fence for number, shard in self._shards.items() if shard.records}
        for who, shown in self._sights.maps():
            held = {number: record.fence for number, record in shown.shards.items()}
            self._found(plane_laws.undecided(who, held, newest))
            first = self._shown.setdefault(shown.revision, held)
            self._found(plane_laws.shows(who, shown.revision, held, first))
        for plane, driver in self._sights.planes().items():
            office = driver.office()
            if office is not None and not office.over:
                records = office.catalog.all()
                for breach in plane_laws.exposed(plane, office.catalog.solo_since_ms, records, office.clock.wall_ms()):
                    self._found(breach)

    # Small things.

    def _found(self, breach: Breach | None) -> None:
        if breach is not None and sum(breach.law is known.law for known in self.breaches) < PER_LAW_MAX:
            self.breaches.append(replace(breach, at_s=self._world.now))
            self._world.note(f"broken {breach}")

    def _mark(self, mark: Mark) -> None:
        self.marks[mark.name] = self.marks.get(mark.name, 0) + 1

    def _shard(self, number: ShardId) -> _Shard:
        found = self._shards.get(number)
        if found is None:
            found = self._shards[number] = _Shard()
        return found

    def _shelf(self, number: ShardId, node: NodeId) -> Shelf | None:
        return self._sights.disk_of(node).shelves.get(number)

    def _holds(self, number: ShardId, shard: _Shard, copy: Copy, lsn: int) -> bool:
        """Say whether a copy holds what clients were told up to ``lsn``; of a lost disk nothing is asked."""
        return shard.chain.held_by(self._shelf(number, copy.node), copy, lsn) or self._lost(number, copy)

    def _lost(self, number: ShardId, copy: Copy) -> bool:
        """Say whether the disk of a copy was lost: its journal is neither in its place nor set aside."""
        known, disk = self._copies.get((number, copy)), self._sights.disk_of(copy.node)
        return known is not None and all(
            known is not shelf for shelf in (disk.shelves.get(number), *disk.asides.get(number, ()))
        )

    def _geography(self, node: NodeId) -> GeographyId:
        return self._geographies[self._topology.node(node).dc]

    @property
    def homecomings(self) -> list[Homecoming]:
        """List what the store holds of data centers that came back."""
        return [book for book in self._books.values() if isinstance(book, Homecoming)]


def _leads(plane: ControlPlaneId, driver: ControlPlaneDriver, term: int) -> bool:
    view = driver.leader()
    return view.leader == plane and view.term == term


def _tenure(shard: _Shard, index: int) -> Fence:
    """Say since which fence the primary of a record has been primary without interruption."""
    primary = shard.records[index].primary
    while index and shard.records[index - 1].primary == primary:
        index -= 1
    return shard.records[index].fence
