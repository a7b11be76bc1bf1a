"""Partitions as Cassandra holds them: the statements, their values, and what their answers say."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from control_plane.cassandra_plan import FleetState, Held, Item
from control_plane.cassandra_schema import FLEET_COLUMNS, NO_SHARD, RECORD_COLUMNS
from control_plane.io.store_rows import assignment, doc, doc_values, values
from control_plane.ports import Doc, Partition
from core.assignments import Assignment
from core.io.cassandra_session import Record
from core.names import ShardId

Values: TypeAlias = tuple[object, ...]
READ, RECORD, DOC, TERM = "read", "record", "doc", "term"
RAISE, ADOPTING, ADOPTED = "raise", "adopting", "adopted"
PUT_PART, READ_PART = "put part", "read part"
_IN = "WHERE geography = ? AND segment = ?"


def statements(keyspace: str) -> Mapping[str, str]:
    """Write every statement on records, by name; all but the reads are conditional."""
    records, adoptions = f"{keyspace}.records", f"{keyspace}.adoptions"
    return {
        READ: f"SELECT term, {FLEET_COLUMNS}, {RECORD_COLUMNS} FROM {records} {_IN}",
        RECORD: (
            f"UPDATE {records} SET kind = ?, incarnation = ?, epoch = ?, primary_node = ?, primary_copy = ?,"
            f" standby_node = ?, standby_copy = ?, reason = ?, digest = ? {_IN} AND shard = ? AND name = ''"
            " IF incarnation = ? AND epoch = ? AND digest = ?"
        ),
        DOC: (
            f"UPDATE {records} SET version = ?, body = ?, digest = ? {_IN} AND shard = {NO_SHARD} AND name = ?"
            " IF version = ? AND digest = ?"
        ),
        TERM: f"UPDATE {records} SET term = ? {_IN} IF term = ?",
        RAISE: f"UPDATE {records} SET term = ?, raised_by = ? {_IN} IF term = ?",
        ADOPTING: (
            f"UPDATE {records} SET term = ?, adopting = ?, adopting_parts = ? {_IN}"
            " IF term = ? AND store_incarnation = ? AND adopting = ?"
        ),
        ADOPTED: (
            f"UPDATE {records} SET term = ?, store_incarnation = ?, adopting = ? {_IN}"
            " IF term = ? AND store_incarnation = ? AND adopting = ?"
        ),
        PUT_PART: f"INSERT INTO {adoptions} (adoption, part, body) VALUES (?, ?, ?) IF NOT EXISTS",
        READ_PART: f"SELECT body FROM {adoptions} WHERE adoption = ? AND part = ?",
    }


SERIAL_READS = (READ, READ_PART)


def key(partition: Partition) -> Values:
    """Write a partition's key."""
    return (partition.geography or "", partition.segment)


def held(rows: Sequence[Record]) -> Held:
    """Read a partition.

    Raises:
        UnavailableError: a record is not what was written.
    """
    if not rows:
        return Held()
    term, fleet, incarnation, schema, raised_by, adopting, parts = rows[0][:7]
    own = FleetState(fleet or "", incarnation or 0, schema or 0, raised_by or "", adopting or "", parts or 0)
    records: dict[ShardId, Assignment] = {}
    docs: dict[str, Doc] = {}
    for row in rows:
        shard, name, *told, version, body, digest = row[7:]
        if shard is None:
            continue  # The partition has nothing but what stands beside its rows.
        if shard == NO_SHARD:
            docs[name] = doc((name, version, body, digest))
        else:
            records[ShardId(shard)] = assignment((shard, *told, digest))
    return Held(term or 0, records, docs, own)


def conditional(partition: Partition, item: Item, base: Held) -> tuple[str, Values]:
    """Write one item with its condition: the base that it was judged by."""
    if isinstance(item, Doc):
        return doc_put(partition, item, base.docs.get(item.key))
    return record_put(partition, item.new, base.records.get(item.new.shard))


def record_put(partition: Partition, new: Assignment, base: Assignment | None) -> tuple[str, Values]:
    """Write one record in the place of exactly ``base``; None: where there is none."""
    was = (None, None, None) if base is None else (base.incarnation, base.epoch, values(base)[-1])
    _, *told = values(new)
    return RECORD, (*told, *key(partition), new.shard, *was)


def doc_put(partition: Partition, new: Doc, base: Doc | None) -> tuple[str, Values]:
    """Write one doc in the place of exactly ``base``."""
    was = (None, None) if base is None else (base.version, doc_values(base)[-1])
    name, *told = doc_values(new)
    return DOC, (*told, *key(partition), name, *was)


def term_put(partition: Partition, term: int, base: Held) -> tuple[str, Values]:
    """Write a term in the place of exactly the one that is known."""
    return TERM, (term, *key(partition), base.term or None)


def applied(rows: Sequence[Record]) -> bool:
    """Say whether a conditional write was applied."""
    return bool(rows[0][0])
