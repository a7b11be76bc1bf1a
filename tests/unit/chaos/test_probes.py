"""Every shard has a probe tenant; gaps and coverage are summed up as the verdict needs them."""

import pytest

from chaos.figures import percentile, spread
from chaos.probes import PROBE_DEADLINE_S, Gap, Sampling, gaps, longest_gap_s, probe_tenants
from core.names import ShardId
from core.sharding import home_shard
from regions.io.load import load

TOPOLOGY = load("reference")


def test_every_shard_has_a_probe_tenant_that_hashes_to_it() -> None:
    tenants = probe_tenants(TOPOLOGY)
    assert set(tenants) == set(range(TOPOLOGY.shards))
    assert all(home_shard(tenant, TOPOLOGY.geography(tenant.geography)) == shard for shard, tenant in tenants.items())


def test_a_shard_that_stays_unwritable_counts_with_the_deadline() -> None:
    found = gaps(3, [Gap(ShardId(1), 0.01, 1.2), Gap(ShardId(2), 0.01, None), Gap(ShardId(3), 0.01, 1.0)])
    assert found.coverage == 1.0
    assert max(found.seconds) == PROBE_DEADLINE_S


def test_a_probe_that_began_late_does_not_cover_its_shard() -> None:
    found = gaps(4, [Gap(ShardId(1), 0.01, 1.2), Gap(ShardId(2), 3.0, 3.1)])
    assert (found.covered, found.coverage, found.seconds) == (1, 0.25, (1.2,))


def test_two_sampled_shards_are_written_at_a_time_each_once() -> None:
    sampling = Sampling(frozenset(map(ShardId, (1, 2, 3))))
    assert [sampling.starts(ShardId(shard)) for shard in (1, 9, 2, 3)] == [True, False, True, False]
    assert sampling.ends(ShardId(1))
    assert not sampling.ends(ShardId(1))
    assert [sampling.starts(ShardId(shard)) for shard in (1, 3)] == [False, True]


def test_the_longest_gap_is_between_neighbours() -> None:
    assert longest_gap_s([3.0, 1.0, 1.5]) == 1.5
    assert longest_gap_s([1.0]) == 0.0


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0.0), ([1], 0.99, 1), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.99, 99), ([5, 1], 1.0, 5)],
)
def test_percentiles_are_values_that_occurred(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_a_spread_of_nothing_is_zero() -> None:
    assert spread([]).document() == {"p50": 0.0, "p99": 0.0, "max": 0.0}
