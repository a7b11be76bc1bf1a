"""The laws of a pair, over facts: what lies on which disk when an answer leaves, and who promised what (PROTOCOL.md).

A fact is what somebody outside can see: a disk's durable content, a message that left, an answer that a client got.
Nothing here asks the machines what they believe.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from chaos.fleet_laws import Breach, FleetLaw
from core.assignments import Assignment, Copy, Fence
from core.names import NodeId, ShardId
from nodes.memory_journal import Shelf
from nodes.ports import CopyMeta, Intent
from nodes.records import Generation

JOINING = frozenset({"add", "swap"})


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that left a node: a fresh acknowledgement, a retry's, or a read."""

    shard: ShardId
    node: NodeId
    lsn: int
    """Everything up to here is claimed to be committed."""
    what: str
    """``ack``, ``retry`` or ``read``."""

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.what} of lsn {self.lsn} of shard {self.shard} by {self.node}"


@dataclass(slots=True)
class Chain:
    """What clients were told of one shard: the hash at every lsn that was acknowledged or shown, from 1.

    An entry's hash covers everything before it, so one comparison at the end compares the whole.
    """

    hashes: list[bytes] = field(default_factory=list)

    def grow(self, shelf: Shelf, lsn: int) -> Sequence[int]:
        """Take over what the answering copy holds up to ``lsn``; returns the indexes of its records that are new.

        What lies below its floor is in its snapshot: known by no hash, and left empty.
        """
        first = max(len(self.hashes), shelf.floor.lsn)
        while len(self.hashes) < min(shelf.floor.lsn, lsn):
            self.hashes.append(shelf.floor.hash if len(self.hashes) + 1 == shelf.floor.lsn else b"")
        fresh = range(first - shelf.floor.lsn, min(lsn, shelf.last_lsn) - shelf.floor.lsn)
        self.hashes.extend(shelf.records[index].hash for index in fresh)
        return fresh

    def held_by(self, shelf: Shelf | None, copy: Copy, lsn: int) -> bool:
        """Say whether a copy's disk holds everything up to ``lsn``, as it was told to clients."""
        if not lsn:
            return True
        if shelf is None or shelf.meta is None or shelf.meta.copy_id != copy.copy_id or shelf.last_lsn < lsn:
            return False
        if lsn < shelf.floor.lsn or lsn > len(self.hashes) or not self.hashes[lsn - 1]:
            return True
        held = shelf.floor.hash if lsn == shelf.floor.lsn else shelf.records[shelf.index(lsn) - 1].hash
        return held == self.hashes[lsn - 1]

    def forget_after(self, lsn: int) -> None:
        """Give up what a lossy override, or a disk that lied, has lost."""
        del self.hashes[lsn:]


@dataclass(frozen=True, slots=True)
class Duty:
    """Whose disks an answer rests on: members of the record, and learners for what came after their intent (I4)."""

    members: tuple[Copy, ...]
    learners: tuple[tuple[Copy, int], ...]
    """With the last lsn that their joining answers for by itself (I7)."""
    swapping: bool

    def owed(self, lsn: int) -> Iterator[Copy]:
        """Name the copies that must hold ``lsn``, learners first: theirs is the rule that is forgotten first."""
        yield from (learner for learner, n in self.learners if lsn > n)
        yield from self.members


def duty_of(meta: CopyMeta, record: Assignment) -> Duty:
    """Read off a primary's durable meta whose word it needs."""
    learners = tuple((i.learner, i.lsn) for i in meta.intents if i.kind in JOINING and i.learner is not None)
    return Duty(record.in_sync, learners, any(i.kind == "swap" for i in meta.intents))


def lacking(said: Said, copy: Copy, duty: Duty, *, evicting: bool) -> Breach:
    """Say which law is broken when ``copy`` lacks what was said.

    Args:
        said: the answer.
        copy: whose disk does not hold it, or who has not acknowledged it in the present generation.
        duty: whose word it needed.
        evicting: the answering primary has asked for the eviction of its standby, and has no answer yet.
    """
    what = f"{said}: {copy.node} does not hold it"
    if any(copy == learner for learner, _ in duty.learners) or (duty.swapping and copy.node != said.node):
        return Breach(FleetLaw.I4, what)
    if said.what != "ack":
        return Breach(FleetLaw.I11, what)
    return Breach(FleetLaw.I3 if evicting and copy.node != said.node else FleetLaw.I1, what)


def saved(shard: ShardId, node: NodeId, old: CopyMeta | None, new: CopyMeta) -> Breach | None:
    """Judge a copy's new meta: the fence never falls (I5), an intent goes with its epoch only (I4)."""
    if old is None or old.copy_id != new.copy_id:
        return None
    if new.seen < old.seen:
        return Breach(FleetLaw.I5, f"shard {shard} on {node} goes back from {_gen(old.seen)} to {_gen(new.seen)}")
    same_epoch = old.seen[:2] == new.seen[:2]
    dropped = [intent for intent in old.intents if intent not in new.intents] if same_epoch else []
    if dropped:
        return Breach(FleetLaw.I4, f"shard {shard} on {node} drops {_intent(dropped[0])} within its epoch")
    return None


