"""A fleet in one event loop: real gRPC servers and a dictionary for a journal; enough to test a client's edge."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from google.protobuf.any_pb2 import Any as AnyMessage

from core.assignments import Assignment, Copy
from core.errors import AnswerTooLargeError, NotOwnerError, TwinholdError, UnknownOutcomeError
from core.fleet_map import Delta, Revision
from core.gate import LoopbackPolicy
from core.io.serve import Context, Server
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind, Topology
from core.wire import command_error, delta_to_pb, snapshot_to_pb
from regions.io.load import load
from twinhold.v1 import assignment_service_pb2 as map_pb
from twinhold.v1 import assignment_service_pb2_grpc as map_rpc
from twinhold.v1 import chat_pb2
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

FLEET = load("small", address_base=65)
LEFT, RIGHT = FLEET.nodes[0].id, FLEET.nodes[1].id
SHARED_BYTES_MAX = 1_000


@dataclass
class Truth:
    """What the pocket fleet agrees on."""

    topology: Topology = FLEET
    primary: NodeId = LEFT
    epoch: int = 1
    posts: list[str] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    """By request id: the post's position."""
    lose_answers: int = 0
    """How many of the next commands take effect without being answered."""
    asked: list[str] = field(default_factory=list)
    """How each read came: over a session or as a stream."""
    waits_ms: list[int] = field(default_factory=list)
    """What each piece of a session's work said about its deadline."""
    deltas: list[asyncio.Queue[Delta]] = field(default_factory=list)

    @property
    def revision(self) -> Revision:
        """One revision per epoch."""
        return Revision(1, 1, self.epoch)

    def assignments(self) -> tuple[Assignment, ...]:
        """Every shard has the same owner."""
        other = RIGHT if self.primary == LEFT else LEFT
        return tuple(
            Assignment(ShardId(n), Kind.COLLAB, 1, self.epoch, copy(self.primary), copy(other))
            for n in range(self.topology.shards)
        )

    def move(self, *, tell: bool) -> None:
        """Change the owner; ``tell``: and the map's watchers."""
        base = self.revision
        self.primary = RIGHT if self.primary == LEFT else LEFT
        self.epoch += 1
        if tell:
            for queue in self.deltas:
                queue.put_nowait(Delta(base, self.revision, self.assignments()))

    def check(self, node: NodeId) -> None:
        """Serve at the owner only."""
        if node != self.primary:
            raise NotOwnerError("elsewhere", owner=self.primary, epoch=self.epoch, incarnation=1)

    def run(self, node: NodeId, command: pb.Command) -> pb.CommandAnswer:
        """Take a post, once per request id."""
        self.check(node)
        replayed = command.request_id in self.taken
        if not replayed:
            asked = chat_pb2.ChatCommand()
            assert command.body.Unpack(asked)
            self.posts.append(asked.post.text)
            self.taken[command.request_id] = len(self.posts)
        if self.lose_answers:
            self.lose_answers -= 1
            raise UnknownOutcomeError("the answer was lost")
        seq = self.taken[command.request_id]
        body = AnyMessage()
        body.Pack(chat_pb2.ChatAnswer(seq=seq))
        return pb.CommandAnswer(body=body, position=pb.Position(shard=0, lsn=seq), replayed=replayed)


