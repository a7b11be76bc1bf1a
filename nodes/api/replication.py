"""ReplicationService: hands the streams that peers open to the links, which write responses as bytes."""
# ruff: noqa: N802 - the .proto names the methods

from typing import Any, cast

import grpc

from core.errors import MalformedError
from core.io.serve import Context
from core.names import node_id
from nodes.io.links import GrpcLinks
from nodes.io.replication_calls import ACCEPTED, SERVICE, Way
from twinhold.v1 import replication_pb2 as pb


def handlers(links: GrpcLinks) -> "grpc.GenericRpcHandler[Any, Any]":
    """Make the service for ``add_generic_rpc_handlers``; Any: it speaks two methods of different messages."""

    async def Replicate(requests: object, context: Context) -> None:
        first = await context.read()
        if not isinstance(first, pb.ReplicateRequest):
            raise MalformedError("stream", "empty", expected="the node in the first message")

        async def accepted() -> None:
            await context.send_initial_metadata(((ACCEPTED, "1"),))

        way = cast(Way, context)  # every server is a LoopServer, in the place of grpc.aio's, whose contexts do not hear
        await links.link(node_id(first.node)).accept(way, accepted)

    async def Bulk(requests: object, context: Context) -> None:
        first = await context.read()
        if not isinstance(first, pb.BulkRequest):
            raise MalformedError("stream", "empty", expected="the node in the first message")

        async def read() -> pb.BulkRequest | None:
            message = await context.read()
            return message if isinstance(message, pb.BulkRequest) else None

        await links.link(node_id(first.node)).accept_bulk(read)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Replicate": grpc.stream_stream_rpc_method_handler(
                Replicate, request_deserializer=pb.ReplicateRequest.FromString, response_serializer=None
            ),
            "Bulk": grpc.stream_stream_rpc_method_handler(
                Bulk,
                request_deserializer=pb.BulkRequest.FromString,
                response_serializer=pb.BulkResponse.SerializeToString,
            ),
        },
    )