def spoke(shard: ShardId, node: NodeId, kind: str, gen: Generation, disk: CopyMeta | None) -> Breach | None:
    """Judge a message that left: it speaks in the generation that is on its sender's disk, no older, no newer (I5)."""
    seen = Generation(0, 0, 0) if disk is None else disk.seen
    if gen == seen:
        return None
    return Breach(FleetLaw.I5, f"{kind} of shard {shard} left {node} in {_gen(gen)}, its disk says {_gen(seen)}")


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease that was granted, and when the reply left, in true time."""

    at_s: float
    fence: Fence


class Grants:
    """Every lease that any node granted any other, last ones only; and the judgement of whoever rests on them."""

    def __init__(self, lease_s: float) -> None:
        """Args: ``lease_s``: L. A holder counts less, a grantor more, so in true time L parts them exactly."""
        self._lease_s = lease_s
        self._lists: dict[tuple[NodeId, int], tuple[tuple[ShardId, Fence], ...]] = {}
        self._last: dict[tuple[ShardId, NodeId, NodeId], Grant] = {}

    def asked(self, asker: NodeId, version: int, wanted: tuple[tuple[ShardId, Fence], ...]) -> None:
        """Note a list of shards that a node asks leases for."""
        self._lists[asker, version] = wanted

    def granted(
        self, grantor: NodeId, asker: NodeId, version: int, refused: Sequence[ShardId], at_s: float
    ) -> Iterator[tuple[ShardId, Fence]]:
        """Note a reply that left; returns what it grants."""
        for shard, fence in self._lists.get((asker, version), ()):
            if shard not in refused:
                self._last[shard, grantor, asker] = Grant(at_s, fence)
                yield shard, fence

    def covers(self, shard: ShardId, grantor: Copy, holder: NodeId, records: Iterable[Assignment], at_s: float) -> bool:
        """Say whether a grantor's lease holds: granted less than L ago, in this epoch or in one since which it was in.

        A learner grants in the epoch before the one that names it, so that only the epochs after the grant are asked.

        Args:
            shard: of which the lease is.
            grantor: who must have granted it.
            holder: the primary that reads.
            records: the shard's records from the newest back, the present one of the holder first.
            at_s: true time.
        """
        grant = self._last.get((shard, grantor.node, holder))
        if grant is None or at_s - grant.at_s > self._lease_s:
            return False
        for record in records:
            if record.fence == grant.fence:
                return True
            if grantor not in record.in_sync:
                return False
        return False

    def of(self, shard: ShardId, grantor: NodeId, holder: NodeId) -> Fence | None:
        """Name the epoch of the last lease that a node granted another; None: there was none."""
        grant = self._last.get((shard, grantor, holder))
        return None if grant is None else grant.fence

    def outstanding(self, shard: ShardId, grantor: NodeId, at_s: float) -> NodeId | None:
        """Name somebody who may still rest on a grant of this node; None: every one has run out (I6)."""
        for (granted, by, holder), grant in self._last.items():
            if granted == shard and by == grantor and holder != grantor and at_s - grant.at_s < self._lease_s:
                return holder
        return None


def joined(
    shard: ShardId, joiner: Copy, intents: Sequence[Intent], acked: tuple[Generation, int] | None, base: Fence
) -> Breach | None:
    """Judge a join that was decided: the learner had acknowledged, in the base's epoch, all that its intent names (I7).

    Args:
        shard: which.
        joiner: who is in sync now.
        intents: on the disk of the primary that asked.
        acked: the joiner's last acknowledgement: its generation and lsn; None: it gave none.
        base: the record's fence before.
    """
    intent = next((i for i in intents if i.kind in JOINING and i.learner == joiner), None)
    if intent is None:
        return Breach(FleetLaw.I4, f"{joiner.node} joined shard {shard} without an intent on its primary's disk")
    if acked is None or acked[0][:2] != tuple(base) or acked[1] < intent.lsn:
        return Breach(FleetLaw.I7, f"{joiner.node} joined shard {shard} before it had acknowledged lsn {intent.lsn}")
    return None


def switched(shard: ShardId, old: Shelf | None, new: Shelf | None) -> Breach | None:
    """Judge a switchover that was decided: the new primary held the old one's whole journal (I13: never one copy)."""
    if old is None or new is None or new.last_lsn >= old.last_lsn:
        return None
    what = f"shard {shard} changed hands with lsn {new.last_lsn + 1} to {old.last_lsn} on one copy"
    return Breach(FleetLaw.I13, what)


def _gen(gen: Generation) -> str:
    return ".".join(str(part) for part in gen)


def _intent(intent: Intent) -> str:
    return f"the intent to {intent.kind}" + ("" if intent.learner is None else f" {intent.learner.node}")
