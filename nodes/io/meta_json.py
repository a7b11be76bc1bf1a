"""A copy's meta as JSON: small, seldom written, and readable when something has to be understood by hand."""

import json
from collections.abc import Mapping

from core.assignments import Assignment, Copy
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from nodes.ports import CopyMeta, Intent
from nodes.records import Generation

Json = Mapping[str, object]


def meta_body(meta: CopyMeta) -> bytes:
    """Write a meta."""
    return json.dumps(
        {
            "copy_id": meta.copy_id,
            "seen": _generation_to(meta.seen),
            "assignment": None if meta.assignment is None else _assignment_to(meta.assignment),
            "intents": [_intent_to(intent) for intent in meta.intents],
        },
        separators=(",", ":"),
    ).encode()


def meta_of(body: bytes) -> CopyMeta:
    """Read a meta; its checksum has been compared, so that it is one."""
    found = json.loads(body)
    return CopyMeta(
        CopyId(found["copy_id"]),
        Generation(*found["seen"]),
        None if found["assignment"] is None else _assignment_of(found["assignment"]),
        tuple(_intent_of(intent) for intent in found["intents"]),
    )


def _generation_to(generation: Generation) -> list[int]:
    return [generation.incarnation, generation.epoch, generation.boot]


def _copy_to(copy: Copy | None) -> list[str] | None:
    return None if copy is None else [copy.node, copy.copy_id]


def _copy_of(found: list[str] | None) -> Copy | None:
    return None if found is None else Copy(NodeId(found[0]), CopyId(found[1]))


def _intent_to(intent: Intent) -> Json:
    return {
        "kind": intent.kind,
        "base": [intent.base_incarnation, intent.base_epoch],
        "learner": _copy_to(intent.learner),
        "lsn": intent.lsn,
    }


def _intent_of(found: dict[str, object]) -> Intent:
    match found:
        case {"kind": str(kind), "base": [int(incarnation), int(epoch)], "learner": learner, "lsn": int(lsn)}:
            named = [str(part) for part in learner] if isinstance(learner, list) else None
            return Intent(kind, incarnation, epoch, _copy_of(named), lsn)
    raise AssertionError("an intent was written in another form than it is read")


def _assignment_to(record: Assignment) -> Json:
    return {
        "shard": record.shard,
        "kind": record.kind.value,
        "fence": [record.incarnation, record.epoch],
        "primary": _copy_to(record.primary),
        "standby": _copy_to(record.standby),
        "reason": record.reason,
    }


def _assignment_of(found: dict[str, object]) -> Assignment:
    match found:
        case {
            "shard": int(shard),
            "kind": kind,
            "fence": [int(incarnation), int(epoch)],
            "primary": [str(node), str(copy_id)],
            "standby": standby,
            "reason": str(reason),
        }:
            named = [str(part) for part in standby] if isinstance(standby, list) else None
            primary = Copy(NodeId(node), CopyId(copy_id))
            return Assignment(ShardId(shard), Kind(kind), incarnation, epoch, primary, _copy_of(named), reason)
    raise AssertionError("an assignment was written in another form than it is read")
