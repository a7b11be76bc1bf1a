"""One simulated person: posts into a channel and reads it, through the client's own machine, and keeps the history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaos.history import Line, Outcome, Post, Read
from chaos.sim.network import Network
from chaos.sim.node import SimNode
from chaos.sim.time import Host
from client.budget import RetryBudget
from client.call import (
    USUAL,
    Abandon,
    Action,
    Call,
    Failed,
    Finish,
    GiveUp,
    Moved,
    Send,
    Started,
    Succeeded,
    target_of,
    without_effect,
)
from core.errors import TwinholdError, UnavailableError, UnknownOutcomeError
from core.machine import Output
from core.names import NodeId, TenantName
from nodes import views as nv
from nodes.app_table import AppTable, type_url
from nodes.errands import only_part
from nodes.frames import Frame
from nodes.ledger import Submitted
from twinhold.v1 import chat_pb2, journal_pb2

CHANNEL = "general"
OPERATION_S = 5.0
READ_LIMIT = 5
AUDIT_LIMIT = 100_000
SHARED_BYTES_MAX = 128
"""What a read may bring that shares a stream: so little that reads of either kind happen in every schedule."""
LOOK_S = 0.1
"""How often a call that is under way looks for a newer map."""


@dataclass(slots=True)
class User:
    """A tenant's only member; one operation at a time, and a pause between two."""

    tenant: TenantName
    host: Host
    network: Network[Frame]
    nodes: Mapping[NodeId, SimNode]
    apps: AppTable
    lines: list[Line]
    pause_s: float
    created: bool = False
    stopped: bool = False
    operations: int = 0
    errors: set[str] = field(default_factory=set)
    """Names of the error classes that ended an operation."""

    def start(self) -> None:
        """Create the tenant, then work until stopped."""
        create = journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand(display_name="simulated"))
        self._write(create.SerializeToString(), type_url(journal_pb2.TenantCommand), self._born)

    def audit(self, done: Callable[[], None]) -> None:
        """Read the whole channel once."""
        self._read(AUDIT_LIMIT, done)

    def _born(self, request_id: str, answer: nv.Answered | TwinholdError, began: float) -> None:
        self.created = not isinstance(answer, TwinholdError) or type(answer).__name__ == "AlreadyExistsError"
        if self.created:
            self._next()
        elif not self.stopped:
            self.host.call_at(self.host.now() + 0.2, self.start)

    def _next(self) -> None:
        if self.stopped:
            return
        chance = self.host.world.chance
        deed = self._post if chance.random() < 0.5 else lambda: self._read(READ_LIMIT, self._next)
        self.host.call_at(self.host.now() + chance.expovariate(1 / self.pause_s), deed)

    def _post(self) -> None:
        self.operations += 1
        text = f"{self.tenant.slug}-{self.operations}"
        command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel=CHANNEL, text=text))

        def done(request_id: str, answer: nv.Answered | TwinholdError, began: float) -> None:
            ok = isinstance(answer, nv.Answered)
            seq = chat_pb2.ChatAnswer.FromString(answer.body).seq if isinstance(answer, nv.Answered) else None
            told = self._told(answer)
            ended = self._ns(self.host.world.now) if ok or told == "failed" else None
            who = (str(self.tenant), CHANNEL, self.tenant.slug, request_id)
            self.lines.append(Post(*who, text, seq, self._ns(began), ended, told))
            self._next()

        self._write(command.SerializeToString(), type_url(chat_pb2.ChatCommand), done)

    def _read(self, limit: int, then: Callable[[], None]) -> None:
        self.operations += 1
        query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel=CHANNEL, limit=limit)).SerializeToString()

        def attempt(node: SimNode, send: Send, back: Callable[[nv.QueryOutcome], None]) -> None:
            assert node.driver is not None, "asked only while it lives"
            node.driver.query(
                tenant=str(self.tenant),
                type_url=type_url(chat_pb2.ChatQuery),
                body=query,
                actor="user",
                done=back if send.streamed else lambda outcome: back(_shared(outcome)),
            )

        def done(request_id: str, answer: nv.QueryAnswer | TwinholdError, began: float) -> None:
            if isinstance(answer, nv.QueryAnswer):
                parts = [chat_pb2.ChatQueryAnswer.FromString(body) for _, body in answer.parts]
                posts = tuple((post.seq, None if post.deleted else post.text) for part in parts for post in part.posts)
                ended = self._ns(self.host.world.now)
                who = (str(self.tenant), CHANNEL, self.tenant.slug, request_id)
                self.lines.append(Read(*who, limit, posts, self._ns(began), ended, "ok"))
            else:
                self._told(answer)
            then()

        _Operation(self, writes=False, attempt=attempt, done=done, streamed=limit == AUDIT_LIMIT).start()

    def _write(self, body: bytes, url: str, done: Callable[[str, nv.Answered | TwinholdError, float], None]) -> None:
        request_id = f"{self.tenant.slug}-{self.host.world.chance.getrandbits(64):016x}"
        submitted = Submitted(str(self.tenant), self.apps.of_command(url).name, body, url, "user", request_id)

        def attempt(node: SimNode, send: Send, back: Callable[[nv.Outcome], None]) -> None:
            assert node.driver is not None, "asked only while it lives"
            node.driver.submit(submitted, back)

        _Operation(self, writes=True, attempt=attempt, done=done, request_id=request_id).start()

    def _told(self, answer: object) -> Outcome:
        if not isinstance(answer, TwinholdError):
            return "ok"
        self.errors.add(type(answer).__name__)
        return "unknown" if isinstance(answer, UnknownOutcomeError) else "failed"

    @staticmethod
    def _ns(seconds: float) -> int:
        return int(seconds * 1e9)


