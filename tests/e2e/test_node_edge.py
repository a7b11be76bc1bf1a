"""Two real node processes and a control plane that only does what the test says."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2

from core.errors import TwinholdError
from core.io.dial import MESSAGE_BYTES_MAX, channel
from core.io.hosted import FAILED
from core.io.status import error_of
from core.names import NodeId, tenant_name
from core.processes import NodeConfig
from core.sharding import home_shard
from core.topology import Topology
from core.wire import error_of_command
from tests.e2e.scripted_control_plane import ScriptedControlPlane, until
from tests.fleets import small_fleet
from tests.hosted_process import HostedProcess
from twinhold.v1 import (
    assignment_service_pb2,
    assignment_service_pb2_grpc,
    chat_pb2,
    command_service_pb2,
    command_service_pb2_grpc,
    journal_pb2,
)
from twinhold.v1 import node_service_pb2 as node_pb
from twinhold.v1 import node_service_pb2_grpc as node_pb_grpc

pytestmark = pytest.mark.e2e

FRA, AMS = NodeId("fra1-c1"), NodeId("ams1-c1")
TENANT = "tenants/eu/acme"
RETRY_S = 0.02


def fleet() -> Topology:
    drawn = small_fleet(148)
    return replace(drawn, control_planes=drawn.control_planes[2:])


class TwoNodes:
    """The pair, the control plane, and a tenant's client."""

    def __init__(self, folder: Path) -> None:
        self.topology = fleet()
        self.folder = folder
        self.control = ScriptedControlPlane(self.topology, (FRA, AMS))  # type: ignore[abstract]  # the nodes' half is not its own
        self.processes = {
            node: HostedProcess("nodes.io.process", self.topology.node(node).endpoint) for node in (FRA, AMS)
        }
        self.lines: dict[NodeId, aio.Channel] = {}
        geography = self.topology.geographies[0]
        self.shard = home_shard(tenant_name(TENANT), geography)

    async def up(self) -> None:
        await self.control.start()
        for node in self.processes:
            self.start(node)
        await asyncio.gather(*(process.ready() for process in self.processes.values()))
        await self.serving(FRA)

    def start(self, node: NodeId) -> None:
        self.processes[node].start(
            lambda life_fd: NodeConfig(self.topology, node, "default", self.folder / node, seed=1, life_fd=life_fd)
        )

    async def serving(self, node: NodeId) -> None:
        await until(lambda: self.serves(node))

    def serves(self, node: NodeId) -> bool:
        report = self.control.copies.get((node, self.shard))
        return report is not None and report.serving

    def stub(self, node: NodeId) -> "command_service_pb2_grpc.CommandServiceAsyncStub":
        return command_service_pb2_grpc.CommandServiceStub(self.line(node))

    def line(self, node: NodeId) -> aio.Channel:
        if node not in self.lines:
            self.lines[node] = channel(self.topology.node(node).endpoint)
        return self.lines[node]

    async def submit(self, node: NodeId, body: Message, request_id: str = "") -> command_service_pb2.CommandAnswer:
        command = commanded(body, request_id)
        try:
            answered = await self.stub(node).Submit(command_service_pb2.SubmitRequest(command=command), timeout=10)
        except grpc.RpcError as error:
            raise error_of(error) from error
        return answered.answer

    async def submit_until_done(self, node: NodeId, body: Message) -> command_service_pb2.CommandAnswer:
        """Repeat one command under one request id until it is answered."""
        request_id = uuid.uuid4().hex
        async with asyncio.timeout(15):
            while True:
                try:
                    return await self.submit(node, body, request_id)
                except TwinholdError:
                    await asyncio.sleep(RETRY_S)

    async def posts(self, node: NodeId) -> list[str]:
        query = command_service_pb2.QueryRequest(tenant=TENANT)
        query.body.Pack(chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general", limit=1000)))
        found: list[str] = []
        async for part in self.stub(node).Query(query, timeout=10):
            answer = chat_pb2.ChatQueryAnswer()
            assert part.body.Unpack(answer)
            found.extend(post.text for post in answer.posts)
        return found

    async def last_lsn(self, node: NodeId) -> int:
        """Ask a copy how far its journal goes, as a leader does before it promotes."""
        copy = self.control.copy(node, self.shard)
        asked = node_pb.PrepareShard(shard=self.shard, incarnation=copy.incarnation, epoch=copy.epoch)
        stub = node_pb_grpc.NodeServiceStub(self.line(node))
        return (await stub.Prepare(node_pb.PrepareRequest(term=1, shards=[asked]))).results[0].last_lsn

    async def over_session(
        self, node: NodeId, *items: command_service_pb2.SessionCommand
    ) -> dict[int, command_service_pb2.CommandResult]:
        """Send work over a session of its own, and take every answer."""
        session = self.stub(node).Session(None)
        await session.write(command_service_pb2.SessionRequest(commands=items))
        await session.done_writing()
        results: dict[int, command_service_pb2.CommandResult] = {}
        while isinstance(response := await session.read(), command_service_pb2.SessionResponse):
            for result in response.results:
                assert result.ticket not in results
                results[result.ticket] = result.result
        return results

    async def down(self) -> None:
        for line in self.lines.values():
            await line.close(None)
        for process in self.processes.values():
            process.kill()
        await self.control.stop()


def commanded(body: Message, request_id: str = "") -> command_service_pb2.Command:
    command = command_service_pb2.Command(tenant=TENANT, request_id=request_id or uuid.uuid4().hex)
    command.body.Pack(body)
    return command


def read(ticket: int, *, limit: int = 20, wait_ms: int = 0) -> command_service_pb2.SessionCommand:
    query = command_service_pb2.QueryRequest(tenant=TENANT)
    query.body.Pack(chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general", limit=limit)))
    return command_service_pb2.SessionCommand(ticket=ticket, query=query, wait_ms=wait_ms)


def texts_in(result: command_service_pb2.CommandResult) -> list[str]:
    answer = chat_pb2.ChatQueryAnswer()
    assert result.read.body.Unpack(answer)
    return [post.text for post in answer.posts]


def post(text: str) -> chat_pb2.ChatCommand:
    return chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text=text))


