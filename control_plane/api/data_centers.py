"""DataCenterService, on the leader."""
# ruff: noqa: N802 - the .proto names the methods

from control_plane.api.asking import answered, asked
from control_plane.api.view_wire import data_center_to_pb, operation_to_pb, plan_to_pb
from control_plane.paging import page, page_size
from control_plane.reception import Reception
from control_plane.views import DataCenterView, Started
from core.io.serve import Context
from core.names import dc_id
from twinhold.v1 import data_center_service_pb2 as pb
from twinhold.v1 import data_center_service_pb2_grpc as pb_grpc

PAGE_MAX = 1_000


class DataCenterService(pb_grpc.DataCenterServiceServicer):
    """Data centers; whoever does not lead says who does."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def ListDataCenters(self, request: pb.ListDataCentersRequest, context: Context) -> pb.ListDataCentersResponse:
        """List all data centers."""
        size = page_size(request.page_size, default=PAGE_MAX, most=PAGE_MAX)
        cut = page(self._reception.data_centers(), size, request.page_token, lambda view: view.id)
        return pb.ListDataCentersResponse(
            data_centers=[data_center_to_pb(view) for view in cut.items], next_page_token=cut.next_token
        )

    async def GetDataCenter(self, request: pb.GetDataCenterRequest, context: Context) -> pb.GetDataCenterResponse:
        """Read one."""
        return pb.GetDataCenterResponse(data_center=data_center_to_pb(self._reception.data_center(dc_id(request.name))))

    async def CordonDataCenter(
        self, request: pb.CordonDataCenterRequest, context: Context
    ) -> pb.CordonDataCenterResponse:
        """Stop placing anything new here."""
        by = asked(context, reason=request.reason, request_id=request.request_id)
        view: DataCenterView = await answered(
            lambda done: self._reception.cordon(dc_id(request.name), etag=request.etag, asked=by, done=done)
        )
        return pb.CordonDataCenterResponse(data_center=data_center_to_pb(view))

    async def UncordonDataCenter(
        self, request: pb.UncordonDataCenterRequest, context: Context
    ) -> pb.UncordonDataCenterResponse:
        """Allow placing here again."""
        by = asked(context, reason=request.reason, request_id=request.request_id)
        view: DataCenterView = await answered(
            lambda done: self._reception.uncordon(dc_id(request.name), etag=request.etag, asked=by, done=done)
        )
        return pb.UncordonDataCenterResponse(data_center=data_center_to_pb(view))

    async def DrainDataCenter(self, request: pb.DrainDataCenterRequest, context: Context) -> pb.DrainDataCenterResponse:
        """Move everything away by plan."""
        by = asked(context, reason=request.reason, request_id=request.request_id, validate_only=request.validate_only)
        started: Started = await answered(
            lambda done: self._reception.drain(
                dc_id(request.name),
                validate_only=request.validate_only,
                accept_exposure=request.accept_exposure,
                asked=by,
                done=done,
            )
        )
        running = None if started.operation is None else operation_to_pb(started.operation)
        return pb.DrainDataCenterResponse(plan=plan_to_pb(started.plan), operation=running)

    async def EvacuateDataCenter(
        self, request: pb.EvacuateDataCenterRequest, context: Context
    ) -> pb.EvacuateDataCenterResponse:
        """Declare a data center lost."""
        by = asked(context, reason=request.reason, request_id=request.request_id, validate_only=request.validate_only)
        started: Started = await answered(
            lambda done: self._reception.evacuate(
                dc_id(request.name), validate_only=request.validate_only, asked=by, done=done
            )
        )
        running = None if started.operation is None else operation_to_pb(started.operation)
        return pb.EvacuateDataCenterResponse(plan=plan_to_pb(started.plan), operation=running)
