"""How heavy each shard is: millions of tenants as seeded weights, without a line of data about any of them.

Companies' use is log-normal with a Pareto tail: most are small, a few are as heavy as thousands of others. A shard's
weight is the sum over the tenants that hash to it. The tail is drawn company by company; of the body only the sum
matters, and a sum of thousands is normal (central limit), so it is drawn at once.
"""

from collections.abc import Iterator
from math import cos, exp, expm1, log, pi, sqrt
from struct import pack

from xxhash import xxh3_64_intdigest

SIGMA = 1.3
"""Of the log-normal body; fits seat counts of published SaaS customer bases."""
TAIL_RATIO = 0.01
"""How many tenants come from the tail instead of the body."""
TAIL_ALPHA = 1.8
"""Of the Pareto tail: below 2 the variance is set by the largest companies, as in life."""
TAIL_FROM = 10.0
"""Where the tail begins, in medians of the body."""
HEAVIEST = 20_000.0
"""No company is heavier than this, in medians of the body: one tenant must fit on a node."""
MEDIAN_CORES = 2e-6
"""What the median tenant costs its primary."""

BODY_MEAN = exp(SIGMA**2 / 2)
BODY_DEVIATION = BODY_MEAN * sqrt(expm1(SIGMA**2))


def shard_weights(*, tenants: int, shards: int, seed: int) -> tuple[float, ...]:
    """Weigh the shards of one geography.

    Args:
        tenants: how many companies live there.
        shards: how many shards they hash to; positive.
        seed: the same seed gives the same weights, on every machine.

    Returns:
        One weight per shard, in cores of its primary; positive.
    """
    return tuple(_weight(tenants / shards, _chances(seed, shard)) for shard in range(shards))


def _weight(tenants: float, chances: Iterator[float]) -> float:
    """Add up a shard's tenants, of whom there are so many on average."""
    heavy = round(_spread(tenants * TAIL_RATIO, sqrt(tenants * TAIL_RATIO), chances))
    light = _spread(tenants * (1 - TAIL_RATIO), sqrt(tenants), chances)
    body = _spread(light * BODY_MEAN, sqrt(light) * BODY_DEVIATION, chances)
    tail = sum(min(HEAVIEST, TAIL_FROM * exp(-log(next(chances)) / TAIL_ALPHA)) for _ in range(heavy))
    return (1.0 + body + tail) * MEDIAN_CORES


def _spread(mean: float, deviation: float, chances: Iterator[float]) -> float:
    """Draw from a normal distribution, nothing below 0 (Box and Muller)."""
    return max(0.0, mean + deviation * sqrt(-2 * log(next(chances))) * cos(2 * pi * next(chances)))


def _chances(seed: int, shard: int) -> Iterator[float]:
    """Yield numbers in (0, 1]: hashes of a counter, the same on every machine."""
    count = 0
    while True:
        yield (xxh3_64_intdigest(pack("<QQQ", seed, shard, count)) + 1) / 2**64
        count += 1