def created() -> journal_pb2.TenantCommand:
    return journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand(display_name="Acme"))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[TwoNodes]:
    made = TwoNodes(tmp_path)
    try:
        await made.up()
        await made.submit_until_done(FRA, created())
        yield made
    finally:
        await made.down()


async def test_posts_are_answered_read_back_and_held_by_both(pair: TwoNodes) -> None:
    answers = [await pair.submit(FRA, post(f"post {number}")) for number in range(5)]
    assert {answer.position.shard for answer in answers} == {pair.shard}
    assert await pair.posts(FRA) == [f"post {number}" for number in range(5)]
    assert await pair.last_lsn(AMS) >= answers[-1].position.lsn


async def test_a_session_answers_every_ticket_once_and_errors_as_fields(pair: TwoNodes) -> None:
    commands = [
        command_service_pb2.SessionCommand(ticket=ticket, command=commanded(post(f"post {ticket}")))
        for ticket in range(1, 201)
    ]
    commands.append(command_service_pb2.SessionCommand(ticket=999, command=commanded(Any())))
    results = await pair.over_session(FRA, *commands)
    assert error_of_command(results.pop(999).error).reason == "UNKNOWN_APP"
    assert sorted(results) == list(range(1, 201))
    assert all(result.WhichOneof("outcome") == "answer" for result in results.values())
    assert sorted(await pair.posts(FRA)) == sorted(f"post {ticket}" for ticket in range(1, 201))


async def test_a_read_over_a_session_shows_what_was_acknowledged_and_only_the_owner_answers(pair: TwoNodes) -> None:
    sent = await pair.submit(FRA, post("one"))
    results = await pair.over_session(FRA, *(read(ticket) for ticket in range(1, 101)))
    assert sorted(results) == list(range(1, 101))
    assert all(texts_in(result) == ["one"] for result in results.values())
    assert results[1].read.position == sent.position
    (astray,) = (await pair.over_session(AMS, read(1))).values()
    error = error_of_command(astray.error)
    assert (error.reason, error.facts["owner"]) == ("NOT_OWNER", FRA)
    assert error.facts["owner_endpoint"] == pair.topology.node(FRA).endpoint


