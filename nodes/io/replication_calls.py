"""The two calls of ReplicationService with frames as bytes: what was serialized once is never parsed to be wrapped."""

from grpc import aio

from core.names import NodeId
from twinhold.v1 import replication_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ReplicationService"].full_name
ACCEPTED = "twinhold-accepted"
"""Stands in the initial metadata of a stream that was taken; a refused call has initial metadata too, but empty."""
_REQUEST_FRAME = pb.ReplicateRequest.FRAME_FIELD_NUMBER
_RESPONSE_FRAME = pb.ReplicateResponse.FRAME_FIELD_NUMBER
_BULK_FRAME = pb.BulkRequest.FRAME_FIELD_NUMBER
_LENGTH_DELIMITED = 2


def replicate_over(line: aio.Channel) -> aio.StreamStreamCall[bytes, pb.ReplicateResponse]:
    """Open the main call."""
    return line.stream_stream(f"/{SERVICE}/Replicate", as_is, pb.ReplicateResponse.FromString)(None)


def bulk_over(line: aio.Channel) -> aio.StreamStreamCall[bytes, pb.BulkResponse]:
    """Open the bulk call."""
    return line.stream_stream(f"/{SERVICE}/Bulk", as_is, pb.BulkResponse.FromString)(None)


def first_request(node: NodeId) -> bytes:
    """Say who opens the main call."""
    return pb.ReplicateRequest(node=node).SerializeToString()


def first_bulk(node: NodeId) -> bytes:
    """Say who opens the bulk call."""
    return pb.BulkRequest(node=node).SerializeToString()


def request(frame: bytes) -> bytes:
    """Wrap a serialized Frame as a ReplicateRequest."""
    return _field(_REQUEST_FRAME, frame)


def response(frame: bytes) -> bytes:
    """Wrap a serialized Frame as a ReplicateResponse."""
    return _field(_RESPONSE_FRAME, frame)


def bulk_request(frame: bytes) -> bytes:
    """Wrap a serialized Frame as a BulkRequest."""
    return _field(_BULK_FRAME, frame)


def as_is(message: bytes) -> bytes:
    """Serialize what is serialized."""
    return message


def _field(number: int, body: bytes) -> bytes:
    head = bytearray((number << 3 | _LENGTH_DELIMITED,))
    left = len(body)
    while left > 0x7F:
        head.append(left & 0x7F | 0x80)
        left >>= 7
    head.append(left)
    return bytes(head) + body
