"""What a mutant is: a rule of production code broken in one place, the law that this must break, and a budget."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from chaos.fleet_laws import AnyLaw, Breach
from chaos.schedule import Schedule
from nodes.pair_rules import Rules


@dataclass(frozen=True, slots=True)
class Swap:
    """One function, method or value of a production module or class, and what stands in its place meanwhile."""

    owner: object
    name: str
    new: object


@dataclass(frozen=True, slots=True)
class Script:
    """Schedules that are data, so that one that kills can be shrunk."""

    schedule_at: Callable[[int], Schedule]
    play: Callable[[Schedule, Rules], Breach | None]


@dataclass(frozen=True, slots=True)
class Stage:
    """A world in which schedules are played; the number of one decides everything that happens in it."""

    name: str
    play: Callable[[int, Rules], Breach | None]
    """Plays one schedule under these rules; returns the first law that it broke."""
    script: Script | None = None
    """None: what fails is decided while it happens."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken rule. ``swaps`` and ``rules`` are two ways of breaking one: most are a method of ``Rules``."""

    name: str
    does: str
    """What it does wrong, in one line."""
    law: AnyLaw
    """What it is expected to break, first of all laws."""
    stage: Stage
    budget: int
    """Schedules within which it must be killed."""
    rules: Callable[[], Rules] = Rules
    swaps: tuple[Swap, ...] = ()

    @contextmanager
    def active(self) -> Iterator[Rules]:
        """Break the rule for a while; gives the rules to play by."""
        with ExitStack() as swapped:
            for swap in self.swaps:
                swapped.enter_context(in_place(swap))
            yield self.rules()


@contextmanager
def in_place(swap: Swap) -> Iterator[None]:
    """Put something in the place of production code, and put that back."""
    before = vars(swap.owner)[swap.name]
    setattr(swap.owner, swap.name, swap.new)
    try:
        yield
    finally:
        setattr(swap.owner, swap.name, before)
