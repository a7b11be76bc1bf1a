"""Operations on a whole small fleet, as an operator asks for them: planned, started once, waited for, written down."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from core.errors import MalformedError, NotFoundError
from core.io.dial import channel
from core.io.status import error_of
from regions.io.fleet import Fleet
from regions.io.load import load
from twinhold.v1 import control_plane_service_pb2 as cp_pb
from twinhold.v1 import control_plane_service_pb2_grpc as cp_grpc
from twinhold.v1 import event_service_pb2 as event_pb
from twinhold.v1 import event_service_pb2_grpc as event_grpc
from twinhold.v1 import operation_service_pb2 as operation_pb
from twinhold.v1 import operation_service_pb2_grpc as operation_grpc
from twinhold.v1 import shard_service_pb2 as pb
from twinhold.v1 import shard_service_pb2_grpc as pb_grpc

pytestmark = pytest.mark.e2e

ADDRESS_BASE = 150
UP_S = 60.0
CALL_S = 10.0
SHARD = "shards/5"


@pytest.fixture
async def leader(tmp_path: Path) -> AsyncIterator[aio.Channel]:
    """A channel to the control plane that leads."""
    fleet = await Fleet.up(
        load("small", address_base=ADDRESS_BASE), tmp_path, profile="default", seed=1, timeout_s=UP_S, tell=print
    )
    endpoints = {cp.id: f"{cp.host}:{cp.port}" for cp in fleet.topology.control_planes}
    lines = {cp: channel(endpoint) for cp, endpoint in endpoints.items()}
    asked = cp_grpc.ControlPlaneServiceStub(lines[fleet.topology.control_planes[0].id])
    status = await asked.GetFleetStatus(cp_pb.GetFleetStatusRequest(), timeout=CALL_S)
    yield next(line for cp, line in lines.items() if cp == status.leader)
    for line in lines.values():
        await line.close(None)
    await fleet.down()


async def test_a_switchover_is_planned_started_once_waited_for_and_written_down(leader: aio.Channel) -> None:
    shards = pb_grpc.ShardServiceStub(leader)
    operations = operation_grpc.OperationServiceStub(leader)
    before = (await shards.GetShard(pb.GetShardRequest(name=SHARD), timeout=CALL_S)).shard.assignment

    planned = await shards.SwitchoverShard(pb.SwitchoverShardRequest(name=SHARD, validate_only=True), timeout=CALL_S)
    assert not planned.HasField("operation")
    with pytest.raises(aio.AioRpcError) as nameless:
        await shards.SwitchoverShard(pb.SwitchoverShardRequest(name=SHARD), timeout=CALL_S)
    assert isinstance(error_of(nameless.value), MalformedError)

    wish = pb.SwitchoverShardRequest(name=SHARD, request_id=str(uuid.uuid4()), reason="disk swap")
    started = (await shards.SwitchoverShard(wish, timeout=CALL_S)).operation
    assert (await shards.SwitchoverShard(wish, timeout=CALL_S)).operation.name == started.name, "a retry is recognised"
    ended = await operations.WaitOperation(
        operation_pb.WaitOperationRequest(name=started.name, timeout_ms=8_000), timeout=CALL_S
    )
    assert ended.operation.done, ended
    assert not ended.operation.HasField("error"), ended

    after = (await shards.GetShard(pb.GetShardRequest(name=SHARD), timeout=CALL_S)).shard.assignment
    assert (after.primary, after.standby) == (before.standby, before.primary)
    assert after.epoch == before.epoch + 1
    listed = await operations.ListOperations(operation_pb.ListOperationsRequest(), timeout=CALL_S)
    assert [one.name for one in listed.operations] == [started.name]
    watched = event_grpc.EventServiceStub(leader).WatchEvents(
        event_pb.WatchEventsRequest(after_number=0, type_prefix="shard.switched"), timeout=CALL_S
    )
    async for step in watched:
        assert step.event.subject == SHARD
        break


async def test_what_does_not_exist_is_not_found_and_pages_join_up(leader: aio.Channel) -> None:
    shards = pb_grpc.ShardServiceStub(leader)
    with pytest.raises(aio.AioRpcError) as unknown:
        await shards.GetShard(pb.GetShardRequest(name="shards/999"), timeout=CALL_S)
    assert isinstance(error_of(unknown.value), NotFoundError)
    with pytest.raises(aio.AioRpcError) as nowhere:
        await operation_grpc.OperationServiceStub(leader).GetOperation(
            operation_pb.GetOperationRequest(name="operations/none"), timeout=CALL_S
        )
    assert isinstance(error_of(nowhere.value), NotFoundError)
    names: list[str] = []
    page_token = ""
    while True:
        request = pb.ListShardsRequest(geography="eu", page_size=20, page_token=page_token)
        page = await shards.ListShards(request, timeout=CALL_S)
        names += [shard.name for shard in page.shards]
        page_token = page.next_page_token
        if not page_token:
            break
    assert names == [f"shards/{number}" for number in range(48)]
