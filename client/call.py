"""One call from its first attempt to its final answer: where it goes, when it is repeated, what may be claimed.

The rules, which the tests hold as laws:

- every attempt carries the same request id, so that the journal takes it once (I10);
- an attempt never goes to the owner of an older epoch than one already heard of;
- a read whose answer is too large to share a stream is asked again at once as a stream of its own, and stays one;
- "failed" is said only when every attempt certainly had no effect; otherwise the outcome is unknown;
- nothing is waited for beyond the deadline; blind retries are paced by a budget, being told where to ask is not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, assert_never

from client.budget import RetryBudget
from core.assignments import Assignment, Fence
from core.errors import (
    AnswerTooLargeError,
    ConflictError,
    DamagedError,
    MalformedError,
    NotFoundError,
    NotLeaderError,
    NotOwnerError,
    OverloadedError,
    StaleEpochError,
    TwinholdError,
    UnavailableError,
    UnknownOutcomeError,
)
from core.machine import NEVER, Output
from core.names import NodeId, node_id

Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a call is; seconds."""

    backoff_first_s: float
    """Before the first blind retry, give or take half; doubles with each."""
    backoff_max_s: float
    attempt_s: float
    """An attempt without an answer is abandoned after this."""
    jitter: bool
    """False: wait exactly the backoff (probes that measure a gap)."""


USUAL = Policy(backoff_first_s=0.025, backoff_max_s=0.4, attempt_s=2.0, jitter=True)


@dataclass(frozen=True, slots=True)
class Target:
    """Who serves a shard, as far as somebody said."""

    fence: Fence
    primary: NodeId
    standby: NodeId | None


@dataclass(frozen=True, slots=True)
class Started:
    """The call begins; None: the map does not know the shard yet."""

    target: Target | None


@dataclass(frozen=True, slots=True)
class Moved:
    """The map names another target, or the first one."""

    target: Target


