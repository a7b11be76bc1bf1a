"""What the copies of one node share: identity, limits, and the ports to the world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from core.names import NodeId
from core.ports import Clock, Rng, Spawn
from core.rhythm import Rhythm
from core.timers import Timers
from nodes.app_table import AppTable
from nodes.link import LinkTable
from nodes.pair_rules import Rules
from nodes.ports import Journal
from nodes.retries import RetryWindow
from nodes.turn import Turn

Tell: TypeAlias = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class World:
    """Handed to every copy of a node."""

    node: NodeId
    timers: Timers
    rhythm: Rhythm
    """When heartbeats leave."""
    clock: Clock
    spawn: Spawn
    rng: Rng
    journal: Journal
    apps: AppTable
    window: RetryWindow
    quota_bytes: int
    """What a tenant may store."""
    turn: Turn
    links: LinkTable
    rules: Rules
    tell: Tell
    look: Callable[[], float]
    """Compares the clock with the last turn's and returns the time; called before anything is decided in a turn."""
    snapshot_entries: int
    """Committed entries after which a copy keeps a new snapshot and lets go of older entries."""
    snapshot_hold_s: float = 0.0
    """How long a snapshot waits before entries go for it: time to archive them; 0 where there is no archive."""
