"""OperationService, on the leader."""
# ruff: noqa: N802 - the .proto names the methods

import asyncio

from control_plane.api.asking import answered, asked
from control_plane.api.view_wire import operation_to_pb
from control_plane.paging import page, page_size
from control_plane.reception import Reception
from control_plane.views import OperationView
from core.errors import MalformedError
from core.io.serve import Context
from twinhold.v1 import operation_service_pb2 as pb
from twinhold.v1 import operation_service_pb2_grpc as pb_grpc

PAGE_DEFAULT, PAGE_MAX = 100, 1_000
WAIT_MAX_S = 60.0
_PREFIX = "operations/"


class OperationService(pb_grpc.OperationServiceServicer):
    """Long-running work; it goes on whether or not anybody waits."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def GetOperation(self, request: pb.GetOperationRequest, context: Context) -> pb.GetOperationResponse:
        """Read one."""
        return pb.GetOperationResponse(operation=operation_to_pb(self._reception.operation(_id(request.name))))

    async def ListOperations(self, request: pb.ListOperationsRequest, context: Context) -> pb.ListOperationsResponse:
        """List the latest."""
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        cut = page(self._reception.operations(), size, request.page_token, lambda view: view.id)
        return pb.ListOperationsResponse(
            operations=[operation_to_pb(view) for view in cut.items], next_page_token=cut.next_token
        )

    async def WaitOperation(self, request: pb.WaitOperationRequest, context: Context) -> pb.WaitOperationResponse:
        """Wait until it is done, or the time is up."""
        changed = asyncio.Event()
        stop = self._reception.follow_operations(changed.set)
        try:
            view = await self._wait(_id(request.name), min(request.timeout_ms / 1000, WAIT_MAX_S), changed)
        finally:
            stop()
        return pb.WaitOperationResponse(operation=operation_to_pb(view))

    async def CancelOperation(self, request: pb.CancelOperationRequest, context: Context) -> pb.CancelOperationResponse:
        """Ask it to stop at the next safe point."""
        by = asked(context, reason="", request_id=request.request_id)
        view: OperationView = await answered(lambda done: self._reception.cancel_operation(_id(request.name), by, done))
        return pb.CancelOperationResponse(operation=operation_to_pb(view))

    async def _wait(self, operation: str, wait_s: float, changed: asyncio.Event) -> OperationView:
        until = asyncio.get_running_loop().time() + wait_s
        while True:
            changed.clear()
            view = self._reception.operation(operation)
            left_s = until - asyncio.get_running_loop().time()
            if view.done or left_s <= 0:
                return view
            try:
                await asyncio.wait_for(changed.wait(), left_s)
            except TimeoutError:
                return self._reception.operation(operation)


def _id(name: str) -> str:
    if not name.startswith(_PREFIX) or name == _PREFIX:
        raise MalformedError("operation", name, expected="operations/{id}")
    return name.removeprefix(_PREFIX)
