"""A linearizable store of assignments and a simple leader, for worlds that test pairs and not the control plane."""

from collections.abc import Callable, Mapping, Sequence

from chaos.sim.time import Host, World
from core.assignments import Assignment, Change, Fence, Leader, Promote, Proposer, legal_successor, successor
from core.errors import ConflictError, TwinholdError
from core.names import ShardId
from core.topology import Topology
from nodes.control_port import (
    Proposal,
    ProposalAnswer,
    ProposalApplied,
    ProposalRefused,
    ProposalUnknown,
)

DEADLINE_S = 0.3


class Store:
    """Records, and whoever wants to hear of them."""

    def __init__(self, topology: Topology) -> None:
        self._geography_of = {dc.id: dc.geography for dc in topology.data_centers}
        self.records: dict[ShardId, Assignment] = {}
        self.history: list[Assignment] = []
        self.changed: Callable[[Assignment], None] = lambda _: None

    def put(self, assignment: Assignment) -> None:
        """Write a record."""
        self.records[assignment.shard] = assignment
        self.history.append(assignment)
        self.changed(assignment)

    def change(self, shard: ShardId, base: Fence, change: Change, proposer: Proposer, reason: str) -> Assignment:
        """Compare and set; raises TwinholdError when the base moved on or the change is not legal."""
        current = self.records[shard]
        if current.fence != base:
            raise ConflictError(f"shard {shard} moved on")
        new = successor(current, change, reason=reason)
        legal_successor(current, new, change, proposer=proposer, geography_of=lambda dc: self._geography_of[dc])
        self.put(new)
        return new


class NodeControl:
    """One node's way to the store: slow, and sometimes a request or an answer gets lost."""

    def __init__(self, world: World, store: Store, host: Host, *, lost_ratio: Callable[[], float]) -> None:
        self._world = world
        self._store = store
        self._host = host
        self._lost_ratio = lost_ratio

    def propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        """Ask for changes."""
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
        chance = self._world.chance
        there_s, back_s = (chance.uniform(0.001, 0.02) for _ in range(2))
        lost, lost_back = (chance.random() < self._lost_ratio() for _ in range(2))
        late_s = chance.uniform(0.0, 0.6) if chance.random() < 0.1 else 0.0
        finish = self._host.guard

        def arrive() -> None:
            answer = ask()
            if not lost_back and there_s + late_s + back_s < DEADLINE_S:
                self._world.after(back_s, finish(lambda: done(answer)))

        if not lost:
            self._world.after(there_s + late_s, arrive)
        if lost or lost_back or there_s + late_s + back_s >= DEADLINE_S:
            self._world.after(DEADLINE_S, finish(lambda: done(unknown)))


def promote(store: Store, shard: ShardId, base: Fence) -> Assignment | None:
    """Promote the standby, as the leader does; None: the record moved on."""
    try:
        return store.change(shard, base, Promote(), Leader(), "the primary is lost")
    except TwinholdError:
        return None
