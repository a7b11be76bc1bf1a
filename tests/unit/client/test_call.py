"""One call: where it goes, when it is repeated, and that it never claims more than it knows."""

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from client.budget import RetryBudget
from client.call import (
    Abandon,
    Action,
    Call,
    Failed,
    Finish,
    GiveUp,
    Moved,
    Policy,
    Send,
    Started,
    Succeeded,
    Target,
    redirected,
    without_effect,
)
from core.assignments import Fence
from core.errors import (
    AnswerTooLargeError,
    MalformedError,
    NotFoundError,
    NotOwnerError,
    OverloadedError,
    TwinholdError,
    UnavailableError,
    UnknownOutcomeError,
)
from core.machine import NEVER, Output
from core.names import NodeId

POLICY = Policy(backoff_first_s=0.05, backoff_max_s=0.4, attempt_s=1.0, jitter=True)
DEADLINE = 5.0
TOO_LARGE = AnswerTooLargeError(size_bytes=70_000, limit_bytes=65_536)
A, B, C = NodeId("fra1-c1"), NodeId("ams1-c1"), NodeId("waw1-c1")


def target(epoch: int, primary: NodeId = A, standby: NodeId | None = B) -> Target:
    return Target(Fence(1, epoch), primary, standby)


def call(*, writes: bool = True, streamed: bool = False, budget: RetryBudget | None = None) -> Call[str]:
    return Call(
        "r1",
        deadline=DEADLINE,
        writes=writes,
        streamed=streamed,
        policy=POLICY,
        budget=budget or RetryBudget(per_s=100, burst=100),
        chance=lambda: 0.5,
    )


def sent(output: Output[Action[str]]) -> Send:
    (found,) = [action for action in output.actions if isinstance(action, Send)]
    return found


def gave_up(output: Output[Action[str]]) -> TwinholdError:
    (found,) = [action for action in output.actions if isinstance(action, GiveUp)]
    return found.error


def not_owner(owner: NodeId, epoch: int) -> NotOwnerError:
    return NotOwnerError("elsewhere", owner=owner, epoch=epoch, incarnation=1)


def test_the_first_attempt_goes_to_the_primary_with_its_epoch() -> None:
    send = sent(call().on(Started(target(7)), 0.0))
    assert (send.node, send.epoch, send.request_id) == (A, 7, "r1")


def test_an_answer_ends_the_call() -> None:
    machine = call()
    machine.on(Started(target(1)), 0.0)
    assert machine.on(Succeeded(1, "done"), 0.1).actions == (Finish("done"),)
    assert machine.wake(DEADLINE).actions == ()


def test_a_call_without_a_map_waits_for_one() -> None:
    machine = call()
    assert machine.on(Started(None), 0.0) == Output((), DEADLINE)
    assert sent(machine.on(Moved(target(1)), 1.0)).node == A


def test_a_redirect_to_a_newer_epoch_is_followed_at_once() -> None:
    machine = call(budget=RetryBudget(per_s=0.001, burst=0))
    machine.on(Started(target(1)), 0.0)
    send = sent(machine.on(Failed(1, not_owner(C, 2), certain=True), 0.1))
    assert (send.node, send.epoch) == (C, 2)


def test_a_redirect_to_an_older_epoch_is_waited_out() -> None:
    machine = call()
    machine.on(Started(target(5)), 0.0)
    output = machine.on(Failed(1, not_owner(C, 4), certain=True), 0.1)
    assert output.actions == ()
    assert sent(machine.wake(output.wake_at)).node == B


def test_a_retry_after_silence_tries_the_other_of_the_pair() -> None:
    machine = call()
    output = machine.on(Started(target(1)), 0.0)
    output = machine.wake(output.wake_at)
    assert output.actions == (Abandon(1),)
    assert sent(machine.wake(output.wake_at)).node == B


def test_a_newer_map_abandons_what_hangs_at_the_old_owner() -> None:
    machine = call()
    machine.on(Started(target(1)), 0.0)
    output = machine.on(Moved(target(2, B, None)), 0.3)
    assert output.actions == (Abandon(1), Send(2, B, 2, "r1", 1.0, streamed=False))


