"""The witness's part that judges what the store takes in: records, evacuations, terms; and what a leader orders."""

from collections.abc import Mapping, Sequence

from chaos import pair_laws, plane_laws
from chaos.fleet_laws import Breach, FleetLaw
from chaos.marks import Mark
from chaos.plane_laws import Filed
from chaos.record_laws import reused, step_breaches
from chaos.sim.seen import Place, Seen, SeenShard
from control_plane.books import Book, Evacuation, Homecoming, OperationBook, Resume, book_of
from control_plane.driver import ControlPlaneDriver
from control_plane.ports import FLEET, Adoption, Doc, Partition, Row
from core.assignments import Add, Assignment, Cancel, Copy, Override, Promote, Swap, Switchover
from core.names import ControlPlaneId, NodeId, ShardId, dc_of
from core.orders import Order, TransferOrder

LATELY_S = 2.5
"""A promotion so long after the last message of a join, or of a snapshot, came in the middle of it: the verdict on who
sent it takes that long."""
CLOSED_WITHIN_S = 16.0
"""How long after what it names came back an evacuation may stay open: its longest wait, and a change of leader."""
BY_ORDER = ("promote", "evacuate", "override")
_BY_CHANGE: Mapping[type, Mark] = {
    Switchover: Mark.SWITCHED,
    Swap: Mark.SWAPPED,
    Cancel: Mark.CANCELLED,
    Override: Mark.OVERRIDDEN,
}


