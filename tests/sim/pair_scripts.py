"""Scripted worlds: the one fault, at the one moment, at which a certain rule is all that stands in the way."""

from core.names import NodeId
from tests.sim.pair_store import promote
from tests.sim.pair_world import PairWorld

STRIKE_S = 0.8


class Script(PairWorld):
    """Plays ``strike`` instead of random faults; clients stay with whom the store names until then."""

    def _fault(self) -> None:
        self.time.after(STRIKE_S, self.strike)

    def strike(self) -> None:
        """Do the one thing."""
        raise NotImplementedError

    def promote_standby(self) -> None:
        """Let the leader give its verdict."""
        promote(self.store, self.shard, self.store.records[self.shard].fence)

    def _target(self, isolated_ratio: float) -> NodeId:
        reads = isolated_ratio > 0.5
        if self.isolated is not None and reads:
            return self.isolated
        return self.store.records[self.shard].primary.node


class IsolatedPrimary(Script):
    """The primary is cut off and its standby promoted, while readers still reach the old one."""

    def strike(self) -> None:
        """Cut, then promote."""
        self._isolate(self.store.records[self.shard].primary.node, restart=False)
        self.time.after(0.05, self.promote_standby)


class RestartedAlone(Script):
    """The primary takes writes that its standby never gets, restarts, and is asked for them again."""

    def strike(self) -> None:
        """Cut, crash with everything on disk, restart behind the cut, promote late."""
        node = self.store.records[self.shard].primary.node
        self._isolate(node, restart=False)
        machine = self.machines[node]
        self.time.after(0.06, lambda: machine.crash(keep_all=True))
        self.time.after(0.08, machine.start)
        self.time.after(0.6, self.promote_standby)
