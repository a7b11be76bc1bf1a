"""Passes a tenant's call on to the node that serves its shard, and follows the shard when it has moved."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from grpc import aio

from control_plane.io.lines import Lines
from core.assignments import Assignment
from core.errors import MalformedError, NotOwnerError, UnavailableError
from core.fleet_map import FleetMap
from core.io.serve import ACTOR_HEADER
from core.io.status import error_of
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as pb_grpc
from twinhold.v1 import tenant_service_pb2, tenant_service_pb2_grpc

Answer = TypeVar("Answer")

HOPS_MAX = 3
DEADLINE_S = 5.0
_RETRY_S = 0.2


class Primaries:
    """The way to shards' primaries.

    Args:
        fleet_map: says who serves.
        lines: channels to the nodes.
    """

    def __init__(self, fleet_map: FleetMap, lines: Lines) -> None:
        self._map = fleet_map
        self._lines = lines

    async def submit(
        self, holder: Assignment, *, tenant: str, body: Message, request_id: str, actor: str
    ) -> AnyMessage:
        """Run a command and return the app's answer.

        Raises:
            TwinholdError: as the node said.
        """
        command = pb.Command(tenant=tenant, body=_packed(body), request_id=request_id, epoch=holder.epoch)

        async def call(line: aio.Channel) -> AnyMessage:
            answered = await pb_grpc.CommandServiceStub(line).Submit(
                pb.SubmitRequest(command=command), timeout=DEADLINE_S, metadata=((ACTOR_HEADER, actor),)
            )
            return answered.answer.body

        return await self._follow(holder, call)

    async def query(
        self, holder: Assignment, *, tenant: str, body: Message, actor: str, deadline_s: float
    ) -> list[AnyMessage]:
        """Read, and return the parts of the app's answer.

        Raises:
            TwinholdError: as the node said.
        """
        request = pb.QueryRequest(tenant=tenant, body=_packed(body))

        async def call(line: aio.Channel) -> list[AnyMessage]:
            parts = pb_grpc.CommandServiceStub(line).Query(
                request, timeout=deadline_s, metadata=((ACTOR_HEADER, actor),)
            )
            return [part.body async for part in parts]

        return await self._follow(holder, call)

    async def restore(
        self, holder: Assignment, request: tenant_service_pb2.RestoreTenantRequest, *, actor: str, deadline_s: float
    ) -> tenant_service_pb2.RestoreTenantResponse:
        """Have a tenant restored, or hear what that would change.

        Raises:
            TwinholdError: as the node said.
        """

        async def call(line: aio.Channel) -> tenant_service_pb2.RestoreTenantResponse:
            stub = tenant_service_pb2_grpc.TenantServiceStub(line)
            return await stub.RestoreTenant(request, timeout=deadline_s, metadata=((ACTOR_HEADER, actor),))

        return await self._follow(holder, call)

    async def _follow(self, holder: Assignment, call: Callable[[aio.Channel], Awaitable[Answer]]) -> Answer:
        endpoint = self._map.topology.node(holder.primary.node).endpoint
        for _ in range(HOPS_MAX):
            try:
                return await call(self._lines.to(endpoint))
            except aio.AioRpcError as failure:
                error = error_of(failure)
                onward = error.facts.get("owner_endpoint", "") if isinstance(error, NotOwnerError) else ""
                if not onward or onward == endpoint:
                    raise error from failure
                endpoint = onward
        raise UnavailableError(
            f"shard {holder.shard} is moving: {HOPS_MAX} nodes in a row named another owner", retry_after_s=_RETRY_S
        )


def unpacked(body: AnyMessage, into: Message) -> None:
    """Read an app's message.

    Raises:
        MalformedError: the node sent another kind.
    """
    if not body.Unpack(into):
        raise MalformedError("answer", body.type_url, expected=into.DESCRIPTOR.full_name)


def _packed(body: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(body)
    return packed