async def test_a_long_answer_is_refused_on_a_session_and_comes_by_query(pair: TwoNodes) -> None:
    for number in range(6):
        await pair.submit(FRA, post(str(number) * 16_000))
    results = await pair.over_session(FRA, read(1), read(2, limit=1))
    error = error_of_command(results[1].error)
    assert (error.reason, error.facts["limit_bytes"]) == ("ANSWER_TOO_LARGE", str(64 * 1024))
    assert texts_in(results[2]) == ["5" * 16_000]
    assert await pair.posts(FRA) == [str(number) * 16_000 for number in range(6)]


async def test_a_session_does_not_hold_work_beyond_its_deadline(pair: TwoNodes) -> None:
    pair.processes[AMS].freeze()
    command = command_service_pb2.SessionCommand(ticket=1, command=commanded(post("waits")), wait_ms=50)
    results = await pair.over_session(FRA, command)
    assert error_of_command(results[1].error).reason == "UNKNOWN_OUTCOME"
    pair.processes[AMS].thaw()
    await pair.submit_until_done(FRA, post("after"))
    assert await pair.posts(FRA) == ["waits", "after"], "what was unknown did happen here"


async def test_a_subscription_brings_committed_entries_from_a_position_on(pair: TwoNodes) -> None:
    first = await pair.submit(FRA, post("one"))
    request = command_service_pb2.SubscribeRequest(tenant=TENANT, after_lsn=first.position.lsn - 1)
    steps = pair.stub(FRA).Subscribe(request)
    await pair.submit(FRA, post("two"))
    texts: list[str] = []
    async with asyncio.timeout(10):
        while len(texts) < 2:
            step = await steps.read()
            assert isinstance(step, command_service_pb2.SubscribeResponse)
            for packed in step.entry.events:
                event = chat_pb2.ChatEvent()
                assert packed.Unpack(event)
                if event.HasField("posted"):
                    texts.append(event.posted.text)
    steps.cancel()
    assert texts == ["one", "two"]


async def test_whoever_is_not_the_owner_names_it(pair: TwoNodes) -> None:
    with pytest.raises(TwinholdError) as caught:
        await pair.submit(AMS, post("astray"))
    assert caught.value.reason == "NOT_OWNER"
    assert caught.value.facts["owner"] == FRA
    assert caught.value.facts["owner_endpoint"] == pair.topology.node(FRA).endpoint
    assert caught.value.facts["epoch"] == "1"


async def test_a_message_above_the_limit_is_refused_and_the_limit_named(pair: TwoNodes) -> None:
    with pytest.raises(TwinholdError) as caught:
        await pair.submit(FRA, post("x" * MESSAGE_BYTES_MAX))
    assert caught.value.reason == "OVERSIZED"
    assert caught.value.facts["limit_bytes"] == str(MESSAGE_BYTES_MAX)


async def test_a_request_id_used_for_another_body_is_refused_and_a_retry_replayed(pair: TwoNodes) -> None:
    first = await pair.submit(FRA, post("once"), "the-same")
    again = await pair.submit(FRA, post("once"), "the-same")
    assert (again.replayed, again.position) == (True, first.position)
    with pytest.raises(TwinholdError) as caught:
        await pair.submit(FRA, post("twice"), "the-same")
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_a_lost_standby_is_evicted_and_writes_go_on(pair: TwoNodes) -> None:
    pair.processes[AMS].kill()
    await pair.submit_until_done(FRA, post("alone"))
    assert pair.control.map.shards[pair.shard].solo
    await until(lambda: pair.control.sights[(FRA, AMS)].sight == node_pb.Observation.SIGHT_REFUSED)


async def test_a_promoted_standby_serves_what_was_acknowledged_and_knows_retries(pair: TwoNodes) -> None:
    await pair.submit(FRA, post("before"), "before")
    pair.processes[FRA].kill()
    pair.control.promote(pair.shard)
    again = await pair.submit_until_done(AMS, post("after"))
    assert again.position.shard == pair.shard
    assert await pair.posts(AMS) == ["before", "after"]
    assert (await pair.submit(AMS, post("before"), "before")).replayed


async def test_a_returned_copy_is_taken_in_again(pair: TwoNodes) -> None:
    pair.processes[AMS].kill()
    await pair.submit_until_done(FRA, post("alone"))
    pair.start(AMS)
    await pair.processes[AMS].ready()
    await until(lambda: pair.control.map.shards[pair.shard].solo)
    assert await pair.control.transfer(pair.shard, node_pb.TransferOrder.KIND_ADD, AMS) == ""
    await until(lambda: not pair.control.map.shards[pair.shard].solo)
    await pair.submit_until_done(FRA, post("together"))


