"""How calls to the simulated assignment store fare: slow, lost on either way, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chaos.sim.time import Host, World
from control_plane.memory_store import Fate
from control_plane.ports import Partition
from core.names import ControlPlaneId

TRIP_S = 0.004
SPREAD_PER_S = 500.0
"""A way takes 1/500 s longer than the shortest, on average."""
LOST_RATIO = 0.01


@dataclass(slots=True)
class StoreWeather:
    """Decides every call's fate."""

    world: World
    hosts: Mapping[str, Host]
    away: bool = False
    cut: set[str] = field(default_factory=set)
    """Control planes that do not reach it."""
    slower_s: float = 0.0
    """So much longer takes every way there, and every way back."""
    lost_ratio: float = 0.0
    """So many more calls are lost on each way: never done, or done and nobody knows."""

    def __call__(self, caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
        """Let a call of a control plane through, or not."""
        self.hosts[caller].deed()
        if self.away or caller in self.cut:
            return Fate(None, None)
        return Fate(self._trip_s(), self._trip_s())

    def heal(self) -> None:
        """Answer everybody again."""
        self.away = False
        self.cut = set()
        self.slower_s = self.lost_ratio = 0.0

    def _trip_s(self) -> float | None:
        chance = self.world.chance
        if chance.random() < LOST_RATIO + self.lost_ratio:
            return None
        return TRIP_S + self.slower_s + chance.expovariate(SPREAD_PER_S)
