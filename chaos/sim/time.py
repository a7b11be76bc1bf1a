"""Virtual time: a heap of callbacks, and hosts whose clocks drift, freeze and die.

Everything that happens comes from the heap, in an order that the seed alone decides: the same seed gives the same trace
on any run of Python. A host's clock starts at a random offset, so that two clocks mixed up fail at once, and runs at
its own rate.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random

STEP_S = 0.0002
"""Between two turns of sliced work."""


@dataclass(slots=True)
class Waiting:
    """A callback in the heap."""

    callback: Callable[[], None] | None

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class World:
    """The one true time, the one source of chance, and the trace of what happened."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = Random(seed)
        self._heap: list[tuple[float, int, Waiting]] = []
        self._count = 0
        self._trace = blake2b(digest_size=8)
        self.tell: Callable[[str], None] | None = None
        """Set to see the trace as it happens."""

    def at(self, when: float, callback: Callable[[], None]) -> Waiting:
        """Run a callback at a time; equal times in the order in which they were asked for."""
        waiting = Waiting(callback)
        self._count += 1
        heappush(self._heap, (max(when, self.now), self._count, waiting))
        return waiting

    def after(self, delay_s: float, callback: Callable[[], None]) -> Waiting:
        """Run a callback after a while."""
        return self.at(self.now + delay_s, callback)

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._heap and self._heap[0][0] <= until:
            when, _, waiting = heappop(self._heap)
            if waiting.callback is not None:
                self.now = when
                waiting.callback()
        self.now = until

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self._trace.update(f"{self.now:.9f} {what}\n".encode())
        if self.tell is not None:
            self.tell(f"{self.now:12.6f} {what}")

    @property
    def trace_hash(self) -> str:
        """Sum the trace up: equal for equal runs."""
        return self._trace.hexdigest()


@dataclass(slots=True)
class Host:
    """A process on a machine: implements the ports Clock and Spawn for what runs in it.

    ``crash`` forgets every callback of the present life; ``freeze`` makes them wait, as SIGSTOP does.
    """

    world: World
    name: str
    offset_s: float = 0.0
    rate: float = 1.0
    life: int = 0
    alive: bool = True
    frozen: bool = False
    _held: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    def now(self) -> float:
        """Read this host's clock."""
        return self.offset_s + self.world.now * self.rate

    def wall_ms(self) -> int:
        """Read this host's idea of the date."""
        return 1_800_000_000_000 + int(self.now() * 1000)

    def call_at(self, when: float, callback: Callable[[], None]) -> Waiting:
        """Run a callback at a time of this host's clock, if it then still lives."""
        guarded = self.guard(callback)
        return self.world.at((when - self.offset_s) / self.rate, guarded)

    def later(self, callback: Callable[[], None]) -> None:
        """Run a callback at the next turn."""
        self.world.after(0.0, self.guard(callback))

    def soon(self, step: Callable[[], bool]) -> None:
        """Call a step once per turn until it returns False."""

        def turn() -> None:
            if step():
                self.world.after(STEP_S, self.guard(turn))

        self.world.after(STEP_S, self.guard(turn))

    def guard(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Bind a callback to the present life: it never runs in another, and waits while the host is frozen."""
        life = self.life

        def guarded() -> None:
            if life != self.life or not self.alive:
                return
            if self.frozen:
                self._held.append((life, callback))
            else:
                callback()

        return guarded

    def crash(self) -> None:
        """End this life; nothing of it runs any more, no ``finally`` either."""
        self.life += 1
        self.alive = self.frozen = False
        self._held.clear()
        self.world.note(f"{self.name} crashes")

    def start(self) -> None:
        """Begin a new life, with what the disk kept."""
        self.life += 1
        self.alive, self.frozen = True, False
        self.world.note(f"{self.name} starts")

    def freeze(self) -> None:
        """Stop running, silently."""
        self.frozen = True
        self.world.note(f"{self.name} freezes")

    def thaw(self) -> None:
        """Go on with everything that waited, in order, all at once."""
        self.frozen = False
        self.world.note(f"{self.name} thaws")
        held, self._held = self._held, []
        for life, callback in held:
            if life == self.life and self.alive and not self.frozen:
                callback()


def host(world: World, name: str, *, drift_ratio: float) -> Host:
    """Make a host whose clock starts anywhere and drifts by at most ``drift_ratio``."""
    return Host(
        world,
        name,
        offset_s=world.chance.uniform(100.0, 100_000.0),
        rate=1.0 + world.chance.uniform(-drift_ratio, drift_ratio),
    )
