"""What the leader of a very small fleet knows: two data centers of one geography, four shards."""

import threading
from dataclasses import dataclass, field

from core.errors import (
    NotFoundError,
)
from tests.unit.cli.small_store import SmallStore
from twinhold.v1 import (
    assignment_pb2,
    control_plane_service_pb2,
    data_center_pb2,
    data_center_service_pb2,
    event_pb2,
    operation_pb2,
    shard_pb2,
    tenant_pb2,
)

NOON_MS = 1_790_000_000_000
DCS = ("fra1", "ams1")
Move = data_center_service_pb2.Move


@dataclass
class SmallFleet:
    """What the leader knows."""

    exposed: bool = False
    halted: bool = False
    drain_steps: int = 3
    tenants: dict[str, tenant_pb2.Tenant] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)
    """The request ids under which tenants were restored."""
    data_centers: dict[str, data_center_pb2.DataCenter] = field(default_factory=dict)
    shards: list[shard_pb2.Shard] = field(default_factory=list)
    events: list[event_pb2.Event] = field(default_factory=list)
    operations: dict[str, operation_pb2.Operation] = field(default_factory=dict)
    operation_by_request: dict[str, str] = field(default_factory=dict)
    problems: list[control_plane_service_pb2.Problem] = field(default_factory=list)
    operation_error: operation_pb2.OperationError | None = None
    store: SmallStore = field(default_factory=SmallStore)
    happened: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        for dc in DCS:
            self.data_centers[f"dataCenters/{dc}"] = data_center_pb2.DataCenter(
                name=f"dataCenters/{dc}",
                region="de" if dc == "fra1" else "nl",
                geography="eu",
                state=data_center_pb2.DataCenter.STATE_LIVE,
                nodes_live=2,
                nodes=2,
                primaries=2,
                standbys=2,
                utilization=0.45,
                etag="1",
            )
        for number in range(4):
            self.shards.append(shard_pb2.Shard(name=f"shards/{number}", geography="eu", assignment=pair(number)))

    def decided(self, kind: str, subject: str, *reasons: str, actor: str, acted: bool = True) -> None:
        """Write a line of the audit journal."""
        with self.happened:
            number = len(self.events) + 1
            self.events.append(
                event_pb2.Event(
                    number=number,
                    at_ms=NOON_MS + number,
                    type=kind,
                    subject=subject,
                    actor=actor,
                    acted=acted,
                    reasons=reasons,
                )
            )
            self.happened.notify_all()

    def start(self, request_id: str, title: str, steps: int) -> operation_pb2.Operation:
        """Start an operation, once per request id."""
        name = self.operation_by_request.setdefault(request_id, f"operations/{len(self.operations) + 1}")
        return self.operations.setdefault(
            name, operation_pb2.Operation(name=name, title=title, steps=steps, started_at_ms=NOON_MS)
        )

    def advance(self, name: str) -> operation_pb2.Operation:
        """Let an operation do its next step."""
        operation = self.operations[name]
        operation.steps_done = min(operation.steps_done + 1, operation.steps)
        if operation.steps_done == operation.steps:
            operation.done = True
            operation.ended_at_ms = NOON_MS + 1
            if self.operation_error is not None:
                operation.error.CopyFrom(self.operation_error)
        return operation

    def data_center(self, name: str) -> data_center_pb2.DataCenter:
        """Find a data center."""
        if name not in self.data_centers:
            raise NotFoundError("data center", name, remedy="see twinhold dc list")
        return self.data_centers[name]

    def shard(self, name: str) -> shard_pb2.Shard:
        """Find a shard."""
        found = next((shard for shard in self.shards if shard.name == name), None)
        if found is None:
            raise NotFoundError("shard", name, remedy="see twinhold shard list")
        return found

    def tenant(self, name: str) -> tenant_pb2.Tenant:
        """Find a tenant."""
        if name not in self.tenants:
            raise NotFoundError("tenant", name, remedy="create it with: twinhold tenant create")
        return self.tenants[name]


def pair(number: int) -> assignment_pb2.Assignment:
    """Put a shard on two copies, its primary in turn in either data center."""
    here, there = DCS if number % 2 == 0 else reversed(DCS)
    return assignment_pb2.Assignment(
        shard=number,
        kind=assignment_pb2.KIND_COLLAB,
        incarnation=1,
        epoch=7,
        primary=assignment_pb2.Copy(node=f"{here}-c1", copy_id="a.1"),
        standby=assignment_pb2.Copy(node=f"{there}-c1", copy_id="b.1"),
        reason="placed at start",
    )
