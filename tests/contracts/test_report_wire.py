"""What a node reports of a copy, and what control planes tell each other, is what the other side reads."""

from dataclasses import asdict

import pytest

from control_plane import views as cp
from control_plane.io.node_wire import (
    confer_answer_from_pb,
    confer_answer_to_pb,
    confer_from_pb,
    confer_to_pb,
    report_from_pb,
)
from core.assignments import Assignment, Copy, Fence
from core.copies import CopyView, Quarantined, Role
from core.fleet_map import Revision
from core.names import ControlPlaneId, CopyId, NodeId, ShardId
from core.topology import Kind
from nodes.io.control_wire import copy_report
from nodes.records import Generation
from twinhold.v1 import control_plane_service_pb2 as cp_pb
from twinhold.v1 import node_service_pb2 as pb

PLAIN = CopyView(
    shard=ShardId(7),
    copy_id=CopyId("a.1"),
    fence=Fence(2, 6),
    role=Role.LEARNER,
    last_lsn=12,
    commit_lsn=11,
    learner=NodeId("waw1-c1"),
    learner_lag=3,
    complaint="",
    writes_per_s=5,
    orphaned=4,
    serving=True,
    last=Generation(1, 5, 2),
    decided=Assignment(
        ShardId(7), Kind.COLLAB, 2, 6, Copy(NodeId("ams1-c1"), CopyId("b.1")), Copy(NodeId("fra1-c1"), CopyId("c.1"))
    ),
)
BEAT = cp.ConferView(ControlPlaneId("fra1-cp"), 3, False, 40, Revision(1, 3, 9), (NodeId("ams1-c1"),))


@pytest.mark.parametrize(
    "quarantined", [Quarantined(), Quarantined((("tenants/eu/acme", 3), ("tenants/eu/bolt", 1)), snapshot_lsn=9)]
)
def test_a_copy_survives_the_trip(quarantined: Quarantined) -> None:
    told = CopyView(**{**{name: getattr(PLAIN, name) for name in asdict(PLAIN)}, "quarantined": quarantined})
    message = pb.ReportRequest(node="ams1-c1", copies=[copy_report(told, "")])
    (heard,) = report_from_pb(pb.ReportRequest.FromString(message.SerializeToString()), "small").copies
    assert asdict(heard) | {"role": heard.role.value} == asdict(told) | {"role": told.role.value}


def test_a_heartbeat_survives_the_trip() -> None:
    message = confer_to_pb(BEAT, "small").SerializeToString()
    assert confer_from_pb(cp_pb.ConferRequest.FromString(message), "small") == BEAT
    answer = confer_answer_from_pb(confer_answer_to_pb(BEAT))
    assert (answer.control_plane, answer.misses) == (BEAT.control_plane, BEAT.misses)
