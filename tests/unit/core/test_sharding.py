"""A tenant's shard: fixed for life, inside its geography, evenly spread, the same on every host and in any language."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from core.names import DcId, GeographyId, ShardId, TenantName
from core.sharding import home_shard, rendezvous_score, shard_of
from core.topology import Geography

SLUGS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
GEOGRAPHIES = st.builds(
    lambda first, shards: Geography(GeographyId("eu"), first, shards, (DcId("fra1"),)),
    st.integers(0, 100_000),
    st.integers(1, 4096),
)


@given(SLUGS, GEOGRAPHIES)
def test_a_tenant_lives_inside_its_geography_and_nothing_but_its_slug_decides_where(
    slug: str, geography: Geography
) -> None:
    tenant = TenantName(geography.id, slug)
    home = home_shard(tenant, geography)
    assert geography.first_shard <= home < geography.first_shard + geography.shards
    moved = Geography(geography.id, 0, geography.shards, (DcId("ams1"), DcId("waw1")))
    assert home_shard(tenant, moved) == home - geography.first_shard


@given(SLUGS, GEOGRAPHIES, st.integers(0, 100_000))
def test_an_override_wins_for_its_tenant_alone(slug: str, geography: Geography, elsewhere: int) -> None:
    tenant, other = TenantName(geography.id, slug), TenantName(geography.id, f"{slug}0")
    overrides = {tenant: ShardId(elsewhere)}
    assert shard_of(tenant, geography, overrides) == elsewhere
    assert shard_of(other, geography, overrides) == home_shard(other, geography)


def test_a_home_is_fixed_for_life() -> None:
    """XXH3, 64 bits, seed 0: clients in other languages compute the same, and data lies where this says."""
    geography = Geography(GeographyId("eu"), 0, 1 << 64, (DcId("fra1"),))
    assert home_shard(TenantName(geography.id, "acme-corp"), geography) == 0x6216_850F_634B_009F


def test_names_that_resemble_each_other_spread_evenly() -> None:
    geography = Geography(GeographyId("eu"), 0, 64, (DcId("fra1"),))
    held = Counter(home_shard(TenantName(geography.id, f"tenant-{n}"), geography) for n in range(64_000))
    assert len(held) == 64
    # 1,000 each; the standard deviation is 31.4: five of them.
    assert max(held.values()) - 1_000 < 157
    assert 1_000 - min(held.values()) < 157


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=8, unique=True), st.data())
def test_losing_a_candidate_changes_the_choice_of_none_but_its_own_keys(
    key: str, candidates: list[str], data: st.DataObject
) -> None:
    def chosen(left: list[str]) -> str:
        return max(left, key=lambda candidate: rendezvous_score(key, candidate))

    gone = data.draw(st.sampled_from(candidates))
    before, after = chosen(candidates), chosen([c for c in candidates if c != gone])
    assert after == before or before == gone