class Maps(map_rpc.AssignmentServiceServicer):
    """Serves the truth as a map."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def Watch(self, request: map_pb.WatchRequest, context: Context) -> AsyncIterator[map_pb.WatchResponse]:
        queue: asyncio.Queue[Delta] = asyncio.Queue()
        self._truth.deltas.append(queue)
        truth = self._truth
        yield map_pb.WatchResponse(snapshot=snapshot_to_pb(truth.revision, truth.assignments(), {}, truth.topology))
        while True:
            yield map_pb.WatchResponse(delta=delta_to_pb(await queue.get(), truth.topology.fleet))

    async def Resolve(self, request: map_pb.ResolveRequest, context: Context) -> map_pb.ResolveResponse:
        endpoint = self._truth.topology.node(self._truth.primary).endpoint
        return map_pb.ResolveResponse(primary_endpoint=endpoint)


class Commands(rpc.CommandServiceServicer):
    """One node's commands."""

    def __init__(self, truth: Truth, node: NodeId) -> None:
        self._truth, self._node = truth, node

    async def Submit(self, request: pb.SubmitRequest, context: Context) -> pb.SubmitResponse:
        return pb.SubmitResponse(answer=self._truth.run(self._node, request.command))

    async def Session(
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[pb.SessionResponse]:
        async for request in request_iterator:
            yield pb.SessionResponse(results=[self._result(item) for item in request.commands])

    def _result(self, item: pb.SessionCommand) -> pb.SessionResult:
        self._truth.waits_ms.append(item.wait_ms)
        try:
            if item.HasField("query"):
                result = pb.CommandResult(read=self._read())
            else:
                result = pb.CommandResult(answer=self._truth.run(self._node, item.command))
        except TwinholdError as error:
            result = pb.CommandResult(error=command_error(error))
        return pb.SessionResult(ticket=item.ticket, result=result)

    def _read(self) -> pb.QueryAnswer:
        self._truth.asked.append("session")
        self._truth.check(self._node)
        posts = [chat_pb2.Post(seq=seq, text=text) for seq, text in enumerate(self._truth.posts, start=1)]
        body = AnyMessage()
        body.Pack(chat_pb2.ChatQueryAnswer(posts=posts))
        if len(body.value) > SHARED_BYTES_MAX:
            raise AnswerTooLargeError(size_bytes=len(body.value), limit_bytes=SHARED_BYTES_MAX)
        return pb.QueryAnswer(body=body, position=pb.Position(lsn=len(posts)))

    async def Query(self, request: pb.QueryRequest, context: Context) -> AsyncIterator[pb.QueryResponse]:
        self._truth.asked.append("stream")
        self._truth.check(self._node)
        for seq, text in enumerate(self._truth.posts, start=1):
            body = AnyMessage()
            body.Pack(chat_pb2.ChatQueryAnswer(posts=[chat_pb2.Post(seq=seq, text=text)]))
            last = seq == len(self._truth.posts)
            yield pb.QueryResponse(body=body, position=pb.Position(lsn=len(self._truth.posts)), last=last)

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.SubscribeResponse]:
        for seq in range(request.after_lsn + 1, len(self._truth.posts) + 1):
            event = AnyMessage()
            event.Pack(chat_pb2.ChatEvent(posted=chat_pb2.Posted(seq=seq, text=self._truth.posts[seq - 1])))
            entry = pb.SubscribedEntry(position=pb.Position(lsn=seq), app="chat", events=[event])
            yield pb.SubscribeResponse(entry=entry)


class PocketFleet:
    """Two nodes and a control plane, started and stopped one by one."""

    def __init__(self) -> None:
        self.truth = Truth()
        self._servers: dict[str, Server] = {}

    async def start(self, name: str) -> str:
        """Start ``left``, ``right`` or ``control plane``; returns its endpoint."""
        node = {"left": FLEET.nodes[0], "right": FLEET.nodes[1]}.get(name)
        place = node or FLEET.control_planes[0]
        server = self._servers[name] = Server(place.host, place.port, LoopbackPolicy())
        map_rpc.add_AssignmentServiceServicer_to_server(Maps(self.truth), server.server)
        if node is not None:
            rpc.add_CommandServiceServicer_to_server(Commands(self.truth, node.id), server.server)
        await server.start(["twinhold.v1.AssignmentService", "twinhold.v1.CommandService"])
        return place.endpoint

    async def stop(self, name: str) -> None:
        """Stop one."""
        await self._servers.pop(name).stop(0)

    async def close(self) -> None:
        """Stop all."""
        for name in list(self._servers):
            await self.stop(name)


def copy(node: NodeId) -> Copy:
    """Name the one copy that a node has."""
    return Copy(node, CopyId(f"{node}.1"))
