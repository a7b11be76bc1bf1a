"""How heavy each shard is: millions of tenants as seeded weights, without a line of data about any of them.

Companies' use is log-normal with a Pareto tail: most are small, a few are as heavy as thousands of others. A shard's
weight is the sum over the tenants that hash to it.
"""

import numpy as np

SIGMA = 1.3
"""Of the log-normal body; fits seat counts of published SaaS customer bases."""
TAIL_SHARE = 0.01
"""How many tenants come from the tail instead of the body."""
TAIL_ALPHA = 1.8
"""Of the Pareto tail: below 2 the variance is set by the largest companies, as in life."""
TAIL_FROM = 10.0
"""Where the tail begins, in medians of the body."""
HEAVIEST = 20_000.0
"""No company is heavier than this, in medians of the body: one tenant must fit on a node."""
MEDIAN_CORES = 2e-6
"""What the median tenant costs its primary."""


def shard_weights(*, tenants: int, shards: int, seed: int) -> tuple[float, ...]:
    """Weigh the shards of one geography.

    Args:
        tenants: how many companies live there.
        shards: how many shards they hash to; positive.
        seed: the same seed gives the same weights, on every machine.

    Returns:
        One weight per shard, in cores of its primary.
    """
    rng = np.random.default_rng(seed)
    tail = rng.binomial(tenants, TAIL_SHARE)
    body = rng.lognormal(0.0, SIGMA, tenants - tail)
    heavy = np.minimum(TAIL_FROM * (1.0 + rng.pareto(TAIL_ALPHA, tail)), HEAVIEST)
    weights = np.concatenate((body, heavy))
    home = rng.integers(0, shards, tenants)
    return tuple((np.bincount(home, weights, minlength=shards) * MEDIAN_CORES).tolist())
