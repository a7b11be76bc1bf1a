"""The asyncio client: finds the node that owns a tenant, and keeps every acknowledged write across failovers.

::

    async with connect(["127.10.0.1:7410"], actor="users/ada") as client:
        await client.ready(timeout_s=10)
        await client.create_tenant("tenants/eu/acme", display_name="Acme", timeout_s=5)
        sent = await client.submit("tenants/eu/acme", command, ChatAnswer, timeout_s=5)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from types import TracebackType
from typing import Generic, TypeVar

from google.protobuf.message import Message

from client.budget import RetryBudget
from client.call import USUAL, Call, Policy, Target, target_of
from client.io.attempts import Body, ByItself, OverSession, Part, Reading, Sessions, packed
from client.io.dialler import Dialler
from client.io.map_watch import MapWatch
from client.io.request_ids import fresh_request_id
from client.io.running import Attempts, Patience, Running, UnderWay
from client.io.subscription import Step, steps
from core.assignments import Assignment
from core.errors import NotFoundError, OversizedError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.fleet_map import FleetMap
from core.io.clock import LoopClock
from core.io.dial import MESSAGE_BYTES_MAX
from core.names import NodeId, ShardId, TenantName, tenant_name
from core.sharding import shard_of
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import journal_pb2, tenant_pb2

Answer = TypeVar("Answer", bound=Message)
Got = TypeVar("Got")

RETRIES_PER_S = 200.0
RETRIES_BURST = 200.0


@dataclass(frozen=True, slots=True)
class Answered(Generic[Answer]):
    """What came back, and the place in the shard's journal that it stands for."""

    answer: Answer
    shard: int
    lsn: int
    replayed: bool
    """A retry was recognised, and the answer recorded then was given."""


@dataclass(slots=True)
class _Place:
    """Where a shard's calls go."""

    held: Assignment | None = None
    """What the map says; None: nothing yet."""
    target: Target | None = None
    """The same, for calls."""
    running: set[UnderWay] = field(default_factory=set)

    def take(self, held: Assignment | None) -> None:
        """Take what the map says now, and tell every call."""
        if held is None or held is self.held:
            return
        self.held, self.target = held, target_of(held)
        for running in list(self.running):
            running.moved(self.target)


class _Waiting(Generic[Got]):
    """A task that waits for a call."""

    def __init__(self) -> None:
        self.running: Running[Got] | None = None
        self._outcome: asyncio.Future[Got] = asyncio.get_running_loop().create_future()

    def done(self, outcome: Got | TwinholdError) -> None:
        """Hear what came of it."""
        if self._outcome.done():
            return
        if isinstance(outcome, TwinholdError):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)

    async def outcome(self) -> Got:
        """Wait for the answer; raises the error. Whoever is cancelled ends the call."""
        try:
            return await self._outcome
        finally:
            if self.running is not None:
                self.running.stop()


