"""Assignments as rows of the store's database."""

from collections.abc import Sequence
from typing import TypeAlias

from core.assignments import Assignment, Copy
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind

Value: TypeAlias = str | int | None

COLUMNS = "shard, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason"
MARKS = ", ".join("?" for _ in COLUMNS.split(","))


def values(assignment: Assignment) -> tuple[Value, ...]:
    """Write an assignment, in the order of COLUMNS."""
    standby = assignment.standby
    return (
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


def assignment(row: Sequence[Value]) -> Assignment:
    """Read an assignment, in the order of COLUMNS."""
    shard, kind, incarnation, epoch, primary_node, primary_copy, standby_node, standby_copy, reason = row
    return Assignment(
        ShardId(int(shard or 0)),
        Kind(kind),
        int(incarnation or 0),
        int(epoch or 0),
        Copy(NodeId(str(primary_node)), CopyId(str(primary_copy))),
        None if standby_node is None else Copy(NodeId(str(standby_node)), CopyId(str(standby_copy))),
        str(reason),
    )
