"""One simulated person: posts into a channel and reads it, through the client's own machines, and keeps the history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from chaos.history import Line, Outcome, Post, Read
from chaos.sim.messages import SimMessage
from chaos.sim.network import Network
from chaos.sim.node import SimNode
from chaos.sim.time import Host
from client.budget import RetryBudget
from client.call import USUAL, Call, Send, Target, target_of, without_effect
from client.io.running import Attempts, Hearer, Patience, Running, UnderWay
from core.assignments import Assignment
from core.errors import TwinholdError, UnavailableError, UnknownOutcomeError
from core.names import NodeId, TenantName
from nodes import views as nv
from nodes.app_table import AppTable, type_url
from nodes.driver import NodeDriver
from nodes.errands import only_part
from nodes.ledger import Submitted
from twinhold.v1 import chat_pb2, journal_pb2

Got = TypeVar("Got")
Ask: TypeAlias = Callable[[NodeDriver, Callable[[Any], None]], None]
"""Asks a node something; whoever asked knows what kind of answer comes back."""
CHANNEL = "general"
OPERATION_S = 5.0
READ_LIMIT = 5
AUDIT_LIMIT = 100_000
SHARED_BYTES_MAX = 128
"""What a read may bring that shares a stream: so little that reads of either kind happen in every schedule."""
WATCH_S = 1.5
"""A node tells a person its map for about so long; then another one is asked."""
CREATE_AGAIN_S = 0.2
_HISTORY: Mapping[int, bytes] = {
    limit: chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel=CHANNEL, limit=limit)).SerializeToString()
    for limit in (READ_LIMIT, AUDIT_LIMIT)
}
"""The query for so many posts at most."""
_CHAT = type_url(chat_pb2.ChatCommand)
_CHAT_QUERY = type_url(chat_pb2.ChatQuery)
_TENANT = type_url(journal_pb2.TenantCommand)


@dataclass(slots=True)
class User:
    """A tenant's only member; one operation at a time, and a pause between two."""

    tenant: TenantName
    host: Host
    network: Network[SimMessage]
    nodes: Mapping[NodeId, SimNode]
    apps: AppTable
    lines: list[Line]
    pause_s: float
    name: str = field(init=False)
    created: bool = False
    stopped: bool = False
    operations: int = 0
    errors: set[str] = field(default_factory=set)
    """Names of the error classes that ended an operation."""
    detours: list[tuple[float, str]] = field(default_factory=list)
    """When and how an operation turned to an older epoch than one it had turned to before."""
    _route: tuple[str, int] = ("", 0)
    """The operation under way, and the epoch that its last attempt went by."""
    _patience: Patience = field(init=False)
    _budget: RetryBudget = field(default_factory=lambda: RetryBudget(per_s=1000.0, burst=100.0))
    _target: Target | None = None
    """Whom the map names, as far as this person has heard."""
    _running: set[UnderWay] = field(default_factory=set)
    _watched: SimNode | None = None

    def __post_init__(self) -> None:
        """Get a sense of time."""
        self.name = str(self.tenant)
        self._patience = Patience(self.host)

    def start(self) -> None:
        """Follow the map, and create the tenant; then work until stopped."""
        self._watch()
        self._create()

    def audit(self, done: Callable[[], None]) -> None:
        """Read the whole channel once."""
        self._read(AUDIT_LIMIT, done)

    # The map.

    def _watch(self) -> None:
        """Let another node tell its map, which may be old."""
        chance = self.host.world.chance
        if self._watched is not None:
            self._watched.unwatch(self.tenant)
        node = self._watched = chance.choice(list(self.nodes.values()))
        self.network.call(
            self.host.name,
            node.node,
            lambda back: back(node.watch(self.tenant, lambda found: self._tell(node, found))),
            self._moved,
            deadline_s=WATCH_S,
        )
        self.host.after(WATCH_S * (0.5 + chance.random()), self._watch)

    def _tell(self, node: SimNode, found: Assignment) -> None:
        """Bring a change of a node's map here."""
        if not self.network.lost(node.node, self.host.name):
            self.host.after(self.network.trip_s(node.node, self.host.name), lambda: self._moved(found))

    def _moved(self, found: Assignment | None) -> None:
        if found is None or (self._target is not None and found.fence <= self._target.fence):
            return
        self._target = target_of(found)
        for running in list(self._running):
            running.moved(self._target)

    # What a person does.

    def _create(self) -> None:
        create = journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand(display_name="simulated"))
        self._write(create.SerializeToString(), _TENANT, self._born)

    def _born(self, request_id: str, answer: object, began: float) -> None:
        self.created = not isinstance(answer, TwinholdError) or type(answer).__name__ == "AlreadyExistsError"
        if self.created:
            self._next()
        elif not self.stopped:
            self.host.after(CREATE_AGAIN_S, self._create)

    def _next(self) -> None:
        if not self.stopped:
            self.host.after(self.host.world.chance.expovariate(1 / self.pause_s), self._act)

    def _act(self) -> None:
        if self.stopped:
            return
        if self.host.world.chance.random() < 0.5:
            self._post()
        else:
            self._read(READ_LIMIT, self._next)

    def _post(self) -> None:
        self.operations += 1
        text = f"{self.tenant.slug}-{self.operations}"
        command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel=CHANNEL, text=text))

        def done(request_id: str, answer: object, began: float) -> None:
            ok = isinstance(answer, nv.Answered)
            seq = chat_pb2.ChatAnswer.FromString(answer.body).seq if isinstance(answer, nv.Answered) else None
            told = self._told(answer)
            ended = self._ns(self.host.world.now) if ok or told == "failed" else None
            who = (self.name, CHANNEL, self.tenant.slug, request_id)
            self.lines.append(Post(*who, text, seq, self._ns(began), ended, told))
            self._next()

        self._write(command.SerializeToString(), _CHAT, done)

    def _read(self, limit: int, then: Callable[[], None]) -> None:
        self.operations += 1
        query = _HISTORY[limit]
        request_id, began = f"read-{self.operations}", self.host.world.now

        def done(answer: object) -> None:
            if isinstance(answer, nv.QueryAnswer):
                parts = [chat_pb2.ChatQueryAnswer.FromString(body) for _, body in answer.parts]
                posts = tuple((post.seq, None if post.deleted else post.text) for part in parts for post in part.posts)
                ended = self._ns(self.host.world.now)
                who = (self.name, CHANNEL, self.tenant.slug, request_id)
                self.lines.append(Read(*who, limit, posts, self._ns(began), ended, "ok"))
            else:
                self._told(answer)
            then()

        self._start(_Reading(self, query), done, request_id, writes=False, streamed=limit == AUDIT_LIMIT)

    def _write(self, body: bytes, url: str, done: Callable[[str, object, float], None]) -> None:
        request_id = f"{self.tenant.slug}-{self.host.world.chance.getrandbits(64):016x}"
        submitted = Submitted(self.name, self.apps.of_command(url).name, body, url, "user", request_id)
        began = self.host.world.now
        how = _Writing(self, submitted)
        self._start(how, lambda answer: done(request_id, answer, began), request_id, writes=True, streamed=False)

    def _start(
        self,
        how: Attempts[Got],
        done: Callable[[Got | TwinholdError], None],
        request_id: str,
        *,
        writes: bool,
        streamed: bool,
    ) -> None:
        call: Call[Got] = Call(
            request_id,
            deadline=self.host.now() + OPERATION_S,
            writes=writes,
            streamed=streamed,
            policy=USUAL,
            budget=self._budget,
            chance=self.host.world.chance.random,
        )
        Running(call, how, self._patience, self._running, done).start(self._target)

    def turn_to(self, send: Send) -> None:
        """Note by which epoch an attempt goes."""
        request_id, epoch = self._route
        if request_id == send.request_id and send.epoch < epoch:
            what = f"{send.request_id} turned to {send.node} by epoch {send.epoch} after {epoch}"
            self.detours.append((self.host.world.now, what))
        self._route = (send.request_id, send.epoch)

    def _told(self, answer: object) -> Outcome:
        if not isinstance(answer, TwinholdError):
            return "ok"
        self.errors.add(type(answer).__name__)
        return "unknown" if isinstance(answer, UnknownOutcomeError) else "failed"

    @staticmethod
    def _ns(seconds: float) -> int:
        return int(seconds * 1e9)