class Decisions:
    """Sees every deed of the store, and every order to a primary."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._geographies = {dc.id: dc.geography for dc in seen.topology.data_centers}
        self._complained: set[Place] = set()
        self._terms: dict[Partition, int] = {}
        self._raised: set[int] = set()
        self._books: dict[str, Book] = {}
        self._filed: dict[str, Filed] = {}
        self._first_filed: dict[str, Filed] = {}
        self._resumed_at_s = float("-inf")
        self._touched_s: dict[str, float] = {}

    def wrote(self, partition: Partition, term: int, rows: Sequence[Row], docs: Sequence[Doc]) -> None:
        """Note what the store took in."""
        highest = self._terms.get(partition, 0)
        leaders = [plane for plane, driver in self._seen.sights.planes().items() if _leads(plane, driver, term)]
        self._seen.found(plane_laws.wrote(term, highest=highest, raised=term in self._raised, leaders=leaders))
        self._terms[partition] = max(term, highest)
        for row in rows:
            self._decided(row)
        for doc in docs:
            self._file(doc)

    def raised(self, term: int) -> None:
        """Note that a term began."""
        if any(isinstance(book, Evacuation) and book.open for book in self._books.values()):
            self._seen.mark(Mark.LED_ON)
        self._raised.add(term)
        self._terms[FLEET] = max(term, self._terms.get(FLEET, 0))

    def adopted(self, term: int, adoption: Adoption) -> None:
        """Note that records were put in place of a restored store's."""
        self._raised.add(term)
        for record in adoption.assignments:
            shard = self._seen.shard(record.shard)
            shard.records.append(record)
            self._fit(shard, record.primary)
        for doc in adoption.docs:
            self._file(doc)

    def ordered(self, leader: ControlPlaneId, orders: Sequence[TransferOrder], now_ms: int) -> None:
        """Note what a leader wants of a primary, taken or not; ``now_ms`` is its wall time."""
        for order in orders:
            base = self._seen.shard(order.shard).newest
            if base is None or base.fence != order.base:
                continue
            if order.target is not None:
                self._seen.found(plane_laws.beside(base, order.target))
            if order.order is Order.SWITCHOVER and base.standby is not None and not self._by_hand(order.shard):
                dc = dc_of(base.standby.node)
                self._seen.found(plane_laws.held_down(dc, self._welcomes(leader), now_ms))

    def complained(self, node: NodeId, shard: ShardId) -> None:
        """Note that a copy reported itself."""
        self._complained.add((shard, node))

    def see_trouble(self) -> None:
        """Note who is in trouble."""
        self._touched_s.update(dict.fromkeys(self._seen.sights.troubled(), self._seen.now))

    def close(self) -> None:
        """Judge the end of the run: no evacuation is left open."""
        well = {str(node.id): self._touched_s.get(node.id, 0.0) for node in self._seen.topology.nodes}
        self._seen.found(plane_laws.left_open(self._filed.values(), well, self._seen.now, within_s=CLOSED_WITHIN_S))

    def _decided(self, row: Row) -> None:
        new, shard = row.new, self._seen.shard(row.new.shard)
        old = shard.newest
        index = shard.at(new.fence)
        self._seen.found(reused(None if index is None else shard.records[index], new))
        for breach in step_breaches(old, new, row.change, row.proposer, self._geographies.__getitem__):
            self._seen.found(breach)
        if old is not None:
            self._changed(shard, old, row)
        shard.records.append(new)

    def _changed(self, shard: SeenShard, old: Assignment, row: Row) -> None:
        number, new = old.shard, row.new
        self._reached(old, row)
        match row.change:
            case Add(joiner) | Swap(_, joiner):
                self._joins(shard, old, joiner)
            case Switchover():
                shelves = [self._seen.shelf(number, copy.node) for copy in (old.primary, new.primary)]
                if not any(self._seen.lost(number, copy) for copy in old.in_sync):
                    self._seen.found(pair_laws.switched(number, *shelves))
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
            self._seen.mark(mark)
        shelf = self._seen.shelf(old.shard, old.primary.node)
        intents = () if shelf is None or shelf.meta is None else shelf.meta.intents
        in_flight = bool(intents) and shelf is not None and shelf.meta is not None and shelf.meta.assignment == old
        if in_flight and not isinstance(row.change, Switchover) and any(i.kind == "drain" for i in intents):
            self._seen.mark(Mark.DRAIN_OVERTAKEN)
        if not isinstance(row.change, Promote):
            return
        lately = self._seen.now - LATELY_S
        if in_flight:
            self._seen.mark(Mark.PROMOTED_WITH_INTENT)
        if self._seen.welcomed_s.get(old.shard, 0.0) > lately:
            self._seen.mark(Mark.PROMOTED_IN_REJOIN)
        if self._seen.shipped_s.get(old.shard, 0.0) > lately:
            self._seen.mark(Mark.PROMOTED_IN_SNAPSHOT)
        if self._seen.grants.outstanding(old.shard, row.new.primary.node, self._seen.now) is not None:
            self._seen.mark(Mark.LEASE_WAITED_OUT)

    def _joins(self, shard: SeenShard, old: Assignment, joiner: Copy) -> None:
        primary = self._seen.shelf(old.shard, old.primary.node)
        if primary is None or primary.meta is None or self._seen.lost(old.shard, old.primary):
            return
        if primary.meta.seen[:2] == tuple(old.fence):
            acked = self._seen.acks.get((old.shard, joiner.node))
            self._seen.found(pair_laws.joined(old.shard, joiner, primary.meta.intents, acked, old.fence))
        told = len(shard.chain.hashes)
        if not self._seen.holds(old.shard, joiner, told):
            what = f"{joiner.node} joins shard {old.shard} without lsn {told}, of which clients were told"
            self._seen.found(Breach(FleetLaw.I7, what))

    def _takes_over(self, shard: SeenShard, copy: Copy) -> None:
        number, told = shard.records[-1].shard, len(shard.chain.hashes)
        if not self._seen.holds(number, copy, told):
            what = f"{copy.node} takes shard {number} over without lsn {told}, of which clients were told"
            self._seen.found(Breach(FleetLaw.I1, what))
            self._fit(shard, copy)

    def _fit(self, shard: SeenShard, copy: Copy) -> None:
        """Forget what a new primary does not have: it is lost, by the rules or with a breach told before."""
        shelf, told = self._seen.shelf(shard.records[-1].shard, copy.node), len(shard.chain.hashes)
        while told and not shard.chain.held_by(shelf, copy, told):
            told -= 1
        shard.chain.forget_after(told)
        shard.requests = {request: lsn for request, lsn in shard.requests.items() if lsn <= told}

    def _moved(self, base: Assignment) -> None:
        by_order = any(
            isinstance(book, OperationBook) and book.kind in BY_ORDER and not book.ended_ms
            for book in self._books.values()
        )
        complained = (base.shard, base.primary.node) in self._complained or self._seen.lost(base.shard, base.primary)
        filed, now = self._filed.values(), self._seen.now
        self._seen.found(plane_laws.moved(base, filed, complained=complained, ordered=by_order, now_s=now))
        if complained and not any(one.names(base.primary.node) for one in filed):
            self._seen.mark(Mark.RELIEVED)

    def _by_hand(self, shard: ShardId) -> bool:
        """Say whether a person has asked for new roles of a shard."""
        books = self._books.values()
        return any(isinstance(b, OperationBook) and b.shard == shard and not b.ended_ms for b in books)

    def _welcomes(self, leader: ControlPlaneId) -> list[Homecoming]:
        """List what came back, as far as a leader has been told that the store knows."""
        driver = self._seen.sights.planes().get(leader)
        office = None if driver is None else driver.office()
        known = [] if office is None else office.shelf.all(Homecoming)
        return [book for book in self._books.values() if isinstance(book, Homecoming) and book in known]

    def _file(self, doc: Doc) -> None:
        book = book_of(doc)
        if book is None:
            self._books.pop(doc.key, None)
            return
        before, self._books[doc.key] = self._books.get(doc.key), book
        if isinstance(book, Resume):
            self._resumed_at_s = self._seen.now
        if isinstance(book, Evacuation):
            if not isinstance(before, Evacuation) or before.state != book.state:
                self._filed[doc.key] = Filed(book, self._seen.now)
                if not book.open:
                    self._seen.mark(Mark.EVACUATION_CLOSED)
            if doc.key not in self._first_filed:
                self._first_filed[doc.key] = self._filed[doc.key]
                self._declared(book)

    def _declared(self, book: Evacuation) -> None:
        self._seen.mark(Mark.DC_EVACUATED if book.node is None else Mark.NODE_EVACUATED)
        nodes = [book.node] if book.node is not None else [n.id for n in self._seen.topology.nodes_in(book.dc)]
        self.see_trouble()
        self._seen.found(plane_laws.hasty(book, nodes, self._touched_s, self._seen.now))
        self._seen.found(plane_laws.braked(self._first_filed.values(), self._resumed_at_s))


def _leads(plane: ControlPlaneId, driver: ControlPlaneDriver, term: int) -> bool:
    view = driver.leader()
    return view.leader == plane and view.term == term
