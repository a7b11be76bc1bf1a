"""ControlPlaneService: heartbeats between control planes, the fleet's status, and closing a halt of the brake."""
# ruff: noqa: N802 - the .proto names the methods

from collections.abc import AsyncIterator, Callable, Sequence

from control_plane.api.asking import answered, asked
from control_plane.api.view_wire import status_to_pb
from control_plane.driver import ControlPlaneDriver
from control_plane.io.node_wire import confer_answer_to_pb, confer_from_pb
from core.errors import MalformedError
from core.io.serve import Context
from core.io.two_way import TwoWay
from twinhold.v1 import control_plane_service_pb2 as pb
from twinhold.v1 import control_plane_service_pb2_grpc as pb_grpc


class ControlPlaneService(pb_grpc.ControlPlaneServiceServicer):
    """Between control planes, and for whoever asks how the fleet is.

    Args:
        driver: asked everything.
        fleet: its id.
        awake: looks at the clock, before a heartbeat is taken.
    """

    def __init__(self, driver: ControlPlaneDriver, fleet: str, awake: Callable[[], None]) -> None:
        self._driver = driver
        self._awake = awake
        self._fleet = fleet

    async def Confer(  # type: ignore[override]  # a coroutine serves a stream as well, which the stub does not know
        self, request_iterator: AsyncIterator[pb.ConferRequest], context: Context
    ) -> None:
        """Take heartbeats; those that ask for an answer get it at once."""
        way, first = TwoWay[pb.ConferRequest, pb.ConferResponse](context), True

        def take(beat: pb.ConferRequest) -> None:
            nonlocal first
            self._awake()
            answer = self._driver.confer(confer_from_pb(beat, self._fleet), first=first)
            first = False
            if answer is not None:
                way.say(confer_answer_to_pb(answer))

        await way.hear(take)

    async def GetFleetStatus(self, request: pb.GetFleetStatusRequest, context: Context) -> pb.GetFleetStatusResponse:
        """Say how the fleet is, as this control plane knows it."""
        return status_to_pb(self._driver.reception.status())

    async def ResumeFailover(self, request: pb.ResumeFailoverRequest, context: Context) -> pb.ResumeFailoverResponse:
        """Close a halt of the brake."""
        if not request.reason:
            raise MalformedError("reason", "", expected="why it is safe to go on; it stands in the audit journal")
        by = asked(context, reason=request.reason, request_id=request.request_id)
        closed: Sequence[str] = await answered(lambda done: self._driver.reception.resume(by, done))
        return pb.ResumeFailoverResponse(closed=closed)
