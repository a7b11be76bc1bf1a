"""The witness's part that judges what clients are told: on which disks it rests, and on whose leases."""

from chaos.fleet_laws import Breach, FleetLaw
from chaos.marks import Mark
from chaos.pair_laws import Duty, Said, duty_of, lacking
from chaos.sim.seen import Seen, SeenShard
from core.assignments import Copy, Fence
from core.names import NodeId, ShardId
from nodes.apps.wire import entry_of
from nodes.memory_journal import Shelf
from nodes.ports import CopyMeta
from nodes.records import following, tip_of
from nodes.views import Answered, QueryAnswer


class Answers:
    """Sees every answer that leaves a node."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._blocked: set[ShardId] = set()
        self._homes: dict[str, ShardId] = {}

    def answered(self, node: NodeId, caller: str, answer: Answered | QueryAnswer) -> None:
        """Note an answer that leaves a node for a client."""
        if answer.shard in self._blocked:
            self._blocked.discard(answer.shard)
            self._seen.mark(Mark.UNBLOCKED)
        home = self._homes.setdefault(caller, answer.shard)
        if home != answer.shard:
            self._seen.found(Breach(FleetLaw.I12, f"{caller} was served by shard {home} and by shard {answer.shard}"))
        if isinstance(answer, QueryAnswer):
            self.judge(Said(answer.shard, node, answer.lsn, "read"))
        else:
            self.judge(Said(answer.shard, node, answer.lsn, "retry" if answer.replayed else "ack"))
            if answer.replayed:
                self._seen.mark(Mark.RETRY_ANSWERED)

    def blocked(self, number: ShardId) -> None:
        """Note that a shard waits for a copy to return."""
        self._blocked.add(number)

    def judge(self, said: Said) -> None:
        """Judge an answer by the disks as they are now."""
        shard, shelf = self._seen.shard(said.shard), self._seen.shelf(said.shard, said.node)
        meta = None if shelf is None else shelf.meta
        record = None if meta is None else meta.assignment
        if shelf is None or meta is None or record is None or record.primary != Copy(said.node, meta.copy_id):
            if said.what == "read" or said.lsn > len(shard.chain.hashes):
                self._seen.found(Breach(FleetLaw.I5, f"{said}: it is not the primary of the record on its disk"))
            return
        me, index = record.primary, shard.at(record.fence)
        if index is None or shard.records[index] != record:
            self._seen.found(Breach(FleetLaw.I6, f"{said}: its record was never decided"))
            return
        for position in shard.chain.grow(shelf, said.lsn):
            self._took_effect(said, shard, shelf, position)
        duty = duty_of(meta, record)
        self._backed(said, shard, me, duty, meta)
        if said.what == "read":
            self._leased(said, shard, duty, index)
        self._in_time(said, shard, index)

    def _backed(self, said: Said, shard: SeenShard, me: Copy, duty: Duty, meta: CopyMeta) -> None:
        """See that everybody who must hold what was said does, and has said so in the present generation."""
        evicting = self._seen.evicting.get((said.shard, said.node)) == Fence(*meta.seen[:2])
        tail = self._seen.tails.pop((said.shard, said.node), None)
        needed = said.lsn if said.what == "ack" else 0
        if tail is not None and tail[0] == meta.seen:
            needed = max(needed, tail[1])
            self._seen.mark(Mark.RESTARTED)
        if duty.learners and said.what == "ack":
            self._seen.mark(Mark.JOINT_ACK)
        for copy in duty.owed(said.lsn):
            held = self._seen.holds(said.shard, copy, said.lsn)
            gen, lsn = self._seen.acks.get((said.shard, copy.node), (None, 0))
            if not held or (copy != me and needed and (gen != meta.seen or lsn < needed)):
                self._seen.found(lacking(said, copy, duty, evicting=evicting))
                return

    def _leased(self, said: Said, shard: SeenShard, duty: Duty, index: int) -> None:
        fence = shard.records[index].fence
        learners = [learner for learner, _ in duty.learners]
        if learners:
            self._seen.mark(Mark.JOINT_READ)
        for copy in (*learners, *duty.members[1:]):
            if not self._seen.grants.covers(said.shard, copy, said.node, shard.records[index::-1], self._seen.now):
                law = FleetLaw.I4 if learners else FleetLaw.I6
                self._seen.found(Breach(law, f"{said}: {copy.node} granted it no lease that still holds"))
                return
            if self._seen.grants.of(said.shard, copy.node, said.node) != fence:
                self._seen.mark(Mark.LEASE_CARRIED)

    def _in_time(self, said: Said, shard: SeenShard, index: int) -> None:
        """See that no newer primary has answered, and that whoever was promoted let its own grants run out (I6)."""
        fence = shard.records[index].fence
        if said.what == "read" and fence < shard.served[0] and said.node != shard.served[1]:
            newer = f"{shard.served[1]} has served at {shard.served[0].epoch}"
            self._seen.found(Breach(FleetLaw.I6, f"{said} at {fence.epoch}: {newer}"))
        shard.served = max(shard.served, (fence, said.node))
        began = _tenure(shard, index)
        if began in shard.unplanned and began not in shard.begun:
            shard.begun.add(began)
            holder = self._seen.grants.outstanding(said.shard, said.node, self._seen.now)
            if holder is not None:
                self._seen.found(Breach(FleetLaw.I6, f"{said}: {holder} still holds a lease that it granted"))

    def _took_effect(self, said: Said, shard: SeenShard, shelf: Shelf, position: int) -> None:
        record = shelf.records[position]
        before = tip_of(shelf.records[position - 1]) if position else shelf.floor
        if record != following(before, record.generation, record.body):
            return  # A bit of it reads wrong: what it says is not what was written.
        entry = entry_of(record.body)
        first = shard.requests.setdefault((entry.tenant, entry.actor, entry.request_id), record.lsn)
        if first != record.lsn:
            what = f"request {entry.request_id} of {entry.tenant} took effect at lsn {first} and at {record.lsn}"
            self._seen.found(Breach(FleetLaw.I10, what))


def _tenure(shard: SeenShard, index: int) -> Fence:
    """Say since which fence the primary of a record has been primary without interruption."""
    primary = shard.records[index].primary
    while index and shard.records[index - 1].primary == primary:
        index -= 1
    return shard.records[index].fence
