"""StoreAdminService, on the leader."""
# ruff: noqa: N802 - the .proto names the methods

from control_plane.adoption import AdoptionPlan, Rebuilt, StoreView
from control_plane.api.asking import answered, asked
from control_plane.reception import Reception
from core.errors import MalformedError
from core.io.serve import Context
from core.wire import assignment_to_pb
from twinhold.v1 import store_admin_service_pb2 as pb
from twinhold.v1 import store_admin_service_pb2_grpc as pb_grpc


class StoreAdminService(pb_grpc.StoreAdminServiceServicer):
    """The assignment store; whoever does not lead says who does."""

    def __init__(self, reception: Reception, fleet: str) -> None:
        self._reception = reception
        self._fleet = fleet

    async def GetStoreStatus(self, request: pb.GetStoreStatusRequest, context: Context) -> pb.GetStoreStatusResponse:
        """Say how the store is."""
        view: StoreView = await answered(self._reception.store)
        return pb.GetStoreStatusResponse(
            fleet=view.fleet, term=view.term, restored=view.restored, plan=adoption_to_pb(view.plan)
        )

    async def AdoptStore(self, request: pb.AdoptStoreRequest, context: Context) -> pb.AdoptStoreResponse:
        """Rebuild its records, or say what that would do."""
        by = asked(context, reason=request.reason, request_id=request.request_id, validate_only=request.validate_only)
        if request.validate_only:
            view: StoreView = await answered(self._reception.store)
            return pb.AdoptStoreResponse(plan=adoption_to_pb(view.plan))
        if request.confirm != self._fleet:
            raise MalformedError("confirm", request.confirm, expected=f"{self._fleet}, the fleet's name once more")
        plan: AdoptionPlan = await answered(lambda done: self._reception.adopt_store(by, done))
        return pb.AdoptStoreResponse(plan=adoption_to_pb(plan))


def adoption_to_pb(plan: AdoptionPlan) -> pb.AdoptionPlan:
    """Write what an adoption does."""
    return pb.AdoptionPlan(
        incarnation=plan.incarnation,
        next_incarnation=plan.next_incarnation,
        rebuilt=[_rebuilt(one) for one in plan.rebuilt],
        unclear=[pb.UnclearShard(shard=one.shard, reason=one.reason) for one in plan.unclear],
        docs=len(plan.docs),
        silent_nodes=plan.silent,
        halts_brake=plan.halts_brake,
        obstacles=plan.obstacles,
    )


def _rebuilt(one: Rebuilt) -> pb.RebuiltRecord:
    stored = (0, 0) if one.stored is None else one.stored
    return pb.RebuiltRecord(assignment=assignment_to_pb(one.new), stored_incarnation=stored[0], stored_epoch=stored[1])
