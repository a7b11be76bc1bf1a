"""From a tenant to its shard: ``first_shard(geography) + xxh3(slug) mod shards(geography)``, fixed for life.

A small override table holds the exceptions (pinned, isolated because hot, migrated).
"""

from collections.abc import Mapping

from xxhash import xxh3_64_intdigest

from core.names import ShardId, TenantName
from core.topology import Geography


def home_shard(tenant: TenantName, geography: Geography) -> ShardId:
    """Hash a tenant to the shard it is born in."""
    return ShardId(geography.first_shard + xxh3_64_intdigest(tenant.slug.encode()) % geography.shards)


def shard_of(tenant: TenantName, geography: Geography, overrides: Mapping[TenantName, ShardId]) -> ShardId:
    """Find the shard that serves a tenant now: the override, else the hash."""
    override = overrides.get(tenant)
    return override if override is not None else home_shard(tenant, geography)


def rendezvous_score(key: str, candidate: str) -> int:
    """Score a candidate for a key (highest random weight hashing); every host computes the same."""
    return xxh3_64_intdigest(f"{key}\0{candidate}".encode())
