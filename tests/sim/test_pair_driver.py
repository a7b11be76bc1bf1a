"""Planned changes, joins by snapshot and damaged copies, with production drivers and nothing else failing."""

from itertools import pairwise

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from core.copies import CopyView, Role
from core.errors import NotOwnerError, TwinholdError
from core.names import NodeId, ShardId
from core.orders import Order, PrepareResult, PrepareShard
from nodes.driver import PROGRESS_S, NodeDriver
from nodes.ledger import Submitted
from nodes.pair_rules import Rules
from nodes.subscription import Subscription
from nodes.views import Answered, EntryStep, Outcome
from tests.sim.pair_store import promote
from tests.sim.pair_world import COMMAND, TIMERS, PairWorld


class Quiet(PairWorld):
    """A world in which nothing fails but what the test does; being sent elsewhere is no failure."""

    def __init__(self, seed: int, *, snapshot_entries: int = 10_000) -> None:
        super().__init__(seed, rules=Rules(), snapshot_entries=snapshot_entries)
        self.failed: list[TwinholdError] = []
        self.calm = True  # no faults
        self.lost_ratio = 0.0
        self.network.weather.break_ratio = self.network.weather.tail_s = 0.0
        self._begin()

    def _lead(self) -> None:
        """Let the test be the leader."""

    def _attempted(self, outcome: Outcome) -> None:
        if isinstance(outcome, TwinholdError) and not isinstance(outcome, NotOwnerError):
            self.failed.append(outcome)

    def driver(self, node: NodeId) -> NodeDriver:
        driver = self.machines[node].driver
        assert driver is not None, f"{node} runs"
        return driver

    def view(self, node: NodeId) -> CopyView:
        return self.driver(node).report(complete=True)[0]

    @property
    def primary(self) -> NodeId:
        return self.store.records[self.shard].primary.node

    @property
    def standby(self) -> NodeId:
        standby = self.store.records[self.shard].standby
        assert standby is not None, "the shard is in sync"
        return standby.node

    @property
    def spare(self) -> NodeId:
        return next(n for n in self.nodes if n not in (self.primary, self.standby))

    def order(self, order: Order, target: NodeId | None = None) -> None:
        self._order(self.store.records[self.shard], order, target)


def quiet(*, snapshot_entries: int = 10_000, until: float = 1.5) -> Quiet:
    world = Quiet(1, snapshot_entries=snapshot_entries)
    world.time.run(until)
    return world


def test_a_copy_that_begins_to_serve_is_reported_at_once_and_not_with_the_next_whole_report() -> None:
    world = quiet()
    old, new = world.primary, world.standby
    told: dict[NodeId, CopyView] = {}

    def listen() -> bool:
        for node in (old, new):
            for view in world.driver(node).report(complete=False):
                told[node] = view
        return new in told and told[new].serving and old in told and told[old].role is Role.STANDBY

    listen()
    world.order(Order.SWITCHOVER)
    until = world.time.now + PROGRESS_S / 30
    while not listen():
        assert world.time.now < until, f"only {told} is told"
        world.time.run(world.time.now + 0.02)


def test_a_switchover_fails_no_write_and_changes_roles() -> None:
    world = quiet()
    old, new = world.primary, world.standby
    world.failed.clear()
    world.order(Order.SWITCHOVER)
    world.time.run(world.time.now + 0.5)
    assert (world.primary, world.standby) == (new, old)
    assert world.view(new).serving
    assert world.view(old).role is Role.STANDBY
    assert world.failed == []


def asked(world: Quiet, node: NodeId, *, epoch: int = 0) -> list[Outcome]:
    """Ask a node for a write, and return where its answer will stand."""
    outcomes: list[Outcome] = []
    body = StringValue(value="asked").SerializeToString()
    submitted = Submitted(str(world.tenant), "log", body, COMMAND, "ada", "asked", epoch)
    world.driver(node).submit(submitted, outcomes.append)
    return outcomes


def test_a_standby_that_has_not_heard_of_its_epoch_yet_keeps_a_command_of_who_has() -> None:
    world = quiet()
    new = world.standby
    world.order(Order.SWITCHOVER)
    epoch = world.store.records[world.shard].epoch
    outcomes = asked(world, new, epoch=epoch + 1)
    assert outcomes == []
    world.time.run(world.time.now + 0.5)
    assert world.primary == new
    assert [type(outcome) for outcome in outcomes] == [Answered]


def test_a_standby_sends_away_who_has_heard_of_no_later_epoch_at_once_and_who_has_in_the_end() -> None:
    world = quiet()
    epoch = world.store.records[world.shard].epoch
    assert [type(outcome) for outcome in asked(world, world.standby, epoch=epoch)] == [NotOwnerError]
    outcomes = asked(world, world.standby, epoch=epoch + 1)
    assert outcomes == []
    world.time.run(world.time.now + TIMERS.lease_s / 2 + 2 * TIMERS.heartbeat_s)
    assert [type(outcome) for outcome in outcomes] == [NotOwnerError]


def bereave(world: Quiet) -> NodeId:
    """Kill the primary's process, and return the standby once it knows."""
    standby = world.standby
    world.machines[world.primary].crash(keep=None)
    until = world.time.now + 1.0
    while not any(seen.refused for seen in world.driver(standby).observations()):
        assert world.time.now < until, "nobody tells the standby"
        world.time.run(world.time.now + 0.01)
    return standby