@dataclass(frozen=True, slots=True)
class Succeeded(Generic[Got]):
    """An attempt was answered."""

    attempt: int
    answer: Got


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed; ``certain``: it certainly had no effect, and never will."""

    attempt: int
    error: TwinholdError
    certain: bool


Event: TypeAlias = Started | Moved | Succeeded[Got] | Failed


@dataclass(frozen=True, slots=True)
class Send:
    """Make an attempt."""

    attempt: int
    node: NodeId
    epoch: int
    request_id: str
    wait_s: float
    """How long its answer is of use."""
    streamed: bool
    """A read: as a stream of its own."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop waiting for an attempt; its answer no longer matters."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Finish(Generic[Got]):
    """The call is answered."""

    answer: Got


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The call ends without an answer; UnknownOutcomeError: it may have happened."""

    error: TwinholdError


Action: TypeAlias = Send | Abandon | Finish[Got] | GiveUp

_REPEATABLE = (
    UnavailableError,
    OverloadedError,
    NotOwnerError,
    NotLeaderError,
    UnknownOutcomeError,
    StaleEpochError,
    ConflictError,
    DamagedError,
)


class Call(Generic[Got]):
    """The machine of one call.

    Args:
        request_id: the same for all attempts.
        deadline: when to stop, on the clock of ``now``.
        writes: whether an attempt can have an effect; a read never ends as unknown.
        streamed: a read whose answer is known to be too large to share a stream.
        policy: how patient.
        budget: shared by all calls of a client.
        chance: a number in [0, 1), fresh with every call; for jitter.
    """

    __slots__ = (
        "_at_standby",
        "_attempt",
        "_backoff_s",
        "_budget",
        "_chance",
        "_deadline",
        "_doubt",
        "_ended",
        "_last",
        "_node",
        "_policy",
        "_request_id",
        "_retry_at",
        "_since",
        "_streamed",
        "_target",
        "_writes",
    )

    def __init__(
        self,
        request_id: str,
        *,
        deadline: float,
        writes: bool,
        streamed: bool,
        policy: Policy,
        budget: RetryBudget,
        chance: Callable[[], float],
    ) -> None:
        self._request_id = request_id
        self._deadline = deadline
        self._writes = writes
        self._streamed = streamed
        self._policy = policy
        self._budget = budget
        self._chance = chance
        self._target: Target | None = None
        self._attempt = 0
        self._node: NodeId | None = None
        """Where the attempt in flight went; None: none is in flight."""
        self._since = 0.0
        self._retry_at = NEVER
        self._backoff_s = policy.backoff_first_s
        self._at_standby = False
        self._doubt = False
        """Some attempt may have had an effect."""
        self._last: TwinholdError | None = None
        self._ended = False

    def on(self, event: Event[Got], now: float) -> Output[Action[Got]]:
        """Take one event; late news of abandoned attempts changes nothing."""
        if self._ended:
            return Output()
        match event:
            case Started():
                self._target = event.target
                return self._out([] if event.target is None else self._send(now))
            case Moved(target):
                return self._out(self._moved(target, now))
            case Succeeded():
                current = event.attempt == self._attempt and self._node is not None
                return self._end(Finish(event.answer)) if current else self._out([])
            case Failed(attempt, error, certain):
                current = attempt == self._attempt and self._node is not None
                return self._failed(error, certain, now) if current else self._out([])
            case _:
                assert_never(event)

    def wake(self, now: float) -> Output[Action[Got]]:
        """Let time pass."""
        if self._ended:
            return Output()
        if now >= self._deadline:
            abandoned = self._abandon()
            return self._end(*abandoned, GiveUp(self._verdict()))
        if self._node is not None and now >= self._since + self._policy.attempt_s:
            actions = self._abandon()
            self._last = UnavailableError(f"no answer within {self._policy.attempt_s:g} s")
            self._wait(now, None)
            return self._out(actions)
        if self._node is None and now >= self._retry_at:
            return self._out(self._send(now))
        return self._out([])

    def _moved(self, target: Target, now: float) -> list[Action[Got]]:
        if self._target is not None and target.fence <= self._target.fence:
            return []
        self._target, self._at_standby = target, False
        if self._node == target.primary:
            return []
        return [*self._abandon(), *self._send(now)]

    def _failed(self, error: TwinholdError, certain: bool, now: float) -> Output[Action[Got]]:
        self._node = None
        self._doubt = self._doubt or not certain
        if isinstance(error, AnswerTooLargeError) and not self._streamed:
            self._streamed = True  # How it is asked was wrong, not what: nobody need hear of it.
            return self._out(self._send(now))
        self._last = error
        if not _repeatable(error):
            return self._end(GiveUp(self._verdict()))
        redirect = redirected(error)
        if redirect is not None and self._target is not None and redirect.fence > self._target.fence:
            self._target, self._at_standby = redirect, False
            return self._out(self._send(now))
        self._wait(now, error.retry_after_s)
        return self._out([])

    def _wait(self, now: float, retry_after_s: float | None) -> None:
        """Choose when to try again; the other one of the pair may have taken over and not be on the map yet."""
        spread = 0.5 + self._chance() if self._policy.jitter else 1.0
        wait_s = max(self._backoff_s * spread, retry_after_s or 0.0)
        self._backoff_s = min(self._policy.backoff_max_s, self._backoff_s * 2)
        self._retry_at = max(now + wait_s, self._budget.reserve(now))
        self._at_standby = not self._at_standby

    def _send(self, now: float) -> list[Action[Got]]:
        assert self._target is not None, "nothing is sent before a target is known"
        other = self._target.standby if self._at_standby else None
        self._attempt += 1
        self._node, self._since, self._retry_at = other or self._target.primary, now, NEVER
        left_s, attempt_s = self._deadline - now, self._policy.attempt_s
        wait_s = left_s if left_s < attempt_s else attempt_s
        epoch = self._target.fence.epoch
        return [Send(self._attempt, self._node, epoch, self._request_id, wait_s, self._streamed)]

    def _abandon(self) -> list[Action[Got]]:
        if self._node is None:
            return []
        self._node = None
        self._doubt = True
        return [Abandon(self._attempt)]

    def _verdict(self) -> TwinholdError:
        nothing = "no answer came in time" if self._attempt else "nobody is known to serve this tenant"
        last = self._last or UnavailableError(nothing)
        if self._doubt and self._writes:
            return UnknownOutcomeError(
                f"it may have happened: {last.message}; a retry under request id {self._request_id} tells",
                request_id=self._request_id,
            )
        if isinstance(last, UnknownOutcomeError):
            return UnavailableError(last.message)
        return last

    def _end(self, *actions: Action[Got]) -> Output[Action[Got]]:
        self._ended = True
        return Output(actions)

    def _out(self, actions: list[Action[Got]]) -> Output[Action[Got]]:
        waits = self._since + self._policy.attempt_s if self._node is not None else self._retry_at
        return Output(tuple(actions), self._deadline if self._deadline < waits else waits)


def target_of(assignment: Assignment) -> Target:
    """Say whom an assignment names."""
    standby = None if assignment.standby is None else assignment.standby.node
    return Target(assignment.fence, assignment.primary.node, standby)


def redirected(error: TwinholdError) -> Target | None:
    """Read from NOT_OWNER who does own the shard; None: it does not say."""
    facts = error.facts
    if not isinstance(error, NotOwnerError) or not facts.get("epoch", "").isdecimal():
        return None
    incarnation = facts.get("incarnation", "1")
    try:
        owner = node_id(facts.get("owner", ""))
    except MalformedError:
        return None
    return Target(Fence(int(incarnation) if incarnation.isdecimal() else 1, int(facts["epoch"])), owner, None)


def without_effect(error: TwinholdError) -> bool:
    """Say whether an error that *the server itself* sent means that the command certainly had no effect."""
    return not isinstance(error, UnknownOutcomeError | DamagedError) and type(error) is not TwinholdError


def _repeatable(error: TwinholdError) -> bool:
    return isinstance(error, _REPEATABLE) or (isinstance(error, NotFoundError) and error.reason == "UNKNOWN_SHARD")
