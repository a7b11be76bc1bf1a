"""The load's schedule is repeatable, open-loop, at its rates, and its texts are unique."""

from collections import Counter
from itertools import islice
from random import Random

from chaos.load import Intended, channels_of, schedule, tenants_in_use
from chaos.scenario import Load
from regions.io.load import load

TOPOLOGY = load("reference")
LOAD = Load(tenants=200, writes_per_s=300, reads_per_s=600, steady_s=10)
TENANTS = tenants_in_use(TOPOLOGY, count=LOAD.tenants)


def first(count: int, seed: int) -> list[Intended]:
    return list(islice(schedule(LOAD, TENANTS, Random(seed)), count))


def test_every_geography_is_in_use_in_proportion_to_its_shards() -> None:
    used = Counter(tenant.geography for tenant in TENANTS)
    for geography in TOPOLOGY.geographies:
        assert abs(used[geography.id] - 200 * geography.shards / TOPOLOGY.shards) <= 1


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert first(500, seed=1) == first(500, seed=1)
    assert first(500, seed=1) != first(500, seed=2)


def test_the_rates_are_as_asked() -> None:
    operations = first(9_000, seed=3)
    assert 9.5 < operations[-1].at_s < 10.5
    assert 0.30 < sum(operation.limit == 0 for operation in operations) / 9_000 < 0.37


def test_operations_come_in_time_order_and_texts_are_unique() -> None:
    operations = first(5_000, seed=4)
    assert [o.at_s for o in operations] == sorted(o.at_s for o in operations)
    texts = [o.text for o in operations if o.text]
    assert len(texts) == len(set(texts))


def test_only_channels_that_are_audited_are_written() -> None:
    audited = {(str(tenant), channel) for tenant, channel in channels_of(TENANTS)}
    assert {(o.tenant, o.channel) for o in first(5_000, seed=5)} <= audited


def test_no_tenant_takes_more_than_a_tenth() -> None:
    busiest = Counter(o.tenant for o in first(5_000, seed=6)).most_common(1)[0][1]
    assert busiest < 500
