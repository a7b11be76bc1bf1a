"""ReplicationService: hands the streams that peers open to the links; responses go out as the bytes that they are."""
# ruff: noqa: N802 - the .proto names the methods

from typing import Any

import grpc

from core.errors import MalformedError
from core.io.serve import Context
from core.names import node_id
from nodes.io.links import GrpcLinks
from nodes.io.replication_calls import ACCEPTED, SERVICE, as_is, response
from twinhold.v1 import replication_pb2 as pb


def handlers(links: GrpcLinks) -> "grpc.GenericRpcHandler[Any, Any]":
    """Make the service for ``add_generic_rpc_handlers``; Any: it speaks two methods of different messages."""

    async def Replicate(requests: object, context: Context) -> None:
        first = await context.read()
        if not isinstance(first, pb.ReplicateRequest):
            raise MalformedError("stream", "empty", expected="the node in the first message")

        async def read() -> pb.Frame | None:
            message = await context.read()
            return message.frame if isinstance(message, pb.ReplicateRequest) else None

        async def write(frame: bytes) -> None:
            await context.write(response(frame))

        async def accepted() -> None:
            await context.send_initial_metadata(((ACCEPTED, "1"),))

        await links.link(node_id(first.node)).accept(read, write, accepted)

    async def Bulk(requests: object, context: Context) -> None:
        first = await context.read()
        if not isinstance(first, pb.BulkRequest):
            raise MalformedError("stream", "empty", expected="the node in the first message")

        async def read() -> pb.Frame | None:
            message = await context.read()
            return message.frame if isinstance(message, pb.BulkRequest) else None

        await links.link(node_id(first.node)).accept_bulk(read)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Replicate": grpc.stream_stream_rpc_method_handler(
                Replicate, request_deserializer=pb.ReplicateRequest.FromString, response_serializer=as_is
            ),
            "Bulk": grpc.stream_stream_rpc_method_handler(
                Bulk,
                request_deserializer=pb.BulkRequest.FromString,
                response_serializer=pb.BulkResponse.SerializeToString,
            ),
        },
    )
