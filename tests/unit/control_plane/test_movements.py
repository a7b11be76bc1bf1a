"""Orders under way: one per shard, few per node, given again until they show."""

from control_plane.movements import (
    AGAIN_S,
    LEARNERS_PER_NODE,
    OVERDUE_S,
    REST_S,
    SOURCES_PER_NODE,
    Movements,
    Wish,
)
from core.assignments import Add, Assignment, Copy, Evict, Swap, Switchover, successor
from core.names import CopyId, NodeId, ShardId
from core.orders import Order
from core.topology import Kind

A, B, C = (Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.1")) for dc in ("fra1", "par1", "waw1"))


def record(shard: int = 1, primary: Copy = A) -> Assignment:
    return Assignment(ShardId(shard), Kind.COLLAB, 1, 1, primary, B)


def swap(shard: int = 1, target: NodeId = C.node) -> Wish:
    return Wish(ShardId(shard), Order.SWAP, target, "operations/drain", "par1 is drained")


def started(*wishes: Wish, now: float = 0.0) -> Movements:
    movements = Movements()
    for wish in wishes:
        assert movements.start(wish, record(wish.shard), now)
    return movements


def test_an_order_is_given_once_and_again_after_a_while() -> None:
    movements = started(swap())
    assert [order.order for order in movements.due(0.0)[A.node]] == [Order.SWAP]
    assert movements.due(AGAIN_S - 0.01) == {}
    assert len(movements.due(AGAIN_S)[A.node]) == 1


def test_a_shard_has_one_order_at_a_time() -> None:
    movements = started(swap())
    assert not movements.start(swap(target=NodeId("ams1-c1")), record(), 0.0)


def test_an_order_is_done_when_the_record_shows_it() -> None:
    movements = started(swap())
    ended = movements.changed(successor(record(), Swap(B, C), reason="moved"), 1.0)
    assert ended is not None
    assert ended.done
    assert movements.open == {}


def test_another_change_ends_an_order_undone_and_the_shard_rests() -> None:
    movements = started(swap())
    alone = successor(record(), Evict(), reason="alone")
    ended = movements.changed(alone, 1.0)
    assert ended is not None
    assert not ended.done
    assert not movements.start(swap(), alone, 1.0 + REST_S / 2)
    assert movements.start(swap(), alone, 1.0 + REST_S)


def test_a_switchover_shows_when_the_standby_leads() -> None:
    movements = started(Wish(ShardId(1), Order.SWITCHOVER, B.node, "operations/one", ""))
    ended = movements.changed(successor(record(), Switchover(), reason=""), 1.0)
    assert ended is not None
    assert ended.done


def test_an_added_copy_shows() -> None:
    solo = successor(record(), Evict(), reason="")
    movements = Movements()
    assert movements.start(Wish(ShardId(1), Order.ADD, C.node, "exposure", ""), solo, 0.0)
    ended = movements.changed(successor(solo, Add(C), reason=""), 1.0)
    assert ended is not None
    assert ended.done


def test_a_node_takes_few_copies_in_at_a_time() -> None:
    movements = Movements()
    primaries = [Copy(NodeId(f"fra1-c{n}"), CopyId("x.1")) for n in range(1, 20)]
    taken = [movements.start(swap(n), record(n, primary), 0.0) for n, primary in enumerate(primaries)]
    assert sum(taken) == LEARNERS_PER_NODE


def test_a_primary_works_on_few_orders_at_a_time() -> None:
    movements = Movements()
    taken = [movements.start(swap(n, NodeId(f"waw1-c{n + 1}")), record(n), 0.0) for n in range(20)]
    assert sum(taken) == SOURCES_PER_NODE


def test_a_slot_is_free_again_after_a_refusal() -> None:
    movements = started(*(swap(n) for n in range(SOURCES_PER_NODE)))
    assert not movements.start(swap(90), record(90), 0.0)
    assert movements.refused(ShardId(0), "busy", 0.0) is not None
    assert movements.start(swap(90), record(90), 0.0)


def test_what_a_lost_node_was_to_take_is_cancelled_at_its_primary() -> None:
    movements = started(swap(1), swap(2, NodeId("ams1-c1")))
    cancels = movements.abandon(lambda node: node == C.node, 1.0)
    assert [(node, order.shard, order.order) for node, order in cancels] == [(A.node, 1, Order.CANCEL)]
    assert list(movements.open) == [2]


def test_an_order_that_never_shows_is_cancelled() -> None:
    movements = started(swap())
    assert movements.overdue(OVERDUE_S - 0.1) == []
    assert [order.order for order in movements.overdue(OVERDUE_S)] == [Order.CANCEL]
    assert not movements.free(ShardId(1), OVERDUE_S + 1)
