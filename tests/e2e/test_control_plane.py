"""A store and three control planes as real processes: they elect a leader, serve, and survive its loss."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from core.errors import NotLeaderError, TwinholdError, UnavailableError
from core.io.dial import channel
from core.io.status import error_of
from core.names import ControlPlaneId
from core.processes import ControlPlaneConfig, StoreConfig
from tests.fleets import small_fleet
from tests.hosted_process import HostedProcess
from twinhold.v1 import control_plane_service_pb2 as cp_pb
from twinhold.v1 import control_plane_service_pb2_grpc as cp_grpc
from twinhold.v1 import data_center_service_pb2 as dc_pb
from twinhold.v1 import data_center_service_pb2_grpc as dc_grpc
from twinhold.v1 import event_pb2
from twinhold.v1 import event_service_pb2 as event_pb
from twinhold.v1 import event_service_pb2_grpc as event_grpc
from twinhold.v1 import node_service_pb2 as node_pb
from twinhold.v1 import node_service_pb2_grpc as node_grpc

pytestmark = pytest.mark.e2e

Answer = TypeVar("Answer")

FLEET = small_fleet(45)
START_S = 10.0
TAKEOVER_S = 2.0
CALL_S = 3.0
PACE_S = 0.02


@dataclass
class Fleet:
    """The processes, and a channel to each control plane."""

    store: HostedProcess
    control_planes: dict[ControlPlaneId, HostedProcess]
    lines: dict[ControlPlaneId, aio.Channel]

    def status(self, asked: ControlPlaneId) -> Awaitable[cp_pb.GetFleetStatusResponse]:
        """Ask one control plane how the fleet is."""
        stub = cp_grpc.ControlPlaneServiceStub(self.lines[asked])
        return stub.GetFleetStatus(cp_pb.GetFleetStatusRequest(), timeout=CALL_S)

    async def leader(self, *, among: list[ControlPlaneId], within_s: float) -> ControlPlaneId:
        """Wait until one of these leads and the others know it."""

        async def agreed() -> ControlPlaneId | None:
            leaders = {(await self.status(one)).leader for one in among}
            found = ControlPlaneId(leaders.pop()) if len(leaders) == 1 else None
            return found if found in among else None

        return await until(agreed, within_s)

    def followers(self, leader: ControlPlaneId) -> list[ControlPlaneId]:
        """Name the others."""
        return [one for one in self.control_planes if one != leader]


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    store = HostedProcess("control_plane.io.store_process", FLEET.store_endpoint)
    control_planes = {
        cp.id: HostedProcess("control_plane.io.process", f"{cp.host}:{cp.port}") for cp in FLEET.control_planes
    }
    made = Fleet(store, control_planes, {cp: channel(one.endpoint) for cp, one in control_planes.items()})
    store.start(lambda life_fd: StoreConfig(FLEET, tmp_path / "store", life_fd))
    for cp, process in control_planes.items():
        process.start(lambda life_fd, cp=cp: ControlPlaneConfig(FLEET, cp, "default", tmp_path / cp, 1, life_fd))  # type: ignore[misc]
    try:
        await asyncio.gather(*(process.ready() for process in (store, *control_planes.values())))
        yield made
    finally:
        for process in (store, *control_planes.values()):
            process.kill()
        for line in made.lines.values():
            await line.close(None)


async def until(true: Callable[[], Awaitable[Answer | None]], within_s: float) -> Answer:
    """Ask again and again until there is an answer; real processes can't be told to be ready."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await true()
            if answer is not None:
                return answer
            await asyncio.sleep(PACE_S)


async def written(call: Awaitable[Answer]) -> Answer | None:
    """Wait for a write; None while the leader is not ready for it."""
    try:
        return await call
    except aio.AioRpcError as failure:
        error = error_of(failure)
        if not isinstance(error, UnavailableError):
            raise error from failure
        return None


