"""Many schedules, one after the other on every core, until they are all done, the time is up, or enough have failed."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from chaos.io.child import Fields
from chaos.sim.jobs import Input, spread
from chaos.sim.run import SimResult
from chaos.sim.tasks import JUDGE_SEED, heard

TELL_S = 5.0
"""Between two reports of progress."""


@dataclass(slots=True)
class Tally:
    """What has come of a campaign so far."""

    first_seed: int
    last_seed: int
    schedules: int = 0
    """That kept every law."""
    operations: int = 0
    """Acknowledged ones, of those schedules."""
    operations_min: int = 0
    simulated_s: float = 0.0
    took_s: float = 0.0
    failed: list[SimResult] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    """How often each path that matters was taken, by the mark's name."""

    @property
    def per_minute(self) -> float:
        """Say how many schedules a minute of real time does."""
        return (self.schedules + len(self.failed)) / max(self.took_s, 1e-9) * 60.0

    def count(self, result: SimResult) -> None:
        """Take a result in."""
        self.marks.update(result.marks)
        if result.broken:
            self.failed.append(result)
            return
        self.schedules += 1
        self.operations += result.acknowledged
        self.operations_min = min(self.operations_min or result.acknowledged, result.acknowledged)
        self.simulated_s += result.simulated_s


@dataclass(frozen=True, slots=True)
class Limits:
    """When a campaign ends."""

    last_seed: int | None
    for_s: float | None
    failures: int


async def campaign(
    first_seed: int,
    limits: Limits,
    *,
    jobs: int,
    tell: Callable[[Tally], None],
    broke: Callable[[SimResult], None],
) -> Tally:
    """Run schedules from a seed on.

    Args:
        first_seed: where to begin.
        limits: when to end.
        jobs: how many processes.
        tell: is told how far it is, every few seconds.
        broke: is told every schedule that broke a law, at once.

    Raises:
        UnavailableError: a worker process ended by itself.
    """
    begun = time.monotonic()
    tally = Tally(first_seed, first_seed - 1)
    next_tell = begun + TELL_S

    def seeds() -> Iterator[dict[str, object]]:
        while not _over(tally, limits, time.monotonic() - begun):
            tally.last_seed += 1
            yield {"seed": tally.last_seed}

    def take(_: Input, fields: Fields) -> None:
        nonlocal next_tell
        result = heard(fields)
        tally.count(result)
        if result.broken:
            broke(result)
        now = time.monotonic()
        tally.took_s = now - begun
        if now >= next_tell:
            next_tell = now + TELL_S
            tell(tally)

    await spread(JUDGE_SEED, seeds(), take, jobs=jobs)
    tally.failed.sort(key=lambda result: result.seed)
    return tally


def _over(tally: Tally, limits: Limits, spent_s: float) -> bool:
    if limits.last_seed is not None and tally.last_seed >= limits.last_seed:
        return True
    return (limits.for_s is not None and spent_s >= limits.for_s) or len(tally.failed) >= limits.failures
