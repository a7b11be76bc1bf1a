"""What the control plane's leader asks of nodes: whether a copy could take over, and changes to carry out."""

from dataclasses import dataclass
from enum import Enum

from core.assignments import Fence
from core.names import NodeId, ShardId


class Order(Enum):
    """What the leader orders a primary to do; the values are those of ``TransferOrder.Kind`` without its prefix."""

    ADD = "ADD"
    SWAP = "SWAP"
    SWITCHOVER = "SWITCHOVER"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class PrepareShard:
    """A copy that may have to take over, and the record it would be promoted from."""

    shard: ShardId
    base: Fence


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """Whether a copy could take over now; ``refusal`` says why not."""

    shard: ShardId
    ready: bool
    refusal: str
    last_lsn: int


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """An order to a primary; giving it again does no harm."""

    shard: ShardId
    base: Fence
    order: Order
    target: NodeId | None
    """ADD, SWAP: who takes the new copy."""
    reason: str


@dataclass(frozen=True, slots=True)
class TransferResult:
    """Whether the order is under way, or done already; ``refusal`` says why not."""

    shard: ShardId
    accepted: bool
    refusal: str
