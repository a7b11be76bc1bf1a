"""Bystanders are counted by where their shard's pair stands, while the fault is on."""

from dataclasses import replace

from chaos.bystanders import Census, Reach
from chaos.history import Post
from core.names import ShardId

POST = Post("tenants/eu/acme", "general", "ann", "1", "hello", None, 150, 160, "failed")
KILL = Reach(100, 200, frozenset({ShardId(1)}))
LEADERLESS = Reach(300, 400, frozenset(), leaderless=True)
DRAIN = Reach(500, 600, frozenset(), planned=True)


def counted(post: Post, shard: int) -> Census:
    census = Census([KILL, LEADERLESS, DRAIN])
    census.take(post, ShardId(shard))
    return census


def test_who_is_touched_is_no_bystander() -> None:
    assert counted(POST, 1).bystanders.operations == 0


def test_who_is_not_touched_is_one() -> None:
    assert counted(POST, 2).bystanders.failed == 1


def test_the_same_shard_is_a_bystander_when_the_fault_is_over() -> None:
    assert counted(replace(POST, invoked_ns=250, completed_ns=260), 1).bystanders.failed == 1


def test_what_ended_before_the_first_fault_is_not_counted() -> None:
    assert counted(replace(POST, invoked_ns=10, completed_ns=20), 2).bystanders.operations == 0


def test_an_operation_that_never_ended_meets_every_later_fault() -> None:
    assert counted(replace(POST, invoked_ns=10, completed_ns=None), 1).bystanders.operations == 0


def test_failures_without_control_planes_and_in_drains_are_counted_apart() -> None:
    during = counted(replace(POST, invoked_ns=310, completed_ns=320), 1)
    assert (during.leaderless.failed, during.planned_writes.operations) == (1, 0)
    drained = counted(replace(POST, invoked_ns=510, completed_ns=520), 1)
    assert (drained.leaderless.operations, drained.planned_writes.failed) == (0, 1)
