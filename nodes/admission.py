"""Who may put work on a node, and whose turn it is: limits per tenant, and fair turns between the tenants of a node.

A tenant that asks for too much is refused at the door, and what it has waiting delays itself alone: turns are shared by
start-time fair queueing (Goyal, Vin and Cheng, 1996), in which a tenant with one small request waits for at most one
request of each other tenant, however much those have queued. When the node is full, the work that is cheapest to ask
for again goes first. Only waiting work is ever given up: what has had its turn, acknowledged work with it, never is.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

from core.errors import OverloadedError
from nodes.shedding import Work

Item = TypeVar("Item")
COST_BYTES = 1024
"""A request costs 1, and 1 more for each so many bytes."""
OVERLOADED_RETRY_S = 0.1
REMEMBERED = 256
"""Tenants that are not worth forgetting: their next request would make the same buckets again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tenant may do, and what may wait on a node."""

    writes_per_s: float
    writes_burst: float
    bytes_per_s: float
    bytes_burst: float
    subscriptions_max: int
    waiting_per_tenant_max: int
    waiting_max: int


USUAL_LIMITS = Limits(
    writes_per_s=20_000,
    writes_burst=40_000,
    bytes_per_s=32 << 20,
    bytes_burst=64 << 20,
    subscriptions_max=1_000,
    waiting_per_tenant_max=1_024,
    waiting_max=8_192,
)


@dataclass(slots=True)
class Bucket:
    """Tokens that come back with time; a request larger than the bucket is taken when the bucket is full."""

    per_s: float
    burst: float
    tokens: float
    """Taken by subtraction; below zero it is a debt."""
    at: float

    def missing_s(self, amount: float, now: float) -> float:
        """Say how long until so much may be taken; 0: now."""
        if now > self.at:
            tokens = self.tokens + (now - self.at) * self.per_s
            self.tokens, self.at = self.burst if tokens > self.burst else tokens, now
        if amount <= self.tokens:
            return 0.0
        return max(0.0, (min(amount, self.burst) - self.tokens) / self.per_s)


@dataclass(slots=True)
class Ticket(Generic[Item]):
    """One request that waits for its turn."""

    tenant: str
    item: Item
    work: Work
    cost: float
    waiting: bool = True


@dataclass(slots=True)
class _Tenant(Generic[Item]):
    writes: Bucket
    bytes: Bucket
    queue: deque[Ticket[Item]] = field(default_factory=deque)
    waiting: int = 0
    subscriptions: int = 0
    finish: float = 0.0
    """On the virtual clock: when its last request that had a turn was paid for."""

    def idle(self, now: float) -> bool:
        """Say whether nothing would be lost by forgetting it."""
        rested = self.writes.missing_s(self.writes.burst, now) == 0 == self.bytes.missing_s(self.bytes.burst, now)
        return not self.queue and self.subscriptions == 0 and rested


class Admission(Generic[Item]):
    """The door of one node. ``offer`` puts work in, ``next`` says whose turn it is.

    Args:
        limits: the same for every tenant.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tenants: OrderedDict[str, _Tenant[Item]] = OrderedDict()
        self._turns: list[tuple[float, int, str]] = []
        """Tenants with waiting work, by the virtual time at which their first request may start."""
        self._sheddable: list[Ticket[Item]] = []
        """Waiting queries, oldest first, and some that have had their turn."""
        self._clock = 0.0
        self._count = 0
        self._waiting = 0
        self.refused = 0
        self.shed = 0

    @property
    def waiting(self) -> int:
        """How much work waits."""
        return self._waiting

    @property
    def tenants(self) -> int:
        """How many tenants are remembered: those with work, subscriptions, or a bucket that is not full."""
        return len(self._tenants)

    def offer(self, tenant: str, work: Work, item: Item, *, size_bytes: int, now: float) -> list[Item]:
        """Let a request wait for its turn; returns those that had to give way to it, to be answered as overloaded.

        Args:
            tenant: who asks.
            work: what kind; commands are counted against the tenant's writes and bytes.
            item: comes back from ``next``.
            size_bytes: of the request.
            now: seconds on the node's clock.

        Raises:
            OverloadedError: a limit of the tenant or of the node is reached; certainly not done.
        """
        known = self._known(tenant, now)
        try:
            if known.waiting >= self._limits.waiting_per_tenant_max:
                raise _overloaded(f"{tenant} has {known.waiting} requests waiting")
            if work is Work.COMMAND:
                self._check_quota(tenant, known, size_bytes, now)
            gave_way = self._made_room(work)
        except OverloadedError:
            self.refused += 1
            raise
        if work is Work.COMMAND:
            known.writes.tokens -= 1
            known.bytes.tokens -= size_bytes
        self._enqueue(tenant, known, Ticket(tenant, item, work, 1 + size_bytes / COST_BYTES))
        return gave_way

    def count(self, tenant: str, *, size_bytes: int, now: float) -> None:
        """Count a command against its tenant's quota that need not wait, as nothing does; raises OverloadedError."""
        known = self._known(tenant, now)
        try:
            self._check_quota(tenant, known, size_bytes, now)
        except OverloadedError:
            self.refused += 1
            raise
        known.writes.tokens -= 1
        known.bytes.tokens -= size_bytes

    def next(self) -> Item | None:
        """Take the request whose turn it is; None: nothing waits."""
        while self._turns:
            start, _, tenant = heappop(self._turns)
            known = self._tenants[tenant]
            ticket = known.queue.popleft()
            if ticket.waiting:
                self._clock = start
                known.finish = start + ticket.cost
                self._leave(known, ticket)
                self._line_up(tenant, known)
                return ticket.item
            self._line_up(tenant, known)
        return None

    def subscribe(self, tenant: str, now: float) -> None:
        """Count a subscription in; raises OverloadedError."""
        known = self._known(tenant, now)
        if known.subscriptions >= self._limits.subscriptions_max:
            self.refused += 1
            raise quota_reached(tenant, f"{self._limits.subscriptions_max} subscriptions", OVERLOADED_RETRY_S)
        known.subscriptions += 1

    def unsubscribe(self, tenant: str) -> None:
        """Count a subscription out."""
        known = self._tenants.get(tenant)
        assert known is not None, f"{tenant} has no subscription to end"
        known.subscriptions -= 1

    def _known(self, tenant: str, now: float) -> _Tenant[Item]:
        known = self._tenants.get(tenant)
        if known is None:
            self._forget_some(now)
            limits = self._limits
            writes = Bucket(limits.writes_per_s, limits.writes_burst, limits.writes_burst, now)
            sizes = Bucket(limits.bytes_per_s, limits.bytes_burst, limits.bytes_burst, now)
            known = self._tenants[tenant] = _Tenant(writes, sizes)
        else:
            self._tenants.move_to_end(tenant)
        return known

    def _forget_some(self, now: float) -> None:
        """Forget two that were longest away, if nothing is lost by it, for each that comes: so there are never many."""
        for _ in range(min(2, len(self._tenants) - REMEMBERED)):
            longest_away = next(iter(self._tenants))
            if self._tenants[longest_away].idle(now):
                del self._tenants[longest_away]
            else:
                self._tenants.move_to_end(longest_away)

    def _check_quota(self, tenant: str, known: _Tenant[Item], size_bytes: int, now: float) -> None:
        limits = self._limits
        missing_s = known.writes.missing_s(1, now)
        if missing_s > 0:
            raise quota_reached(tenant, f"{limits.writes_per_s:.0f} writes/s", missing_s)
        missing_s = known.bytes.missing_s(size_bytes, now)
        if missing_s > 0:
            raise quota_reached(tenant, f"{limits.bytes_per_s:.0f} bytes/s", missing_s)

    def _made_room(self, work: Work) -> list[Item]:
        """Make room on a full node: the newest query gives way to a command, and to nothing else."""
        if self._waiting < self._limits.waiting_max:
            return []
        while work is Work.COMMAND and self._sheddable:
            ticket = self._sheddable.pop()
            if ticket.waiting:
                self._leave(self._tenants[ticket.tenant], ticket)
                self.shed += 1
                return [ticket.item]
        raise _overloaded(f"{self._waiting} requests wait on this node")

    def _enqueue(self, tenant: str, known: _Tenant[Item], ticket: Ticket[Item]) -> None:
        known.queue.append(ticket)
        known.waiting += 1
        self._waiting += 1
        if ticket.work is not Work.COMMAND:
            self._sheddable.append(ticket)
        if len(known.queue) == 1:
            self._line_up(tenant, known)

    def _line_up(self, tenant: str, known: _Tenant[Item]) -> None:
        if known.queue:
            self._count += 1
            heappush(self._turns, (max(self._clock, known.finish), self._count, tenant))

    def _leave(self, known: _Tenant[Item], ticket: Ticket[Item]) -> None:
        ticket.waiting = False
        known.waiting -= 1
        self._waiting -= 1
        if len(self._sheddable) > 2 * self._limits.waiting_max:
            self._sheddable = [one for one in self._sheddable if one.waiting]


def _overloaded(what: str) -> OverloadedError:
    return OverloadedError(f"{what}: try again in {OVERLOADED_RETRY_S} s", retry_after_s=OVERLOADED_RETRY_S)


def quota_reached(tenant: str, what: str, retry_after_s: float) -> OverloadedError:
    """Say which limit a tenant is at."""
    return OverloadedError(
        f"{tenant} is at its limit of {what}: try again in {retry_after_s:.3f} s",
        retry_after_s=retry_after_s,
        reason="QUOTA",
        tenant=tenant,
    )
