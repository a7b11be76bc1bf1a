"""A linearizable store of assignments and a simple leader, for worlds that test pairs and not the control plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chaos.sim.time import Host, World
from core.assignments import Assignment, Change, Fence, Leader, Promote, Proposer, legal_successor, successor
from core.errors import ConflictError, TwinholdError
from core.names import ShardId
from core.proposals import Proposal, ProposalAnswer, ProposalApplied, ProposalRefused, ProposalUnknown
from core.topology import Topology

DEADLINE_S = 0.3


class Store:
    """Records, and whoever wants to hear of them."""

    def __init__(self, topology: Topology) -> None:
        self._geography_of = {dc.id: dc.geography for dc in topology.data_centers}
        self.records: dict[ShardId, Assignment] = {}
        self.history: list[Assignment] = []
        self.changed: Callable[[Change | None, Assignment], None] = lambda _change, _record: None
        """Told every record, and the change that made it; None: a shard's first."""

    def put(self, assignment: Assignment, change: Change | None = None) -> None:
        """Write a record."""
        self.records[assignment.shard] = assignment
        self.history.append(assignment)
        self.changed(change, assignment)

    def change(self, shard: ShardId, base: Fence, change: Change, proposer: Proposer, reason: str) -> Assignment:
        """Compare and set; raises TwinholdError when the base moved on or the change is not legal."""
        current = self.records[shard]
        if current.fence != base:
            raise ConflictError(f"shard {shard} moved on")
        return self.take(successor(current, change, reason=reason), change, proposer)

    def take(self, new: Assignment, change: Change, proposer: Proposer) -> Assignment:
        """Take a record that somebody worked out, after the check that every adapter makes; raises TwinholdError."""
        current = self.records[new.shard]
        legal_successor(current, new, change, proposer=proposer, geography_of=lambda dc: self._geography_of[dc])
        self.put(new, change)
        return new


@dataclass(frozen=True, slots=True)
class Way:
    """How a node's calls to the store fare now."""

    lost_ratio: float
    """Of requests, and of answers."""
    trip_s: tuple[float, float] = (0.001, 0.02)
    """Either way, at least and at most."""
    late_ratio: float = 0.1
    late_s: tuple[float, float] = (0.0, 0.6)
    """How much longer such a request takes."""
    deaf: bool = False
    """No answer gets back, not even one that is under way."""


class NodeControl:
    """One node's way to the store: slow, and sometimes a request or an answer gets lost."""

    def __init__(
        self,
        world: World,
        store: Store,
        host: Host,
        *,
        way: Callable[[], Way],
        asked: Callable[[Proposal], None],
    ) -> None:
        """Args: ``asked`` is told what the node proposes."""
        self._world = world
        self._store = store
        self._host = host
        self._way = way
        self._asked = asked

    def propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        """Ask for changes."""
        for proposal in proposals:
            self._asked(proposal)
        unknown = [ProposalUnknown("no answer") for _ in proposals]
        self._call(lambda: [self._judge(proposal) for proposal in proposals], unknown, done)

    def record(
        self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | ProposalUnknown], None]
    ) -> None:
        """Read records."""
        self._call(
            lambda: {shard: self._store.records[shard] for shard in shards if shard in self._store.records},
            ProposalUnknown("no answer"),
            done,
        )

    def _judge(self, p: Proposal) -> ProposalAnswer:
        try:
            return ProposalApplied(self._store.change(p.shard, p.base, p.change, p.proposer, p.reason))
        except TwinholdError as error:
            return ProposalRefused(self._store.records.get(p.shard), error.message)

    def _call(self, ask: Callable[[], object], unknown: object, done: Callable[..., None]) -> None:
        chance, way = self._world.chance, self._way()
        there_s, back_s = (chance.uniform(*way.trip_s) for _ in range(2))
        lost, lost_back = (chance.random() < way.lost_ratio for _ in range(2))
        late_s = chance.uniform(*way.late_s) if chance.random() < way.late_ratio else 0.0
        told: list[object] = []
        ended = [False]

        def end(answer: object) -> None:
            if not ended[0]:
                ended[0] = True
                done(answer)

        def hear() -> None:
            if not self._way().deaf:
                end(told[0])

        heard = self._host.guard(hear)  # of the life that asks: no other one hears the answer

        def arrive() -> None:
            told.append(ask())
            if not lost_back:
                self._world.after(back_s, heard)

        if not lost:
            self._world.after(there_s + late_s, arrive)
        self._world.after(DEADLINE_S, self._host.guard(lambda: end(unknown)))


def promote(store: Store, shard: ShardId, base: Fence) -> Assignment | None:
    """Promote the standby, as the leader does; None: the record moved on."""
    try:
        return store.change(shard, base, Promote(), Leader(), "the primary is lost")
    except TwinholdError:
        return None
