"""The two calls of ReplicationService, written as bytes: messages that wait are joined, which merges their frames."""

from typing import Protocol, TypeAlias, cast

from grpc import aio

from core.io import two_way
from core.names import NodeId
from twinhold.v1 import replication_pb2 as pb

Carrying: TypeAlias = pb.ReplicateRequest | pb.ReplicateResponse
"""What the main call carries frames in: requests from the side that opened it, responses from the other."""
Way: TypeAlias = two_way.Way[Carrying, bytes]
"""The main call, from either side."""

SERVICE = pb.DESCRIPTOR.services_by_name["ReplicationService"].full_name
ACCEPTED = "twinhold-accepted"
"""Stands in the initial metadata of a stream that was taken; a refused call has initial metadata too, but empty."""


class OpenedWay(Way, Protocol):
    """The main call, from the side that opened it."""

    async def initial_metadata(self) -> aio.Metadata:
        """Wait for what the answer begins with."""
        ...

    def cancel(self) -> bool:
        """End it."""
        ...


def replicate_over(line: aio.Channel) -> OpenedWay:
    """Open the main call."""
    call = line.stream_stream(f"/{SERVICE}/Replicate", None, pb.ReplicateResponse.FromString)(None)
    return cast(OpenedWay, call)  # a channel of ours stands in the place of grpc.aio's, whose calls do not hear


def bulk_over(line: aio.Channel) -> aio.StreamStreamCall[bytes, pb.BulkResponse]:
    """Open the bulk call."""
    return line.stream_stream(f"/{SERVICE}/Bulk", None, pb.BulkResponse.FromString)(None)


def first_request(node: NodeId) -> bytes:
    """Say who opens the main call."""
    return pb.ReplicateRequest(node=node).SerializeToString()


def first_bulk(node: NodeId) -> bytes:
    """Say who opens the bulk call."""
    return pb.BulkRequest(node=node).SerializeToString()
