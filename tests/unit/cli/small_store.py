"""The assignment store of the small fleet, as the control plane that leads shows it to operators."""

from dataclasses import dataclass, field

import grpc

from core.errors import RefusedBySafetyError
from twinhold.v1 import assignment_pb2
from twinhold.v1 import store_admin_service_pb2 as pb
from twinhold.v1 import store_admin_service_pb2_grpc as pb_grpc


def restored() -> pb.AdoptionPlan:
    """Plan the adoption of a store that has forgotten two changes, one of which nobody heard can tell."""
    alone = assignment_pb2.Assignment(
        shard=0, incarnation=101, epoch=7, primary=assignment_pb2.Copy(node="fra1-c1", copy_id="a.1")
    )
    return pb.AdoptionPlan(
        incarnation=1,
        next_incarnation=2,
        rebuilt=[pb.RebuiltRecord(assignment=alone, stored_incarnation=1, stored_epoch=4)],
        unclear=[pb.UnclearShard(shard=3, reason="its standby on ams1-c1 is not heard")],
        docs=2,
        silent_nodes=["ams1-c1"],
        halts_brake=True,
    )


@dataclass
class SmallStore(pb_grpc.StoreAdminServiceServicer):
    """What operators ask of the leader about the store."""

    plan: pb.AdoptionPlan = field(default_factory=pb.AdoptionPlan)
    adopted: list[pb.AdoptStoreRequest] = field(default_factory=list)

    def GetStoreStatus(
        self, request: pb.GetStoreStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetStoreStatusResponse:
        restored = "it was restored from a backup" if self.plan.rebuilt else ""
        return pb.GetStoreStatusResponse(fleet="small", term=3, restored=restored, plan=self.plan)

    def AdoptStore(self, request: pb.AdoptStoreRequest, context: grpc.ServicerContext) -> pb.AdoptStoreResponse:
        if self.plan.obstacles:
            raise RefusedBySafetyError("the store can't be adopted now", violations=self.plan.obstacles)
        self.adopted.append(request)
        return pb.AdoptStoreResponse(plan=self.plan)