def test_a_newer_map_with_the_same_owner_disturbs_nothing() -> None:
    machine = call()
    machine.on(Started(target(1)), 0.0)
    assert machine.on(Moved(target(2, A, None)), 0.3).actions == ()


def test_a_refusal_ends_the_call_as_failed() -> None:
    machine = call()
    machine.on(Started(target(1)), 0.0)
    refusal = MalformedError("text", "", expected="1 to 16,384 characters")
    assert gave_up(machine.on(Failed(1, refusal, certain=True), 0.1)) is refusal


def test_a_refusal_after_a_lost_answer_is_unknown() -> None:
    machine = call()
    machine.on(Started(target(1)), 0.0)
    output = machine.on(Failed(1, UnknownOutcomeError("lost"), certain=False), 0.1)
    machine.wake(output.wake_at)
    end = machine.on(Failed(2, NotFoundError("tenant", "tenants/eu/x"), certain=True), 0.3)
    assert isinstance(gave_up(end), UnknownOutcomeError)


def test_a_read_is_never_unknown() -> None:
    machine = call(writes=False)
    machine.on(Started(target(1)), 0.0)
    machine.on(Failed(1, UnknownOutcomeError("lost"), certain=False), 0.1)
    error = gave_up(machine.wake(DEADLINE))
    assert isinstance(error, UnavailableError)


def test_a_read_that_is_too_large_to_share_a_stream_is_asked_again_at_once_for_one_of_its_own() -> None:
    machine = call(writes=False, budget=RetryBudget(per_s=1.0, burst=1))
    assert not sent(machine.on(Started(target(1)), 0.0)).streamed
    send = sent(machine.on(Failed(1, TOO_LARGE, certain=True), 0.1))
    assert (send.node, send.streamed) == (A, True)
    output = machine.on(Failed(2, UnavailableError("down"), certain=True), 0.2)
    assert output.wake_at < 0.3, "the only retry of the budget was not spent on it"
    assert sent(machine.wake(output.wake_at)).streamed, "what is large stays large"


def test_a_large_read_whose_stream_brings_nothing_in_time_is_told_so_and_not_that_it_was_too_large() -> None:
    machine = call(writes=False)
    machine.on(Started(target(1)), 0.0)
    machine.on(Failed(1, TOO_LARGE, certain=True), DEADLINE - 0.1)
    error = gave_up(machine.wake(DEADLINE))
    assert isinstance(error, UnavailableError)
    assert "no answer came in time" in error.message


def test_a_stream_that_is_called_too_large_ends_the_call() -> None:
    machine = call(writes=False, streamed=True)
    assert sent(machine.on(Started(target(1)), 0.0)).streamed
    assert gave_up(machine.on(Failed(1, TOO_LARGE, certain=True), 0.1)) is TOO_LARGE


def test_an_attempt_says_how_long_its_answer_is_of_use() -> None:
    machine = call()
    assert sent(machine.on(Started(target(1)), 0.0)).wait_s == POLICY.attempt_s
    late = DEADLINE - 0.25
    assert sent(machine.on(Moved(target(2, B, None)), late)).wait_s == 0.25


def test_a_server_that_asks_for_time_gets_it() -> None:
    machine = call()
    machine.on(Started(target(1)), 0.0)
    busy = OverloadedError("busy", retry_after_s=1.5)
    assert machine.on(Failed(1, busy, certain=True), 0.1).wake_at >= 1.6


def test_an_empty_budget_delays_a_retry() -> None:
    machine = call(budget=RetryBudget(per_s=0.5, burst=0))
    machine.on(Started(target(1)), 0.0)
    output = machine.on(Failed(1, UnavailableError("down"), certain=True), 0.1)
    assert output.wake_at >= 2.0


def test_a_redirect_without_facts_names_nobody() -> None:
    assert redirected(NotOwnerError("elsewhere")) is None
    assert redirected(not_owner(A, 3)) == Target(Fence(1, 3), A, None)


def test_only_what_the_server_knows_is_certain() -> None:
    assert without_effect(UnavailableError("stopping"))
    assert not without_effect(UnknownOutcomeError("lost the standby"))
    assert not without_effect(TwinholdError("a fault of ours"))


