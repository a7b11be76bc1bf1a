"""Asks the control plane for what an operator would: how the fleet is, a drain, what was decided."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

from grpc import aio

from core.errors import UnavailableError
from core.io.dial import channel
from core.io.status import error_of
from core.names import DcId, ShardId, shard_id
from core.topology import ControlPlane, Topology
from twinhold.v1 import control_plane_service_pb2 as status_pb
from twinhold.v1 import control_plane_service_pb2_grpc as status_rpc
from twinhold.v1 import data_center_service_pb2 as dc_pb
from twinhold.v1 import data_center_service_pb2_grpc as dc_rpc
from twinhold.v1 import event_pb2, operation_pb2
from twinhold.v1 import event_service_pb2 as event_pb
from twinhold.v1 import event_service_pb2_grpc as event_rpc
from twinhold.v1 import operation_service_pb2 as operation_pb
from twinhold.v1 import operation_service_pb2_grpc as operation_rpc
from twinhold.v1 import shard_service_pb2 as shard_pb
from twinhold.v1 import shard_service_pb2_grpc as shard_rpc

CALL_S = 2.0
LOOK_S = 0.7
PATIENCE_S = 4.0
AGAIN_S = 0.1
PAGE = 1_000
EVENTS_MAX = 20_000
MOVE_STARTED = "move.started"


class Operator:
    """Talks to whoever leads."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._channels: dict[str, aio.Channel] = {}

    async def status(self) -> status_pb.GetFleetStatusResponse:
        """Read how the fleet is, from the leader.

        Raises:
            UnavailableError: nobody leads.
        """
        return (await self._leader())[1]

    async def drain(self, dc: DcId, *, accept_exposure: bool) -> operation_pb2.Operation:
        """Ask for a data center to be emptied by plan.

        Raises:
            TwinholdError: it is refused.
        """
        plane, _ = await self._leader()
        request = dc_pb.DrainDataCenterRequest(
            name=f"dataCenters/{dc}",
            accept_exposure=accept_exposure,
            request_id=str(uuid4()),
            reason="the rehearsal asks for it",
        )
        try:
            answer = await dc_rpc.DataCenterServiceStub(self._to(plane)).DrainDataCenter(request, timeout=CALL_S)
        except aio.AioRpcError as error:
            raise error_of(error) from error
        return answer.operation

    async def switchover(self, shard: ShardId, *, request_id: str) -> operation_pb2.Operation:
        """Ask for a shard's roles to be changed by plan; raises TwinholdError."""
        plane, _ = await self._leader()
        request = shard_pb.SwitchoverShardRequest(name=f"shards/{shard}", request_id=request_id, reason="asked for")
        try:
            answer = await shard_rpc.ShardServiceStub(self._to(plane)).SwitchoverShard(request, timeout=CALL_S)
        except aio.AioRpcError as error:
            raise error_of(error) from error
        return answer.operation

    async def operation(self, name: str) -> operation_pb2.Operation:
        """Read how far an operation is; raises TwinholdError."""
        plane, _ = await self._leader()
        stub = operation_rpc.OperationServiceStub(self._to(plane))
        try:
            return (await stub.GetOperation(operation_pb.GetOperationRequest(name=name), timeout=CALL_S)).operation
        except aio.AioRpcError as error:
            raise error_of(error) from error

    async def moves(self) -> AsyncIterator[int]:
        """Yield the shard of every planned move as it starts, until the leader falls silent; raises TwinholdError."""
        plane, _ = await self._leader()
        request = event_pb.WatchEventsRequest(type_prefix=MOVE_STARTED)
        try:
            async for answer in event_rpc.EventServiceStub(self._to(plane)).WatchEvents(request):
                yield shard_id(answer.event.subject)
        except aio.AioRpcError as error:
            raise error_of(error) from error

    async def events(self) -> list[event_pb2.Event]:
        """Read the audit journal, newest first; raises TwinholdError."""
        plane, _ = await self._leader()
        stub = event_rpc.EventServiceStub(self._to(plane))
        found: list[event_pb2.Event] = []
        token = ""
        try:
            while len(found) < EVENTS_MAX:
                page = await stub.ListEvents(
                    event_pb.ListEventsRequest(page_size=PAGE, page_token=token), timeout=CALL_S
                )
                found += page.events
                token = page.next_page_token
                if not token:
                    break
        except aio.AioRpcError as error:
            raise error_of(error) from error
        return found

    async def close(self) -> None:
        """Hang up."""
        for dialled in self._channels.values():
            await dialled.close(None)

    async def _leader(self) -> tuple[ControlPlane, status_pb.GetFleetStatusResponse]:
        """Find who leads; between two leaders this takes a moment."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            for plane in self._topology.control_planes:
                answer = await self._status_of(plane)
                if answer is not None and answer.leader == plane.id:
                    return plane, answer
            if asyncio.get_running_loop().time() > until:
                raise UnavailableError(f"no control plane led for {PATIENCE_S:g} s: see log.jsonl of each")
            await asyncio.sleep(AGAIN_S)

    async def _status_of(self, plane: ControlPlane) -> status_pb.GetFleetStatusResponse | None:
        stub = status_rpc.ControlPlaneServiceStub(self._to(plane))
        try:
            return await stub.GetFleetStatus(status_pb.GetFleetStatusRequest(), timeout=LOOK_S)
        except aio.AioRpcError:
            return None

    def _to(self, plane: ControlPlane) -> aio.Channel:
        if plane.endpoint not in self._channels:
            self._channels[plane.endpoint] = channel(plane.endpoint)
        return self._channels[plane.endpoint]
