"""The tables of an archive in Cassandra: a keyspace per geography, which stands in no data center outside of it."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from core.errors import MalformedError
from core.names import DcId, GeographyId
from core.topology import Topology

CHUNK_BYTES = 256 * 1024
BUCKET_CHUNKS = 16
"""So many chunks of a piece stand in one partition."""
COPIES_MAX = 3
"""In each data center of Cassandra's, where it has as many nodes."""
KEYSPACE_LENGTH_MAX = 48
"""What Cassandra takes."""
LIST, INSERT_PIECE, INSERT_CHUNK, READ_BUCKET = "list", "insert_piece", "insert_chunk", "read_bucket"
_TABLES = {
    "archive_pieces": "shard int, last_lsn bigint, name text, head blob, PRIMARY KEY (shard, last_lsn, name)",
    "archive_chunks": (
        "shard int, name text, bucket int, part int, slice int, body blob,"
        " PRIMARY KEY ((shard, name, bucket), part, slice)"
    ),
}


class Chunk(NamedTuple):
    """A row of what a piece holds."""

    bucket: int
    part: int
    slice: int
    body: bytes


def keyspace_of(keyspace: str, geography: GeographyId) -> str:
    """Name the keyspace of a geography's archive; raises MalformedError when the store's own name is too long."""
    name = f"{keyspace}_archive_{geography.replace('-', '_')}"
    if len(name) > KEYSPACE_LENGTH_MAX:
        spare = KEYSPACE_LENGTH_MAX - (len(name) - len(keyspace))
        raise MalformedError("store.keyspace", keyspace, expected=f"at most {spare} characters, with an archive")
    return name


def sites_of(sites: Mapping[str, DcId], topology: Topology, geography: GeographyId) -> dict[str, DcId]:
    """Pick Cassandra's data centers that stand in a geography: a tenant's data leaves it for no other."""
    return {name: dc for name, dc in sites.items() if topology.data_center(dc).geography == geography}


def schema(keyspace: str, copies: Mapping[str, int]) -> list[str]:
    """Write the statements that make keyspace and tables; ``copies`` by Cassandra's data center.

    The tables' ids follow from their names: nodes that create them at the same time create the same ones.
    """
    replication = ", ".join(f"'{name}': {min(COPIES_MAX, count)}" for name, count in sorted(copies.items()))
    made = [
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', {replication}}}"
    ]
    made += [
        f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} ({columns}) WITH id = {_table_id(keyspace, table)}"
        for table, columns in _TABLES.items()
    ]
    return made


def statements(keyspace: str) -> Mapping[str, str]:
    """Write what is prepared, by name."""
    pieces, chunks = (f"{keyspace}.{table}" for table in _TABLES)
    return {
        LIST: f"SELECT last_lsn, name, head FROM {pieces} WHERE shard = ? AND (last_lsn, name) > (?, ?) LIMIT 1000",
        INSERT_PIECE: f"INSERT INTO {pieces} (shard, last_lsn, name, head) VALUES (?, ?, ?, ?)",
        INSERT_CHUNK: f"INSERT INTO {chunks} (shard, name, bucket, part, slice, body) VALUES (?, ?, ?, ?, ?, ?)",
        READ_BUCKET: f"SELECT part, body FROM {chunks} WHERE shard = ? AND name = ? AND bucket = ?",
    }


def chunks_of(parts: Sequence[bytes]) -> Iterator[Chunk]:
    """Cut what a piece holds into rows."""
    count = 0
    for number, part in enumerate(parts):
        for place, start in enumerate(range(0, max(1, len(part)), CHUNK_BYTES)):
            yield Chunk(count // BUCKET_CHUNKS, number, place, part[start : start + CHUNK_BYTES])
            count += 1


def joined(rows: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """Put rows (part, body), in order, together again."""
    parts = list[list[bytes]]()
    for number, body in rows:
        if number >= len(parts):
            parts.append([])
        parts[-1].append(body)
    return [b"".join(part) for part in parts]


def _table_id(keyspace: str, table: str) -> str:
    hashed = blake2b(f"{keyspace}.{table}".encode(), digest_size=16).hexdigest()
    return "-".join((hashed[:8], hashed[8:12], f"4{hashed[13:16]}", f"8{hashed[17:20]}", hashed[20:]))