async def refused(call: Awaitable[object]) -> TwinholdError:
    """Expect a call to fail, and read why."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return error_of(caught.value)


async def first_events(line: aio.Channel, type_prefix: str, *, count: int) -> list[event_pb2.Event]:
    """Watch the audit journal from its beginning until so many events of a type have come."""
    request = event_pb.WatchEventsRequest(after_number=0, type_prefix=type_prefix)
    found: list[event_pb2.Event] = []
    async for step in event_grpc.EventServiceStub(line).WatchEvents(request, timeout=START_S):
        found.append(step.event)
        if len(found) == count:
            break
    return found


async def report_to(line: aio.Channel) -> aio.StreamStreamCall[node_pb.ReportRequest, node_pb.ReportResponse]:
    """Report as a node does, once."""
    stream = node_grpc.NodeServiceStub(line).Report(None, timeout=START_S)
    await stream.write(node_pb.ReportRequest(node=FLEET.nodes[0].id, sequence=1, complete=True))
    return stream


def fresh_id() -> str:
    return str(uuid.uuid4())


def cordon(line: aio.Channel, request_id: str, etag: str = "") -> Awaitable[dc_pb.CordonDataCenterResponse]:
    request = dc_pb.CordonDataCenterRequest(
        name="dataCenters/waw1", request_id=request_id, etag=etag, reason="new racks"
    )
    return dc_grpc.DataCenterServiceStub(line).CordonDataCenter(request, timeout=CALL_S)


async def test_a_leader_emerges_serves_operators_and_says_where_it_stands(fleet: Fleet) -> None:
    leader = await fleet.leader(among=list(fleet.control_planes), within_s=START_S)
    line = fleet.lines[leader]
    follower = fleet.lines[fleet.followers(leader)[0]]

    request_id = fresh_id()
    cordoned = (await until(lambda: written(cordon(line, request_id)), START_S)).data_center
    assert cordoned.cordoned
    assert (await cordon(line, request_id)).data_center.cordoned, "a retry is recognised"
    listed = await dc_grpc.DataCenterServiceStub(line).ListDataCenters(
        dc_pb.ListDataCentersRequest(page_size=2), timeout=CALL_S
    )
    rest = await dc_grpc.DataCenterServiceStub(line).ListDataCenters(
        dc_pb.ListDataCentersRequest(page_size=2, page_token=listed.next_page_token), timeout=CALL_S
    )
    assert [(one.name, one.cordoned) for one in (*listed.data_centers, *rest.data_centers)] == [
        ("dataCenters/fra1", False),
        ("dataCenters/ams1", False),
        ("dataCenters/waw1", True),
    ]
    opened = await dc_grpc.DataCenterServiceStub(line).UncordonDataCenter(
        dc_pb.UncordonDataCenterRequest(name="dataCenters/waw1", etag=cordoned.etag, request_id=fresh_id()),
        timeout=CALL_S,
    )
    assert not opened.data_center.cordoned
    stale = await refused(cordon(line, fresh_id(), etag=cordoned.etag))
    assert stale.code == "ABORTED"

    elsewhere = await refused(cordon(follower, fresh_id()))
    assert isinstance(elsewhere, NotLeaderError)
    assert elsewhere.facts["leader_endpoint"] == FLEET.control_plane(leader).endpoint

    watched = await first_events(line, "dc.uncordoned", count=1)
    assert watched[0].subject == "dataCenters/waw1"
    events = await event_grpc.EventServiceStub(line).ListEvents(
        event_pb.ListEventsRequest(subject="dataCenters/waw1", type_prefix="dc.cordoned"), timeout=CALL_S
    )
    assert ["new racks" in event.reasons for event in events.events] == [True], "once, although asked twice"


async def test_a_stock_client_needs_nothing_but_reflection(fleet: Fleet) -> None:
    leader = await fleet.leader(among=list(fleet.control_planes), within_s=START_S)
    shown = await asyncio.to_thread(_status_by_reflection, FLEET.control_plane(leader).endpoint)
    assert shown == (FLEET.fleet, leader)


async def test_the_loss_of_the_leader_is_healed_within_two_seconds(fleet: Fleet) -> None:
    first = await fleet.leader(among=list(fleet.control_planes), within_s=START_S)
    term = (await fleet.status(first)).term
    told = await report_to(fleet.lines[fleet.followers(first)[-1]])
    killed_at = time.monotonic()
    fleet.control_planes[first].kill()
    second = await fleet.leader(among=fleet.followers(first), within_s=START_S)
    request_id = fresh_id()
    cordoned = await until(lambda: written(cordon(fleet.lines[second], request_id)), START_S)
    assert time.monotonic() - killed_at < TAKEOVER_S
    assert cordoned.data_center.cordoned
    assert (await fleet.status(second)).term > term
    async for answer in told:
        if answer.leader == second:
            break
    assert time.monotonic() - killed_at < TAKEOVER_S, "nodes are told unasked"


async def test_without_its_store_a_leader_still_answers_and_says_that_it_can_t_write(fleet: Fleet) -> None:
    leader = await fleet.leader(among=list(fleet.control_planes), within_s=START_S)
    request_id = fresh_id()
    await until(lambda: written(cordon(fleet.lines[leader], request_id)), START_S)
    fleet.store.freeze()
    refusal = await refused(
        dc_grpc.DataCenterServiceStub(fleet.lines[leader]).UncordonDataCenter(
            dc_pb.UncordonDataCenterRequest(name="dataCenters/waw1", request_id=fresh_id()), timeout=START_S
        )
    )
    assert refusal.code in {"UNKNOWN", "UNAVAILABLE"}
    assert "store" in refusal.message
    assert (await fleet.status(leader)).fleet == FLEET.fleet
    events = await refused(
        event_grpc.EventServiceStub(fleet.lines[leader]).ListEvents(event_pb.ListEventsRequest(), timeout=CALL_S)
    )
    assert isinstance(events, UnavailableError)
    fleet.store.thaw()


async def test_a_port_in_use_is_one_line_and_processes_die_with_their_host(fleet: Fleet, tmp_path: Path) -> None:
    taken = FLEET.control_planes[0]
    rival = HostedProcess("control_plane.io.process", taken.endpoint)
    rival.start(lambda life_fd: ControlPlaneConfig(FLEET, taken.id, "default", tmp_path / "rival", 1, life_fd))
    assert await asyncio.to_thread(rival.wait) == 1
    assert (tmp_path / "rival" / "failed").read_text().startswith(f"{taken.endpoint} is in use")
    assert await asyncio.to_thread(fleet.control_planes[taken.id].leave) == 0
    assert await asyncio.to_thread(fleet.store.terminate) == 0


def _status_by_reflection(endpoint: str) -> tuple[str, str]:
    with grpc.insecure_channel(endpoint) as line:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(line))
        method = pool.FindServiceByName("twinhold.v1.ControlPlaneService").FindMethodByName("GetFleetStatus")
        call = line.unary_unary(
            "/twinhold.v1.ControlPlaneService/GetFleetStatus",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        answer = call(GetMessageClass(method.input_type)(), timeout=CALL_S)
        return answer.fleet, answer.leader