def test_a_standby_whose_primary_is_gone_keeps_a_command_until_it_is_promoted() -> None:
    world = quiet()
    standby = bereave(world)
    outcomes = asked(world, standby)
    world.time.run(world.time.now + TIMERS.lease_s / 4)
    assert outcomes == []
    promote(world.store, world.shard, world.store.records[world.shard].fence)
    world.driver(standby).map_changed([world.store.records[world.shard]])
    world.time.run(world.time.now + 2 * TIMERS.lease_s)
    assert [type(outcome) for outcome in outcomes] == [Answered]


def test_a_standby_that_is_not_promoted_soon_sends_away() -> None:
    world = quiet()
    assert [type(outcome) for outcome in asked(world, world.standby)] == [NotOwnerError]
    outcomes = asked(world, bereave(world))
    world.time.run(world.time.now + TIMERS.lease_s / 2 + 2 * TIMERS.heartbeat_s)
    assert [type(outcome) for outcome in outcomes] == [NotOwnerError]


def prepared(world: Quiet, node: NodeId) -> list[tuple[ShardId, bool, str]]:
    """Ask a node whether its copy of the shard, and one that it does not hold, could take over."""
    fence, found = world.store.records[world.shard].fence, list[PrepareResult]()
    asked = [PrepareShard(world.shard, fence), PrepareShard(ShardId(world.shard + 1), fence)]
    world.driver(node).prepare(asked, 1, found.extend)
    world.time.run(world.time.now + 0.5)
    return [(result.shard, result.ready, result.refusal) for result in found]


def test_a_standby_is_ready_when_its_disk_takes_writes_and_what_is_not_held_never_is() -> None:
    world = quiet()
    absent = (ShardId(world.shard + 1), False, "holds no copy")
    assert prepared(world, world.standby) == [(world.shard, True, ""), absent]
    world.machines[world.standby].disk.refusal = "no space left"
    assert prepared(world, world.standby) == [(world.shard, False, "no space left"), absent]


def test_a_standby_moves_without_one_copy_on_the_way_and_without_a_failed_write() -> None:
    world = quiet()
    spare = world.spare
    world.failed.clear()
    world.order(Order.SWAP, spare)
    world.time.run(world.time.now + 1.0)
    assert world.standby == spare
    assert [record.solo for record in world.store.history] == [False, False]
    assert world.failed == []


def test_a_learner_with_nothing_in_common_gets_a_snapshot_and_serves_after_a_switchover() -> None:
    world = quiet(snapshot_entries=20, until=3.0)
    assert world.machines[world.primary].disk.shelves[world.shard].floor.lsn > 0
    spare = world.spare
    world.order(Order.SWAP, spare)
    world.time.run(world.time.now + 1.0)
    world.order(Order.SWITCHOVER)
    world.time.run(world.time.now + 1.0)
    assert world.primary == spare
    assert world.view(spare).serving
    assert world.machines[spare].disk.shelves[world.shard].floor.lsn > 0


def test_the_next_snapshot_is_due_when_as_much_was_written_as_the_last_one_holds() -> None:
    world = quiet(snapshot_entries=5)
    floors = [0]
    while len(floors) < 6:
        world.time.run(world.time.now + 0.01)
        floor = world.machines[world.primary].disk.shelves[world.shard].floor.lsn
        if floor != floors[-1]:
            floors.append(floor)
    assert all(later >= 1.7 * earlier for earlier, later in pairwise(floors))
    assert world.failed == []


@pytest.mark.parametrize("where", ["standby", "primary"])
def test_a_damaged_copy_asks_to_be_relieved_and_is_never_served(where: str) -> None:
    world = quiet()
    node = world.standby if where == "standby" else world.primary
    machine = world.machines[node]
    machine.crash(keep=None)
    machine.disk.flip(world.shard, 3)
    machine.start()
    world.time.run(world.time.now + 0.3)
    if where == "primary":
        assert "damaged" in world.view(node).complaint
        assert not world.view(node).serving
    else:
        world.time.run(world.time.now + 1.0)
        assert world.store.records[world.shard].solo
        assert "damaged" in world.store.records[world.shard].reason
        assert world.shard in world.machines[node].disk.asides


def test_a_subscription_shows_every_entry_once_and_ends_when_the_shard_moves() -> None:
    world = quiet()
    seen: list[int] = []
    subscription: list[Subscription] = []

    def wake() -> None:
        while steps := subscription[0].take():
            seen.extend(step.lsn for step in steps if isinstance(step, EntryStep))
            if not isinstance(steps[-1], EntryStep) and len(steps) == 1:
                break

    subscription.append(world.driver(world.primary).subscribe(str(world.tenant), 0, wake))
    wake()
    world.time.run(world.time.now + 0.5)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 20


def test_a_copy_whose_first_word_the_disk_refused_is_built_again_and_serves() -> None:
    world = Quiet(1)
    journal = world.machines[world.primary].journal
    assert journal is not None, "it was just started"
    journal.fail_next("no space left", kept=False)
    world.time.run(4.0)
    view = world.view(world.primary)
    assert (view.complaint, view.serving) == ("", True)
