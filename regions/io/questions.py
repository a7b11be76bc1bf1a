"""What a fleet's owner asks its servers: how the fleet is, and which vote sites the store should count."""

from collections.abc import Sequence

from grpc import aio

from core.errors import UnavailableError
from core.io.dial import channel
from core.io.status import error_of
from core.names import DcId
from core.topology import ControlPlane, Topology
from twinhold.v1 import control_plane_service_pb2 as status_pb
from twinhold.v1 import control_plane_service_pb2_grpc as status_rpc
from twinhold.v1 import store_service_pb2 as store_pb
from twinhold.v1 import store_service_pb2_grpc as store_rpc

CALL_S = 1.0
SITES_S = 5.0
"""On a machine that a fault has just made busy, connecting may take several attempts."""


class Questions:
    """Channels to a fleet's control planes and its store."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._channels: dict[str, aio.Channel] = {}

    async def status(self) -> status_pb.GetFleetStatusResponse | None:
        """Ask how the fleet is; the leader's own view if it can be had, None when nobody answers."""
        second_hand = None
        for control_plane in self._topology.control_planes:
            answer = await self._ask(control_plane)
            if answer is not None and answer.leader == control_plane.id:
                return answer
            second_hand = second_hand or answer
        return second_hand

    async def informed(self) -> int:
        """Count the control planes whose map has every shard."""
        answers = [await self._ask(control_plane) for control_plane in self._topology.control_planes]
        counts = [one.shards_sync + one.shards_solo + one.shards_down for one in answers if one is not None]
        return counts.count(self._topology.shards)

    async def tell_sites(self, living: Sequence[DcId]) -> None:
        """Tell the store which vote sites live: it stands for them.

        Raises:
            UnavailableError: it did not take it.
        """
        stub = store_rpc.StoreServiceStub(self._channel(self._topology.store_endpoint))
        request = store_pb.SetSitesRequest(fleet=self._topology.fleet, living=living)
        try:
            await stub.SetSites(request, timeout=SITES_S, wait_for_ready=True)
        except aio.AioRpcError as error:
            raise UnavailableError(f"the store was not told which sites live: {error_of(error).message}") from error

    async def close(self) -> None:
        """Hang up."""
        for dialled in self._channels.values():
            await dialled.close(None)

    async def _ask(self, control_plane: ControlPlane) -> status_pb.GetFleetStatusResponse | None:
        stub = status_rpc.ControlPlaneServiceStub(self._channel(control_plane.endpoint))
        try:
            return await stub.GetFleetStatus(status_pb.GetFleetStatusRequest(), timeout=CALL_S)
        except aio.AioRpcError:
            return None

    def _channel(self, endpoint: str) -> aio.Channel:
        if endpoint not in self._channels:
            self._channels[endpoint] = channel(endpoint)
        return self._channels[endpoint]
