"""Between the audit journal's lines and protobuf."""

from control_plane.audit import AuditEvent
from twinhold.v1 import event_pb2


def event_to_bytes(event: AuditEvent) -> bytes:
    """Serialize a line for the store, which numbers it."""
    return event_pb2.Event(
        at_ms=event.at_ms,
        type=event.type,
        subject=event.subject,
        actor=event.actor,
        acted=event.acted,
        reasons=event.reasons,
        cause=event.cause,
        term=event.term,
    ).SerializeToString()