class _Operation:
    """One logical operation: performs what the client's machine decides."""

    def __init__(
        self,
        user: User,
        *,
        writes: bool,
        attempt: Callable[[SimNode, Send, Callable[..., None]], None],
        done: Callable[..., None],
        request_id: str = "",
        streamed: bool = False,
    ) -> None:
        self._user, self._attempt, self._done = user, attempt, done
        self._request_id = request_id or f"read-{user.operations}"
        host = user.host
        self._began = host.world.now
        self._ended = False
        self._call: Call[object] = Call(
            self._request_id,
            deadline=host.now() + OPERATION_S,
            writes=writes,
            streamed=streamed,
            policy=USUAL,
            budget=RetryBudget(per_s=1000.0, burst=100.0),
            chance=host.world.chance.random,
        )

    def start(self) -> None:
        """Begin: with whatever some node's map says."""
        self._perform(self._call.on(Started(None), self._user.host.now()))
        self._look()

    def _look(self) -> None:
        """Ask any node where the tenant lives, now and again while the operation lasts."""
        if self._ended:
            return
        user = self._user
        node = user.host.world.chance.choice(list(user.nodes.values()))

        def found(assignment: object) -> None:
            if assignment is not None and not self._ended:
                self._perform(self._call.on(Moved(target_of(assignment)), user.host.now()))  # type: ignore[arg-type]

        user.network.call(user.host.name, node.node, lambda back: back(node.locate(user.tenant)), found, deadline_s=0.5)
        user.host.call_at(user.host.now() + LOOK_S, self._look)

    def _perform(self, output: Output[Action[object]]) -> None:
        for action in output.actions:
            match action:
                case Send():
                    self._send(action, self._user.nodes[action.node])
                case Abandon():
                    pass
                case Finish(answer):
                    self._end(answer)
                case GiveUp(error):
                    self._end(error)
        if not self._ended and output.wake_at != float("inf"):
            host = self._user.host
            host.call_at(output.wake_at, lambda: self._perform(self._call.wake(host.now())))

    def _send(self, send: Send, node: SimNode) -> None:
        user, attempt = self._user, send.attempt

        def there(back: Callable[[object], None]) -> None:
            if node.driver is not None:
                self._attempt(node, send, back)

        def came(answer: object) -> None:
            if self._ended:
                return
            now = user.host.now()
            if answer is None:
                lost = UnavailableError("the call was lost")
                self._perform(self._call.on(Failed(attempt, lost, certain=False), now))
            elif isinstance(answer, TwinholdError):
                self._perform(self._call.on(Failed(attempt, answer, certain=without_effect(answer)), now))
            else:
                self._perform(self._call.on(Succeeded(attempt, answer), now))

        user.network.call(user.host.name, node.node, there, came, deadline_s=OPERATION_S)

    def _end(self, answer: object) -> None:
        self._ended = True
        self._done(self._request_id, answer, self._began)


def _shared(outcome: nv.QueryOutcome) -> nv.QueryOutcome:
    """Refuse what is too large to share a stream, as a node's session does."""
    if isinstance(outcome, nv.QueryAnswer):
        try:
            only_part(outcome, limit_bytes=SHARED_BYTES_MAX)
        except TwinholdError as error:
            return error
    return outcome
