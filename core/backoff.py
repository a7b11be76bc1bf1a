"""Pauses between attempts that fail: longer each time, and spread, so that a crowd does not return as one."""

from dataclasses import dataclass, field

from core.ports import Rng

SHORTEST_SHARE = 0.25
"""A pause is drawn between this share of the present bound and the whole of it."""


@dataclass(slots=True)
class Backoff:
    """Exponential backoff with jitter for one target; ``reset`` when it has answered.

    Whoever dials something that is gone at a steady pace costs its own machine most when others need it: right after
    the loss. Measured: a fleet of 32 nodes whose five control planes were dead spent five times what it does idle.

    Args:
        first_s: bound of the first pause.
        longest_s: bound of every later one.
        chance: jitter.
    """

    first_s: float
    longest_s: float
    chance: Rng
    _bound_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the first pause."""
        self._bound_s = self.first_s

    def next_s(self) -> float:
        """Draw the next pause, in seconds."""
        bound = self._bound_s
        self._bound_s = min(self.longest_s, 2 * bound)
        return bound * (SHORTEST_SHARE + (1 - SHORTEST_SHARE) * self.chance.random())

    def reset(self) -> None:
        """Begin anew: the target has answered."""
        self._bound_s = self.first_s
