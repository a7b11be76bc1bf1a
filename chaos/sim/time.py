"""Virtual time: a heap of callbacks, and hosts whose clocks drift, freeze and die.

Everything that happens comes from the heap, in an order that the seed alone decides: the same seed gives the same trace
on any run of Python. A host's clock starts at a random offset, so that two clocks mixed up fail at once, and runs at
its own rate.
"""

from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import TypeAlias

from chaos.sim.messages import said

FIRST_DAY_MS = 1_800_000_000_000
"""The date at which every world begins."""
WALL_SKEW_S = 2.0
"""How far a host's date may be off."""
STEP_S = 0.0002
"""Between two turns of sliced work."""


class ProcessDiedError(BaseException):
    """A process died in the middle of a turn: what the turn had not done yet never happens.

    No ``Exception``, so that nothing in the process catches it.
    """


Entry: TypeAlias = "tuple[float, int, Callable[[], None], Host | None, int]"
"""What waits in the heap: when, its number, a callback, and the host and life in which alone it runs, or None.

A bare tuple: every event makes one, and compares it many times.
"""


class Waiting:
    """A callback that may be cancelled: it stays in the heap, and does not run."""

    __slots__ = ("_cancelled", "_number")

    def __init__(self, number: int, cancelled: set[int]) -> None:
        self._number, self._cancelled = number, cancelled

    def cancel(self) -> None:
        """Forget it."""
        self._cancelled.add(self._number)