@dataclass
class World:
    """Plays one call against arbitrary results, and remembers what each attempt may have done."""

    machine: Call[str]
    now: float = 0.0
    wake_at: float = NEVER
    sends: list[Send] = field(default_factory=list)
    harmless: set[int] = field(default_factory=set)
    in_flight: int | None = None
    end: Finish[str] | GiveUp | None = None

    def take(self, output: Output[Action[str]]) -> None:
        self.wake_at = output.wake_at
        for action in output.actions:
            assert self.end is None, "nothing follows the end"
            match action:
                case Send():
                    assert self.in_flight is None, "one attempt at a time"
                    self.sends.append(action)
                    self.in_flight = action.attempt
                case Abandon(attempt):
                    assert attempt == self.in_flight
                    self.in_flight = None
                case Finish() | GiveUp():
                    self.end = action

    def settle(self, error: TwinholdError | None, *, certain: bool) -> None:
        if self.in_flight is None:
            return
        attempt, self.in_flight = self.in_flight, None
        if error is not None and certain:
            self.harmless.add(attempt)
        event = Succeeded(attempt, "done") if error is None else Failed(attempt, error, certain)
        self.take(self.machine.on(event, self.now))


ERRORS = st.one_of(
    st.just(UnavailableError("down")),
    st.just(UnknownOutcomeError("lost")),
    st.just(TOO_LARGE),
    st.just(NotFoundError("tenant", "x")),
    st.builds(lambda retry: OverloadedError("busy", retry_after_s=retry), st.floats(0.0, 1.0)),
    st.builds(not_owner, st.sampled_from([A, B, C]), st.integers(1, 9)),
)
STEPS = st.one_of(
    st.tuples(st.just("fail"), ERRORS, st.booleans()),
    st.tuples(st.just("succeed"), st.none(), st.booleans()),
    st.tuples(st.just("move"), st.builds(target, st.integers(1, 9), st.sampled_from([A, B, C])), st.booleans()),
    st.tuples(st.just("wait"), st.floats(0.0, 2.0), st.booleans()),
)


def played(steps: list[tuple[str, object, bool]]) -> World:
    """Run a script, then let time pass to the deadline."""
    world = World(call())
    world.take(world.machine.on(Started(target(1)), world.now))
    for _, what, certain in steps:
        if world.end is not None:
            break
        match what:
            case TwinholdError():
                world.settle(what, certain=certain and not isinstance(what, UnknownOutcomeError))
            case None:
                world.settle(None, certain=True)
            case Target():
                world.take(world.machine.on(Moved(what), world.now))
            case float():
                world.now = min(DEADLINE, world.now + what)
                world.take(world.machine.wake(world.now))
    if world.end is None:
        world.now = DEADLINE
        world.take(world.machine.wake(DEADLINE))
    return world


@given(st.lists(STEPS, max_size=25))
@example([("fail", TOO_LARGE, False), ("fail", UnavailableError("down"), True)])
def test_failed_is_said_only_when_no_attempt_can_have_had_an_effect(steps: list[tuple[str, object, bool]]) -> None:
    world = played(steps)
    assert world.end is not None, "the deadline ends every call"
    if isinstance(world.end, GiveUp) and not isinstance(world.end.error, UnknownOutcomeError):
        assert {send.attempt for send in world.sends} <= world.harmless


@given(st.lists(STEPS, max_size=25))
def test_every_attempt_carries_the_same_id_and_no_older_epoch(steps: list[tuple[str, object, bool]]) -> None:
    sends = played(steps).sends
    assert {send.request_id for send in sends} == {"r1"}
    epochs = [send.epoch for send in sends]
    assert epochs == sorted(epochs)


@given(st.floats(1.0, 1000.0), st.floats(0.0, 50.0), st.lists(st.floats(0.0, 0.5), min_size=1, max_size=60), st.data())
def test_a_budget_never_grants_more_than_its_rate_and_its_burst(
    per_s: float, burst: float, pauses: list[float], data: st.DataObject
) -> None:
    budget, now = RetryBudget(per_s=per_s, burst=burst), 100.0
    slots = []
    for pause in pauses:
        now += pause
        slots.append(max(now, budget.reserve(now)))
    first = data.draw(st.integers(0, len(slots) - 1))
    window = slots[first:]
    assert len(window) <= burst + (window[-1] - window[0]) * per_s + 1 + 1e-6 * len(slots)