async def test_a_switchover_changes_roles_and_keeps_everything(pair: TwoNodes) -> None:
    await pair.submit(FRA, post("before"))
    assert await pair.control.transfer(pair.shard, node_pb.TransferOrder.KIND_SWITCHOVER) == ""
    await until(lambda: pair.control.map.shards[pair.shard].primary.node == AMS)
    await pair.submit_until_done(AMS, post("after"))
    assert await pair.posts(AMS) == ["before", "after"]


async def test_without_any_control_plane_nodes_serve_even_after_a_restart(pair: TwoNodes) -> None:
    await pair.submit(FRA, post("before"))
    await until(lambda: (pair.folder / FRA / "map.bin").exists())
    await pair.control.stop()
    await pair.submit(FRA, post("without"))
    assert pair.processes[FRA].terminate() == 0
    pair.start(FRA)
    await pair.processes[FRA].ready()
    await pair.submit_until_done(FRA, post("restarted"))
    assert await pair.posts(FRA) == ["before", "without", "restarted"]
    resolved = await assignment_service_pb2_grpc.AssignmentServiceStub(pair.line(FRA)).Resolve(
        assignment_service_pb2.ResolveRequest(tenant=TENANT)
    )
    assert resolved.primary_endpoint == pair.topology.node(FRA).endpoint
    assert resolved.age.age_ms > 0


async def test_reflection_serves_what_a_stock_client_needs_to_build_a_post(pair: TwoNodes) -> None:
    reflect = pair.line(FRA).stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    for symbol in ("twinhold.v1.CommandService", "twinhold.v1.ChatCommand", "twinhold.v1.TenantCommand"):
        call = reflect(None)
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        answer = await call.read()
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        assert answer.file_descriptor_response.file_descriptor_proto, symbol
        call.cancel()


async def test_a_taken_port_is_one_line_and_exit_code_1(pair: TwoNodes, tmp_path: Path) -> None:
    second = HostedProcess("nodes.io.process", pair.topology.node(FRA).endpoint)
    second.start(lambda life_fd: NodeConfig(pair.topology, FRA, "default", tmp_path / "second", 1, life_fd))
    assert await asyncio.to_thread(second.wait) == 1
    assert "is in use" in (tmp_path / "second" / FAILED).read_text()


async def test_a_node_ends_with_its_host(pair: TwoNodes) -> None:
    assert await asyncio.to_thread(pair.processes[AMS].leave) == 0


async def test_a_primary_that_was_frozen_and_replaced_serves_nothing_and_follows(pair: TwoNodes) -> None:
    await pair.submit(FRA, post("before"))
    pair.processes[FRA].freeze()
    pair.control.promote(pair.shard)
    await pair.submit_until_done(AMS, post("meanwhile"))
    pair.processes[FRA].thaw()
    await until(lambda: pair.control.copy(FRA, pair.shard).role == node_pb.CopyReport.ROLE_OUT)
    with pytest.raises(TwinholdError) as caught:
        await pair.submit(FRA, post("too late"))
    assert caught.value.facts["owner"] == AMS
    (stale,) = (await pair.over_session(FRA, read(1))).values()
    assert error_of_command(stale.error).facts["owner"] == AMS
    assert await pair.posts(AMS) == ["before", "meanwhile"]


async def test_a_standby_that_was_frozen_is_evicted_and_taken_in_again(pair: TwoNodes) -> None:
    pair.processes[AMS].freeze()
    await pair.submit_until_done(FRA, post("alone"))
    pair.processes[AMS].thaw()
    assert await pair.control.transfer(pair.shard, node_pb.TransferOrder.KIND_ADD, AMS) == ""
    await until(lambda: not pair.control.map.shards[pair.shard].solo)
    assert pair.control.map.shards[pair.shard].primary.node == FRA
    pair.processes[FRA].kill()
    pair.control.promote(pair.shard)
    await pair.submit_until_done(AMS, post("together"))
    assert await pair.posts(AMS) == ["alone", "together"]
