"""Seeded weights: repeatable, and spread as companies are."""

from statistics import mean

import pytest

from regions.weights import BODY_MEAN, MEDIAN_CORES, TAIL_ALPHA, TAIL_FROM, TAIL_RATIO, shard_weights


def test_a_seed_gives_the_same_weights_again() -> None:
    assert shard_weights(tenants=5000, shards=8, seed=3) == shard_weights(tenants=5000, shards=8, seed=3)
    assert shard_weights(tenants=5000, shards=8, seed=3) != shard_weights(tenants=5000, shards=8, seed=4)


def test_the_mean_is_that_of_the_distribution() -> None:
    weights = shard_weights(tenants=1_000_000, shards=200, seed=1)
    tenant = (1 - TAIL_RATIO) * BODY_MEAN + TAIL_RATIO * TAIL_FROM * TAIL_ALPHA / (TAIL_ALPHA - 1)
    assert mean(weights) == pytest.approx(5000 * tenant * MEDIAN_CORES, rel=0.02)


def test_a_shard_without_tenants_still_weighs_something() -> None:
    assert min(shard_weights(tenants=1, shards=50, seed=1)) > 0
