"""Orders to primaries that are under way: at most one per shard, few per node, each given again until it shows.

An order is done when the shard's record is another one; whatever its primary proposes decides. Nothing here trusts an
answer: "accepted" only means that the order need not be sent again soon.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.assignments import Assignment, Fence
from core.machine import NEVER
from core.names import NodeId, ShardId
from core.orders import Order, TransferOrder

AGAIN_S = 1.0
"""How soon an order that does not show is given again."""
OVERDUE_S = 30.0
"""After which an order is cancelled, and the shard left alone for a while."""
REST_S = 1.0
"""How long a shard is left alone after a refusal."""
LEARNERS_PER_NODE = 4
"""Copies that one node takes in at a time, so that its standbys are not slowed down."""
SOURCES_PER_NODE = 4
"""Orders that one primary works on at a time."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a planner would like a primary to do."""

    shard: ShardId
    order: Order
    target: NodeId | None
    """ADD, SWAP: who takes the new copy; SWITCHOVER: the standby that takes over."""
    cause: str
    """``operations/{id}``, ``homecomings/{dc}``, ``exposure`` or ``relief``."""
    reason: str


@dataclass(slots=True)
class Movement:
    """An order under way."""

    wish: Wish
    base: Fence
    node: NodeId
    """The primary that was told."""
    started_at: float
    send_at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An order that is not under way any more; ``done``: the record shows what it asked for."""

    wish: Wish
    done: bool
    why: str


@dataclass(slots=True)
class Movements:
    """All orders of one leader."""

    open: dict[ShardId, Movement] = field(default_factory=dict)
    _resting: dict[ShardId, float] = field(default_factory=dict)
    _learners: dict[NodeId, int] = field(default_factory=dict)
    _sources: dict[NodeId, int] = field(default_factory=dict)

    def start(self, wish: Wish, base: Assignment, now: float) -> bool:
        """Take an order up if the shard is free and both nodes have a slot; ``due`` gives it out."""
        if not self.free(wish.shard, now):
            return False
        source, learner = base.primary.node, _learner(wish)
        if self._sources.get(source, 0) >= SOURCES_PER_NODE:
            return False
        if learner is not None and not self.learns(learner):
            return False
        self.open[wish.shard] = Movement(wish, base.fence, source, now, now)
        self._count(self.open[wish.shard], 1)
        return True

    def free(self, shard: ShardId, now: float) -> bool:
        """Say whether a shard may be given an order."""
        return shard not in self.open and self._resting.get(shard, 0.0) <= now

    def learns(self, node: NodeId) -> bool:
        """Say whether a node can take one more copy in now."""
        return self._learners.get(node, 0) < LEARNERS_PER_NODE

    def count(self, cause: str, order: Order | None = None) -> int:
        """Count the orders of one cause."""
        return sum(m.wish.cause == cause and order in (None, m.wish.order) for m in self.open.values())

    def due(self, now: float) -> Mapping[NodeId, list[TransferOrder]]:
        """Give out what must be sent now, by primary node."""
        orders: dict[NodeId, list[TransferOrder]] = {}
        for shard, movement in self.open.items():
            if movement.send_at > now:
                continue
            movement.send_at = now + AGAIN_S
            wish = movement.wish
            orders.setdefault(movement.node, []).append(
                TransferOrder(shard, movement.base, wish.order, _learner(wish), wish.reason)
            )
        return orders

    def overdue(self, now: float) -> list[TransferOrder]:
        """Cancel what has not shown for too long; the orders go to the primaries of the shards."""
        late = [shard for shard, movement in self.open.items() if now - movement.started_at >= OVERDUE_S]
        cancels = []
        for shard in late:
            movement = self._end(shard, now + OVERDUE_S)
            cancels.append(TransferOrder(shard, movement.base, Order.CANCEL, None, "it took too long"))
        return cancels

    def abandon(self, lost: Callable[[NodeId], bool], now: float) -> list[tuple[NodeId, TransferOrder]]:
        """End what a lost node was to do; primaries that live are told to cancel what they wait for."""
        cancels = []
        for shard, movement in list(self.open.items()):
            target = movement.wish.target
            if lost(movement.node):
                self._end(shard, now)
            elif target is not None and lost(target):
                self._end(shard, now)
                order = TransferOrder(shard, movement.base, Order.CANCEL, None, f"{target} is lost")
                cancels.append((movement.node, order))
        return cancels

    def refused(self, shard: ShardId, why: str, now: float) -> Ended | None:
        """Note that a primary won't."""
        movement = self.open.get(shard)
        if movement is None:
            return None
        self._end(shard, now + REST_S)
        return Ended(movement.wish, False, why)

    def changed(self, record: Assignment, now: float) -> Ended | None:
        """Note a shard's new record: whatever was under way is over."""
        movement = self.open.get(record.shard)
        if movement is None or record.fence == movement.base:
            return None
        done = shows(record, movement.wish)
        self._end(record.shard, now if done else now + REST_S)
        return Ended(movement.wish, done, record.reason)

    def drop(self, cause: str, now: float) -> list[Ended]:
        """Give up what one cause has under way; primaries that have begun may still finish it."""
        shards = [shard for shard, movement in self.open.items() if movement.wish.cause == cause]
        return [Ended(self._end(shard, now).wish, False, "it is not wanted any more") for shard in shards]

    def wake_at(self) -> float:
        """Say when the next order must be given again."""
        return min((movement.send_at for movement in self.open.values()), default=NEVER)

    def _end(self, shard: ShardId, rest_until: float) -> Movement:
        movement = self.open.pop(shard)
        self._count(movement, -1)
        self._resting[shard] = rest_until
        return movement

    def _count(self, movement: Movement, sign: int) -> None:
        self._sources[movement.node] = self._sources.get(movement.node, 0) + sign
        learner = _learner(movement.wish)
        if learner is not None:
            self._learners[learner] = self._learners.get(learner, 0) + sign


def shows(record: Assignment, wish: Wish) -> bool:
    """Say whether a record is what an order asked for."""
    match wish.order:
        case Order.ADD | Order.SWAP:
            return record.standby is not None and record.standby.node == wish.target
        case Order.SWITCHOVER:
            return record.primary.node == wish.target
        case Order.CANCEL:
            return True


def _learner(wish: Wish) -> NodeId | None:
    return wish.target if wish.order in (Order.ADD, Order.SWAP) else None
