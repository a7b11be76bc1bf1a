"""What a node keeps of its judgement on a peer's list of leases always equals what it would judge now (I6)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.fleet_laws import FleetLaw
from core.names import NodeId, ShardId
from nodes.driver import NodeDriver
from nodes.link import Link
from nodes.pair_rules import Rules
from tests.sim.pair_laws import BrokenLawError
from tests.sim.pair_world import FAULTS_S, PairWorld

LOOK_EVERY_S = 0.0005


class Judged(PairWorld):
    """A schedule whose kept answers are compared with fresh ones all the time."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, rules=Rules())
        self.kept: set[tuple[ShardId, ...]] = set()

    def play(self) -> None:
        """Crash, cut, freeze, promote, evict and join, and look after every few events."""
        self._begin()
        while self.time.now < FAULTS_S:
            self.time.run(self.time.now + LOOK_EVERY_S)
            for node, machine in self.machines.items():
                if machine.driver is not None:
                    self._compare(node, machine.driver)

    def _compare(self, node: NodeId, driver: NodeDriver) -> None:
        for link in driver._links.all():
            if link.refused_now is None:
                continue
            self.kept.add(link.refused_now)
            fresh = _refused(driver, link)
            if link.refused_now != fresh:
                what = f"{node} would refuse {link.peer} {link.refused_now} where {fresh} is right"
                raise BrokenLawError(FleetLaw.I6, what)


def _refused(driver: NodeDriver, link: Link) -> tuple[ShardId, ...]:
    return tuple(shard for shard, fence in link.their_wanted if not driver._grants(shard, link.peer, fence))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_a_kept_answer_is_the_one_that_would_be_judged_now(seed: int) -> None:
    Judged(seed).play()


def test_schedules_keep_answers_that_grant_and_answers_that_refuse() -> None:
    worlds = [Judged(seed) for seed in range(5, 11)]
    for world in worlds:
        world.play()
    assert set[tuple[ShardId, ...]]().union(*(world.kept for world in worlds)) == {(), (worlds[0].shard,)}
