"""The assignment store's tables in Cassandra, and what a keyspace must be like before anything is written to it.

A partition is (geography, segment of 64 shards); a row is a shard, or, at shard -1, a doc. All that one conditional
write may span thus lies in one partition, with its ``term`` beside it. The fleet's own partition holds besides whose
store it is, its incarnation, and an adoption that has been begun. Every write is conditional, so that its timestamp is
Paxos' own; a plain one, or a TTL, could take back what a majority has decided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.names import DcId

SCHEMA_VERSION = 1
SITES_MIN = 3
NO_SHARD = -1
"""Where a partition's docs stand."""
RECORD_COLUMNS = (
    "shard, name, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason,"
    " version, body, digest"
)
FLEET_COLUMNS = "fleet, store_incarnation, schema_version, raised_by, adopting, adopting_parts"
TABLES: Mapping[str, str] = {
    "records": """(
  geography text, segment int, shard int, name text,
  term bigint static, raised_by text static,
  fleet text static, store_incarnation bigint static, schema_version int static,
  adopting text static, adopting_parts int static,
  kind text, incarnation bigint, epoch bigint,
  primary_node text, primary_copy text, standby_node text, standby_copy text, reason text,
  version bigint, body blob, digest text,
  PRIMARY KEY ((geography, segment), shard, name)
) WITH default_time_to_live = 0""",
    "events": """(
  slot int, place int, lap bigint static, last bigint static, term bigint static,
  number bigint, body blob,
  PRIMARY KEY (slot, place)
) WITH default_time_to_live = 0""",
    "adoptions": """(
  adoption text, part int, body blob,
  PRIMARY KEY ((adoption, part))
) WITH default_time_to_live = 0""",
}


@dataclass(frozen=True, slots=True)
class Keyspace:
    """What a cluster says of a keyspace."""

    name: str
    strategy: str
    """The last part of its class."""
    copies: Mapping[str, int]
    """The replication factor of each of Cassandra's data centers."""
    lives_s: Mapping[str, int]
    """The TTL of each table that is there, in seconds; 0: none."""


@dataclass(frozen=True, slots=True)
class Home:
    """What the store says of itself."""

    fleet: str
    schema_version: int


def create_keyspace(name: str, sites: Mapping[str, DcId], copies: int) -> str:
    """Write the statement that makes the keyspace: as many copies in each site."""
    factors = ", ".join(f"'{dc}': {copies}" for dc in sorted(sites))
    return (
        f"CREATE KEYSPACE IF NOT EXISTS {name}"
        f" WITH replication = {{'class': 'NetworkTopologyStrategy', {factors}}} AND durable_writes = true"
    )


def create_tables(keyspace: str) -> Iterator[str]:
    """Write the statements that make what is not there yet."""
    for table, definition in TABLES.items():
        yield f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} {definition}"


def wrong_sites(sites: Mapping[str, DcId], known: Mapping[str, int], fleet: frozenset[DcId]) -> str:
    """Say what speaks against these sites; empty: nothing.

    Args:
        sites: where each of Cassandra's data centers stands, as configured.
        known: how many nodes each of Cassandra's data centers has, as the cluster says.
        fleet: the fleet's data centers.
    """
    for name, dc in sites.items():
        if name not in known:
            return f"store.sites names {name}, and Cassandra has {', '.join(sorted(known))}"
        if dc not in fleet:
            return f"store.sites puts {name} in {dc}, which is no data center of this fleet"
    if len(set(sites.values())) < SITES_MIN:
        return f"store.sites names {len(set(sites.values()))} data centers of the fleet: {SITES_MIN} must vote"
    return ""


def wrong_keyspace(keyspace: Keyspace, sites: Mapping[str, DcId]) -> str:
    """Say what speaks against writing to this keyspace; empty: nothing.

    Any one site may be lost, or cut off, without taking a majority of the copies with it (C1).
    """
    if keyspace.strategy != "NetworkTopologyStrategy":
        return f"keyspace {keyspace.name} has {keyspace.strategy}: NetworkTopologyStrategy says which sites vote"
    unplaced = sorted(keyspace.copies.keys() - sites.keys())
    if unplaced:
        return (
            f"keyspace {keyspace.name} has copies in {unplaced[0]}, of which store.sites does not say where it stands"
        )
    votes: dict[DcId, int] = {}
    for name, copies in keyspace.copies.items():
        votes[sites[name]] = votes.get(sites[name], 0) + copies
    voting = {site: copies for site, copies in votes.items() if copies > 0}
    if len(voting) < SITES_MIN:
        shown = ", ".join(f"{site} {copies}" for site, copies in sorted(voting.items()))
        return f"keyspace {keyspace.name} has copies in {len(voting)} sites ({shown}): {SITES_MIN} must vote"
    total = sum(voting.values())
    heaviest = max(voting, key=lambda site: voting[site])
    if total - voting[heaviest] < total // 2 + 1:
        return (
            f"keyspace {keyspace.name} has {voting[heaviest]} of {total} copies in {heaviest}: its loss would stop all"
        )
    return _wrong_tables(keyspace)


def wrong_home(home: Home, fleet: str) -> str:
    """Say what speaks against this store's being ours; empty: nothing."""
    if home.fleet != fleet:
        return f"the store belongs to fleet {home.fleet}, not to {fleet}: check store.keyspace"
    if home.schema_version > SCHEMA_VERSION:
        return (
            f"the store's schema has version {home.schema_version}, and this twinhold knows {SCHEMA_VERSION}:"
            " install the newer one"
        )
    return ""


def _wrong_tables(keyspace: Keyspace) -> str:
    for table in TABLES:
        if table not in keyspace.lives_s:
            return f"keyspace {keyspace.name} has no table {table}: twinhold store init"
        if keyspace.lives_s[table]:
            return (
                f"table {keyspace.name}.{table} has a TTL of {keyspace.lives_s[table]} s, and would forget what was"
                f" decided: ALTER TABLE {keyspace.name}.{table} WITH default_time_to_live = 0"
            )
    return ""