class World:
    """The one true time, the one source of chance, and the trace of what happened."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = Random(seed)
        self.heap: list[Entry] = []
        self.count = 0
        """Of what was asked for so far."""
        self.cancelled: set[int] = set()
        """The numbers of what shall not run any more."""
        self._times = array("d")
        self._words: list[str] = []
        """The trace: when, and what; summed up at the end."""
        self.tell: Callable[[str], None] | None = None
        """Set to see the trace as it happens."""

    def at(self, when: float, callback: Callable[[], None], host: "Host | None" = None, life: int = 0) -> int:
        """Run a callback at a time; equal times in the order in which they were asked for. Returns its number."""
        self.count = number = self.count + 1
        heappush(self.heap, (when if when > self.now else self.now, number, callback, host, life))
        return number

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Run a callback after a while."""
        self.at(self.now + delay_s, callback)

    def run(self, until: float) -> None:
        """Let time pass."""
        while True:
            try:
                self._turns(until)
            except ProcessDiedError:
                continue
            self.now = until
            return

    def _turns(self, until: float) -> None:
        heap, cancelled = self.heap, self.cancelled
        while heap and heap[0][0] <= until:
            entry = heappop(heap)
            self.now, number, callback, there, life = entry
            if number in cancelled:
                cancelled.discard(number)
            elif there is None:
                callback()
            elif there.life == life and there.alive:
                if there.frozen:
                    there.hold(entry)
                else:
                    callback()

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self._times.append(self.now)
        self._words.append(what)
        if self.tell is not None:
            self.tell(f"{self.now:12.6f} {what}")

    def heard(self, source: str, target: str, message: object) -> None:
        """Add an arrival to the trace; whoever watches sees what is in the message, too."""
        self._times.append(self.now)
        self._words += (source, target, message.__class__.__name__)
        if self.tell is not None:
            self.tell(f"{self.now:12.6f} {source} -> {target} {said(message)}")

    @property
    def trace_hash(self) -> str:
        """Sum the trace up: equal for equal runs."""
        trace = blake2b("\n".join(self._words).encode(), digest_size=8)
        trace.update(self._times.tobytes())
        return trace.hexdigest()


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
    woke: Callable[[float], None] | None = None
    """Told how long this host stood still, before anything else runs when it thaws."""
    die: Callable[[], None] = field(default=lambda: None)
    """Ends the process that runs here."""
    _deeds_left: int = 0
    _held: list[Entry] = field(default_factory=list)
    _froze_at: float = 0.0

    def now(self) -> float:
        """Read this host's clock."""
        return self.offset_s + self.world.now * self.rate

    def wall_ms(self) -> int:
        """Read this host's idea of the date: nearly everybody's, as machines that keep time are."""
        skew_s = self.offset_s % (2 * WALL_SKEW_S) - WALL_SKEW_S
        return FIRST_DAY_MS + int((self.world.now + skew_s) * 1000)

    def call_at(self, when: float, callback: Callable[[], None]) -> Waiting:
        """Run a callback at a time of this host's clock, if it then still lives."""
        world, at = self.world, (when - self.offset_s) / self.rate
        world.count = number = world.count + 1  # As ``World.at`` does: half of what happens is asked for here.
        heappush(world.heap, (at if at > world.now else world.now, number, callback, self, self.life))
        return Waiting(number, world.cancelled)

    def after(self, delay_s: float, callback: Callable[[], None], life: int | None = None) -> None:
        """Run a callback after a while of the one true time, in the present life or the one that is named."""
        self.world.at(self.world.now + delay_s, callback, self, self.life if life is None else life)

    def later(self, callback: Callable[[], None]) -> None:
        """Run a callback at the next turn."""
        self.after(0.0, callback)

    def soon(self, step: Callable[[], bool]) -> None:
        """Call a step once per turn until it returns False."""

        def turn() -> None:
            if step():
                self.after(STEP_S, turn)

        self.after(STEP_S, turn)

    def run(self, callback: Callable[[], None]) -> None:
        """Run a callback now, in the present life; when this host is frozen, as soon as it thaws."""
        if self.frozen:
            self.hold((self.world.now, 0, callback, self, self.life))
        elif self.alive:
            with suppress(ProcessDiedError):  # Whoever called on it lives on.
                callback()

    def guard(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Bind a callback to the present life: it never runs in another, and waits while the host is frozen."""
        life = self.life

        def guarded() -> None:
            if life == self.life:
                self.run(callback)

        return guarded

    def hold(self, entry: Entry) -> None:
        """Keep what came while this host is frozen."""
        self._held.append(entry)

    def doom(self, deeds: int) -> None:
        """Let the process die before the ``deeds``-th thing that it asks of the world from now on; 0: let it live."""
        self._deeds_left = deeds

    def deed(self) -> None:
        """Count something that the process is about to ask of the world.

        Raises:
            ProcessDiedError: it died instead, in the middle of a turn.
        """
        if self._deeds_left:
            self._deeds_left -= 1
            if not self._deeds_left:
                self.die()
                raise ProcessDiedError

    def crash(self) -> None:
        """End this life; nothing of it runs any more, no ``finally`` either."""
        self.life += 1
        self.alive = self.frozen = False
        self.woke, self._deeds_left = None, 0
        self._held.clear()
        self.world.note(f"{self.name} crashes")

    def start(self) -> None:
        """Begin a new life, with what the disk kept."""
        self.life += 1
        self.alive, self.frozen = True, False
        self.world.note(f"{self.name} starts")

    def freeze(self) -> None:
        """Stop running, silently."""
        self.frozen, self._froze_at = True, self.now()
        self.world.note(f"{self.name} freezes")

    def thaw(self) -> None:
        """Go on with everything that waited, in order, all at once."""
        self.frozen = False
        self.world.note(f"{self.name} thaws")
        held, self._held = self._held, []
        cancelled = self.world.cancelled
        if self.woke is not None:
            self.woke(self.now() - self._froze_at)
        for _, number, callback, _, life in held:
            if number in cancelled:
                cancelled.discard(number)
            elif life == self.life and self.alive:
                self.run(callback)


def host(world: World, name: str, *, drift_ratio: float) -> Host:
    """Make a host whose clock starts anywhere and drifts by at most ``drift_ratio``."""
    return Host(
        world,
        name,
        offset_s=world.chance.uniform(100.0, 100_000.0),
        rate=1.0 + world.chance.uniform(-drift_ratio, drift_ratio),
    )
