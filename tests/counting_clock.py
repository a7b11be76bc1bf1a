"""A simulated clock that counts the wake-ups of a real process: the moments at which timers ran."""

from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.sim.time import Host, Waiting


@dataclass
class CountingClock:
    """A host's clock; implements the port Clock. ``before`` runs before every timer, as on the real one."""

    host: Host
    before: Callable[[], None] = lambda: None
    wakes: set[float] = field(default_factory=set)

    def now(self) -> float:
        """Read the host's clock."""
        return self.host.now()

    def wall_ms(self) -> int:
        """Read the host's date."""
        return self.host.wall_ms()

    def call_at(self, when: float, callback: Callable[[], None]) -> Waiting:
        """Run a callback at its time; one that is due at once wakes nobody."""
        waits = when > self.now()

        def woken() -> None:
            if waits:
                self.wakes.add(round(self.now(), 6))
            self.before()
            callback()

        return self.host.call_at(when, woken)