class _Writing(NamedTuple):
    """A command."""

    user: User
    submitted: Submitted

    def begin(self, send: Send, hearer: Hearer[nv.Answered]) -> Callable[[], None]:
        """Send it."""
        submitted = self.submitted._replace(epoch=send.epoch, request_id=send.request_id)
        return _Attempt(self.user, send, hearer, lambda node, back: node.submit(submitted, back)).begin()


class _Reading(NamedTuple):
    """A read."""

    user: User
    query: bytes

    def begin(self, send: Send, hearer: Hearer[nv.QueryAnswer]) -> Callable[[], None]:
        """Ask it."""
        return _Attempt(self.user, send, hearer, partial(self._ask, streamed=send.streamed)).begin()

    def _ask(self, node: NodeDriver, back: Callable[[Any], None], *, streamed: bool) -> None:
        done = back if streamed else lambda outcome: back(_shared(outcome))
        node.query(tenant=self.user.name, type_url=_CHAT_QUERY, body=self.query, actor="user", done=done)


class _Attempt(Generic[Got]):
    """One attempt, and its answer on the way back."""

    __slots__ = ("_ask", "_hearer", "_node", "_over", "_send", "_user")

    def __init__(self, user: User, send: Send, hearer: Hearer[Got], ask: Ask) -> None:
        self._user, self._send, self._hearer, self._ask = user, send, hearer, ask
        self._node = user.nodes[send.node]
        self._over = False

    def begin(self) -> Callable[[], None]:
        """Set out; returns how to abandon it."""
        user, send = self._user, self._send
        user.turn_to(send)
        user.network.call(user.host.name, send.node, self._there, self._came, deadline_s=send.wait_s)
        return self._abandon

    def _abandon(self) -> None:
        self._over = True

    def _there(self, back: Callable[[object], None]) -> None:
        assert self._node.driver is not None, "only a living process is called"
        self._ask(self._node.driver, back)

    def _came(self, answer: Any) -> None:
        """Hear what came back: ``Any``, because only who asked knows what kind of answer it is."""
        if self._over:
            return
        attempt = self._send.attempt
        if answer is None:
            self._hearer.failed(attempt, UnavailableError("the call was lost"), certain=False)
        elif isinstance(answer, TwinholdError):
            self._hearer.failed(attempt, answer, certain=without_effect(answer))
        else:
            self._hearer.answered(attempt, answer)


def _shared(outcome: nv.QueryOutcome) -> nv.QueryOutcome:
    """Refuse what is too large to share a stream, as a node's session does."""
    if isinstance(outcome, nv.QueryAnswer):
        try:
            only_part(outcome, limit_bytes=SHARED_BYTES_MAX)
        except TwinholdError as error:
            return error
    return outcome