class Client:
    """One caller's view of a fleet; use ``connect``.

    Args:
        doors: endpoints of any control planes or nodes, ``host:port``.
        actor: who calls.
        seed: for jitter and the choice among endpoints; None: fresh.
        budget: what blind retries may cost.
    """

    def __init__(self, doors: Sequence[str], actor: str, seed: int | None, budget: RetryBudget) -> None:
        self._rng: Random = SystemRandom() if seed is None else Random(seed)
        self._patience = Patience(LoopClock(asyncio.get_running_loop()))
        self._dialler = Dialler(actor)
        self._sessions = Sessions(self._dialler, self.endpoint)
        self._budget = budget
        self._places: dict[ShardId, _Place] = {}
        self._homes: dict[str, _Place] = {}
        """By tenant, as of the present map."""
        self._endpoints: dict[NodeId, str] = {}
        self._first_map = asyncio.Event()
        self._closed = False
        self._watch = MapWatch(doors, self._dialler, self._rng, self._map_changed)
        self._watch.start()

    @property
    def map(self) -> FleetMap:
        """The last good map; raises UnavailableError before the first one came."""
        if self._watch.map is None:
            raise UnavailableError(f"no map yet: {self._watch.last_error.message}")
        return self._watch.map

    async def ready(self, *, timeout_s: float) -> None:
        """Wait for the first map.

        Raises:
            UnavailableError: no control plane and no node gave one in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._first_map.wait()
        except TimeoutError as cause:
            why = self._watch.last_error.message
            raise UnavailableError(f"nobody gave a map within {timeout_s:g} s: {why}") from cause

    def locate(self, tenant: str | TenantName) -> Assignment:
        """Find who holds a tenant's shard, on the local map; raises NotFoundError, UnavailableError, MalformedError."""
        return self.map.locate(_parsed(tenant))

    def endpoint(self, node: NodeId) -> str:
        """Say where a node is dialled; raises NotFoundError."""
        found = self._endpoints.get(node)
        if found is None:
            raise NotFoundError("node", node, remedy="it is not in the fleet that the map describes")
        return found

    async def submit(
        self,
        tenant: str | TenantName,
        body: Message,
        answer: type[Answer],
        *,
        timeout_s: float,
        request_id: str | None = None,
        policy: Policy = USUAL,
        unary: bool = False,
    ) -> Answered[Answer]:
        """Run a command, once, whatever happens on the way.

        Args:
            tenant: whose.
            body: the app's command.
            answer: the type of the app's answer.
            timeout_s: for all attempts together.
            request_id: None: a fresh one. Give the same to go on with a command whose outcome was unknown.
            policy: how patient.
            unary: one call per attempt, instead of the session that all commands to a node share.

        Raises:
            UnknownOutcomeError: it may have happened.
            OversizedError: the body has more than 1 MiB.
            TwinholdError: it certainly did not.
        """
        await self._known(timeout_s)
        waiting = _Waiting[pb.CommandAnswer]()
        waiting.running = self.send(
            str(tenant),
            packed(body),
            waiting.done,
            timeout_s=timeout_s,
            request_id=request_id or fresh_request_id(self._rng),
            policy=policy,
            unary=unary,
        )
        got = await waiting.outcome()
        return Answered(_read(answer, got.body.value), got.position.shard, got.position.lsn, got.replayed)

    def send(
        self,
        tenant: str,
        body: Body,
        done: Callable[[pb.CommandAnswer | TwinholdError], None],
        *,
        timeout_s: float,
        request_id: str,
        policy: Policy = USUAL,
        unary: bool = False,
    ) -> Running[pb.CommandAnswer]:
        """Run a command as ``submit`` does, for those who have no task to wait with; the client must be ready.

        Raises:
            OversizedError: the body has more than 1 MiB.
            FixRequestError: the tenant's name is not one, or its geography does not exist.
            UnavailableError: the client is closed, or not ready.
        """
        if len(body.value) > MESSAGE_BYTES_MAX:
            raise OversizedError("command", size_bytes=len(body.value), limit_bytes=MESSAGE_BYTES_MAX)
        how: Attempts[pb.CommandAnswer]
        if unary:
            how = ByItself(tenant, body, self._dialler, self.endpoint)
        else:
            how = OverSession(tenant, body, self._sessions)
        return self._start(tenant, how, done, request_id, timeout_s, policy, writes=True, streamed=False)

    async def query(
        self,
        tenant: str | TenantName,
        body: Message,
        answer: type[Answer],
        *,
        timeout_s: float,
        policy: Policy = USUAL,
        streamed: bool = False,
    ) -> Answered[Answer]:
        """Read, linearizably; the parts of a long answer are put together.

        Args:
            tenant: whose.
            body: the app's query.
            answer: the type of the app's answer.
            timeout_s: for all attempts together.
            policy: how patient.
            streamed: the answer is known to be long (above 64 KiB): ask for a stream of its own from the first attempt
                on. Without it, reads share the session of the node, and one that turns out long is asked again.

        Raises:
            TwinholdError: there is no answer; a read has no effect, so trying again is always right.
        """
        await self._known(timeout_s)
        waiting = _Waiting[Part]()
        waiting.running = self.ask(
            str(tenant), packed(body), waiting.done, timeout_s=timeout_s, policy=policy, streamed=streamed
        )
        got = await waiting.outcome()
        return Answered(_read(answer, got.body), got.shard, got.lsn, replayed=False)

    def ask(
        self,
        tenant: str,
        body: Body,
        done: Callable[[Part | TwinholdError], None],
        *,
        timeout_s: float,
        policy: Policy = USUAL,
        streamed: bool = False,
    ) -> Running[Part]:
        """Read as ``query`` does, for those who have no task to wait with; raises as ``send`` does."""
        how = Reading(tenant, body, self._sessions, self._dialler, self.endpoint)
        return self._start(tenant, how, done, "", timeout_s, policy, writes=False, streamed=streamed)

    def subscribe(self, tenant: str | TenantName, *, after_lsn: int | None) -> AsyncIterator[Step]:
        """Follow a tenant's committed events until the caller stops; a gap is a step of its own.

        Args:
            tenant: whose.
            after_lsn: only entries after this one; None: only new ones.
        """
        name = _parsed(tenant)

        def owner() -> str:
            return self.endpoint(self.locate(name).primary.node)

        return steps(str(name), after_lsn, self._dialler, owner)

    async def create_tenant(
        self,
        tenant: str | TenantName,
        *,
        display_name: str,
        strict: bool = False,
        timeout_s: float,
        request_id: str | None = None,
    ) -> tenant_pb2.Tenant:
        """Create a tenant, with or without a control plane: its record is the first entry of its shard's journal.

        Raises:
            AlreadyExistsError: somebody else created it.
            TwinholdError: as for ``submit``.
        """
        create = journal_pb2.CreateTenantCommand(display_name=display_name, strict=strict)
        command = journal_pb2.TenantCommand(create=create)
        answered = await self.submit(
            tenant, command, journal_pb2.TenantAnswer, timeout_s=timeout_s, request_id=request_id
        )
        return answered.answer.tenants[0]

    async def close(self) -> None:
        """End everything; calls under way end with an unknown outcome."""
        self._closed = True
        for running in [running for place in self._places.values() for running in place.running]:
            running.cut(UnknownOutcomeError("the client was closed before the answer came"))
        await self._watch.close()
        await self._sessions.close()
        await self._dialler.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _start(
        self,
        tenant: str,
        how: Attempts[Got],
        done: Callable[[Got | TwinholdError], None],
        request_id: str,
        timeout_s: float,
        policy: Policy,
        *,
        writes: bool,
        streamed: bool,
    ) -> Running[Got]:
        if self._closed:
            raise UnavailableError("the client is closed: connect again")
        place = self._homes.get(tenant) or self._home(tenant)
        call: Call[Got] = Call(
            request_id,
            deadline=self._patience.now() + timeout_s,
            writes=writes,
            streamed=streamed,
            policy=policy,
            budget=self._budget,
            chance=self._rng.random,
        )
        running = Running(call, how, self._patience, place.running, done)
        running.start(place.target)
        return running

    def _home(self, tenant: str) -> "_Place":
        name, held = tenant_name(tenant), self.map
        shard = shard_of(name, held.topology.geography(name.geography), held.overrides)
        place = self._places.get(shard)
        if place is None:
            place = self._places[shard] = _Place()
            place.take(held.shards.get(shard))
        self._homes[tenant] = place
        return place

    async def _known(self, timeout_s: float) -> None:
        """Let the first call of a client wait for the first map."""
        if self._watch.map is None and not self._closed:
            await self.ready(timeout_s=timeout_s)

    def _map_changed(self, held: FleetMap) -> None:
        self._endpoints = {node.id: node.endpoint for node in held.topology.nodes}
        self._first_map.set()
        self._homes.clear()
        for shard, place in self._places.items():
            place.take(held.shards.get(shard))


def connect(
    endpoints: Sequence[str],
    *,
    actor: str,
    seed: int | None = None,
    retries_per_s: float = RETRIES_PER_S,
    retries_burst: float = RETRIES_BURST,
) -> Client:
    """Begin to follow a fleet; must be called on a running loop.

    Args:
        endpoints: any control planes or nodes, ``host:port``; the others are learnt from the map.
        actor: who calls, e.g. ``users/ada``; retries are recognised per actor.
        seed: makes jitter and choices repeatable.
        retries_per_s: blind retries, of all calls of this client together.
        retries_burst: how many of them at once after a quiet time.
    """
    return Client(endpoints, actor, seed, RetryBudget(per_s=retries_per_s, burst=retries_burst))


def _parsed(tenant: str | TenantName) -> TenantName:
    return tenant if isinstance(tenant, TenantName) else tenant_name(tenant)


def _read(kind: type[Answer], body: bytes) -> Answer:
    answer = kind()
    answer.ParseFromString(body)
    return answer
