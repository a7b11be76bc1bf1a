"""Percentiles, the same way everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """Find the smallest value that at least this share of all does not exceed; 0.0 when there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is distributed."""

    count: int
    p50: float
    p99: float
    max: float

    def document(self) -> dict[str, float]:
        """Write it for JSON."""
        return {"p50": round(self.p50, 4), "p99": round(self.p99, 4), "max": round(self.max, 4)}


def spread(values: Sequence[float]) -> Spread:
    """Summarise values; all zero when there is none."""
    return Spread(len(values), percentile(values, 0.5), percentile(values, 0.99), max(values, default=0.0))
