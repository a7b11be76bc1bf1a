"""Assignments and docs as rows of the store's database, each with a digest: SQLite does not notice a flipped bit."""

from collections.abc import Sequence
from typing import TypeAlias

from xxhash import xxh3_64_hexdigest

from control_plane.ports import Doc
from core.assignments import Assignment, Copy
from core.errors import UnavailableError
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind

Value: TypeAlias = str | int | bytes | None

COLUMNS = "shard, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason, digest"
DOC_COLUMNS = "key, version, body, digest"
MARKS = ", ".join("?" for _ in COLUMNS.split(","))


def values(assignment: Assignment) -> tuple[Value, ...]:
    """Write an assignment, in the order of COLUMNS."""
    standby = assignment.standby
    told: tuple[Value, ...] = (
        assignment.shard,
        assignment.kind.value,
        assignment.incarnation,
        assignment.epoch,
        assignment.primary.node,
        assignment.primary.copy_id,
        None if standby is None else standby.node,
        None if standby is None else standby.copy_id,
        assignment.reason,
    )
    return (*told, _digest(told))


def assignment(row: Sequence[Value]) -> Assignment:
    """Read an assignment, in the order of COLUMNS.

    Raises:
        UnavailableError: the row is not what was written.
    """
    shard, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason, digest = row
    if digest != _digest(row[:-1]):
        raise _damaged(f"shards/{shard!s}")
    return Assignment(
        ShardId(int(shard or 0)),
        Kind(kind),
        int(incarnation or 0),
        int(epoch or 0),
        Copy(NodeId(str(primary_node)), CopyId(str(primary_copy))),
        None if standby_node is None else Copy(NodeId(str(standby_node)), CopyId(str(standby_copy))),
        str(reason),
    )


def doc_values(doc: Doc) -> tuple[Value, ...]:
    """Write a doc, in the order of DOC_COLUMNS."""
    told: tuple[Value, ...] = (doc.key, doc.version, doc.body)
    return (*told, _digest(told))


def doc(row: tuple[str, int, bytes, str]) -> Doc:
    """Read a doc, in the order of DOC_COLUMNS.

    Raises:
        UnavailableError: the row is not what was written.
    """
    key, version, body, digest = row
    if digest != _digest(row[:-1]):
        raise _damaged(key)
    return Doc(key, version, body)


def _digest(told: Sequence[Value]) -> str:
    return xxh3_64_hexdigest(repr((*told,)).encode())


def _damaged(record: str) -> UnavailableError:
    return UnavailableError(
        f"the store's record {record} is damaged: restore the store from a backup", reason="DATA_DAMAGED", record=record
    )
