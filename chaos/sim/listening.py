"""The witness's part that listens to what nodes say to each other, and compares it with their disks."""

from collections.abc import Callable, Mapping

from chaos import pair_laws, plane_laws
from chaos.fleet_laws import Breach, FleetLaw
from chaos.marks import Mark
from chaos.pair_laws import Said
from chaos.sim.answers import Answers
from chaos.sim.seen import Place, Seen
from core.assignments import Copy
from core.names import NodeId, ShardId
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
from nodes.memory_journal import Shelf
from nodes.ports import CopyMeta
from nodes.records import Generation

OUT_OF_DATE_S = 1.0
"""A copy that greets anew so soon after a part of a snapshot left for it meets that part, or the next, unwanted."""


class Listening:
    """Hears every frame that leaves a node."""

    def __init__(self, seen: Seen, answers: Answers) -> None:
        self._seen, self._answers = seen, answers
        self._geographies = {dc.id: dc.geography for dc in seen.topology.data_centers}
        self._metas: dict[Place, CopyMeta] = {}
        self._offered: dict[Place, tuple[int, float]] = {}
        """Of the snapshot that a copy was sent last: the greeting that it answers, and when its last part left."""
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

    def sent(self, source: NodeId, target: NodeId, frame: Frame) -> None:
        """Note a frame that leaves a node."""
        for message in frame.messages:
            say = self._says.get(type(message))
            if say is not None:
                say(source, target, message)

    def look_at(self, number: ShardId, node: NodeId) -> None:
        """Compare a copy's durable meta with the one that was seen last."""
        shelf = self._seen.shelf(number, node)
        if shelf is not None and shelf.meta is not None:
            self._meta(number, node, shelf)

    def _append(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Append)
        self._spoke(source, message.shard, "an append", message.gen)

    def _invite(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Invite)
        self._spoke(source, message.shard, "an invitation", message.gen)

    def _welcome(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Welcome)
        self._spoke(source, message.shard, "a welcome", message.gen)
        self._seen.welcomed_s[message.shard] = self._seen.now

    def _hello(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Hello)
        self._spoke(source, message.shard, "a greeting", message.seen)
        number, at_s = self._offered.get((message.shard, source), (message.number, 0.0))
        if number != message.number and self._seen.now - at_s < OUT_OF_DATE_S:
            self._seen.mark(Mark.STALE_SNAPSHOT)

    def _part(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, SnapshotPart)
        self._seen.shipped_s[message.shard] = self._seen.now
        self._offered[message.shard, target] = (message.number, self._seen.now)

    def _ack(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Ack)
        number = message.shard
        shelf = self._spoke(source, number, "an ack", message.gen)
        if shelf is None or shelf.last_lsn < message.lsn:
            what = f"{source} acknowledges lsn {message.lsn} of shard {number}, its disk does not hold it"
            self._seen.found(Breach(FleetLaw.I1, what))
            return
        gen, lsn = self._seen.acks.get((number, source), (message.gen, 0))
        if gen == message.gen:
            lsn = max(lsn, message.lsn)
        self._seen.acks[number, source] = (message.gen, lsn if gen == message.gen else message.lsn)
        self._kept(number, source, shelf)

    def _kept(self, number: ShardId, node: NodeId, shelf: Shelf) -> None:
        """See that a member of in_sync still holds what clients were told (I8)."""
        shard = self._seen.shard(number)
        record, told = shard.newest, len(shard.chain.hashes)
        if record is None or shelf.meta is None or shelf.last_lsn >= told:
            return
        me = Copy(node, shelf.meta.copy_id)
        if me in record.in_sync:
            what = f"{node}, in sync, holds lsn {shelf.last_lsn} of shard {number}, clients were told {told}"
            self._seen.found(Breach(FleetLaw.I8, what))

    def _heartbeat(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Heartbeat)
        if message.wanted is not None:
            self._seen.grants.asked(source, message.version, message.wanted)

    def _reply(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, HeartbeatReply)
        if not message.version:
            return
        for number, fence in self._seen.grants.granted(
            source, target, message.version, message.refused, self._seen.now
        ):
            shelf = self._seen.shelf(number, source)
            seen = None if shelf is None or shelf.meta is None else shelf.meta.seen
            if seen is None or seen[:2] != tuple(fence):
                what = f"{source} grants {target} shard {number} at {fence.epoch}, its disk says {seen and seen.epoch}"
                self._seen.found(Breach(FleetLaw.I6, what))

    def _forwarded(self, source: NodeId, target: NodeId, message: Message) -> None:
        assert isinstance(message, Forwarded)
        if message.error is None:
            self._seen.mark(Mark.HANDED_OVER)
            self._answers.judge(Said(message.shard, source, message.lsn, "retry" if message.replayed else "ack"))

    def _spoke(self, source: NodeId, number: ShardId, kind: str, gen: Generation) -> Shelf | None:
        shelf = self._seen.shelf(number, source)
        if shelf is None or shelf.meta is None:
            if gen != (0, 0, 0):
                self._seen.found(pair_laws.spoke(number, source, kind, gen, None))
            return shelf
        self._meta(number, source, shelf)
        if gen != shelf.meta.seen:
            self._seen.found(pair_laws.spoke(number, source, kind, gen, shelf.meta))
        return shelf

    def _meta(self, number: ShardId, node: NodeId, shelf: Shelf) -> None:
        """Compare a copy's durable meta with the one that was seen last."""
        place, new = (number, node), shelf.meta
        assert new is not None, "a copy without a meta has nothing to compare"
        old = self._metas.get(place)
        if new is old:
            return
        self._metas[place] = new
        self._seen.found(pair_laws.saved(number, node, old, new))
        copy = Copy(node, new.copy_id)
        if old is not None and old.copy_id != new.copy_id:
            self._seen.mark(Mark.NEW_COPY)
        if self._seen.copies.setdefault((number, copy), shelf) is not shelf:
            self._seen.found(
                Breach(FleetLaw.I9, f"another disk of {node} calls itself copy {new.copy_id} of shard {number}")
            )
        home = self._seen.topology.geography_of_shard(number).id
        self._seen.found(plane_laws.outside(number, home, node, self._geographies[self._seen.topology.node(node).dc]))
        restarted = old is not None and old.seen[:2] == new.seen[:2] and old.seen.boot < new.seen.boot
        if restarted and new.assignment is not None and new.assignment.primary == copy:
            self._seen.tails[place] = (new.seen, shelf.last_lsn)
