"""The work of a session: one answer each, the right one when time runs out, and nothing begun too late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AnswerTooLargeError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.machine import NEVER
from core.names import ShardId
from nodes.errands import WAIT_MAX_S, Errand, Errands, Result, only_part, patience_s
from nodes.shedding import Work
from nodes.views import Answered, QueryAnswer

ANSWER = Answered(ShardId(3), 7, "t", b"done", replayed=False)


class Desk:
    """Errands, and what became of them."""

    def __init__(self) -> None:
        self.left: list[Work] = []
        self.answers: list[tuple[int, Result]] = []
        self.errands = Errands(leave=self.left.append, answered=lambda ticket, result: self.take(ticket, result))

    def take(self, ticket: int, result: Result) -> None:
        self.answers.append((ticket, result))

    def enter(self, ticket: int, work: Work = Work.COMMAND, until: float = 10.0) -> Errand:
        errand = Errand(ticket, work, until, self.errands)
        self.errands.open.add(errand)
        return errand

    def only_error(self) -> TwinholdError:
        ((_, error),) = self.answers
        assert isinstance(error, TwinholdError)
        return error


def nothing() -> None:
    """Begin a piece of work that is never answered."""


def test_an_answer_leaves_under_its_ticket() -> None:
    desk = Desk()
    errand = desk.enter(5)
    errand.begin(lambda: errand.done(ANSWER))
    assert (desk.answers, desk.left) == ([(5, ANSWER)], [Work.COMMAND])


@pytest.mark.parametrize(
    ("work", "begun", "told"),
    [
        pytest.param(Work.COMMAND, True, UnknownOutcomeError, id="a command under way may be committed yet"),
        pytest.param(Work.COMMAND, False, UnavailableError, id="a command that waits is certainly not done"),
        pytest.param(Work.QUERY, True, UnavailableError, id="a read has no effect"),
        pytest.param(Work.QUERY, False, UnavailableError, id="a read that waits has none either"),
    ],
)
def test_what_is_said_when_the_time_is_over(work: Work, begun: bool, told: type[TwinholdError]) -> None:
    desk = Desk()
    errand = desk.enter(1, work, until=2.0)
    if begun:
        errand.begin(nothing)
    desk.errands.wake(1.9)
    assert desk.answers == []
    desk.errands.wake(2.0)
    assert isinstance(desk.only_error(), told)


def test_what_waited_too_long_for_its_turn_is_not_begun_and_leaves() -> None:
    desk = Desk()
    errand = desk.enter(1, until=2.0)
    desk.errands.wake(3.0)
    errand.begin(lambda: pytest.fail("its caller was told that it is certainly not done"))
    assert desk.left == [Work.COMMAND]


def test_an_answer_that_comes_too_late_changes_nothing_but_leaves() -> None:
    desk = Desk()
    errand = desk.enter(1, until=2.0)
    errand.begin(nothing)
    desk.errands.wake(2.0)
    assert desk.left == [], "it is still under way"
    errand.done(ANSWER)
    assert (len(desk.answers), desk.left) == (1, [Work.COMMAND])


def test_the_next_deadline_is_the_earliest_of_what_is_open() -> None:
    desk = Desk()
    first, _ = desk.enter(1, until=2.0), desk.enter(2, until=3.0)
    assert desk.errands.wake(0.0) == 2.0
    first.done(ANSWER)
    assert desk.errands.wake(0.0) == 3.0
    assert desk.errands.wake(3.0) == NEVER


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["begin", "done", "wait"])), max_size=40))
def test_whatever_happens_each_is_answered_once_and_leaves_once(steps: list[tuple[int, str]]) -> None:
    desk, now = Desk(), 0.0
    errands = [desk.enter(n, Work.COMMAND if n % 2 else Work.QUERY, until=float(n + 1)) for n in range(5)]
    begun: set[int] = set()
    through: set[int] = set()
    for n, step in steps:
        if step == "wait":
            now += 0.5
            desk.errands.wake(now)
        elif step == "begin" and n not in begun:
            begun.add(n)
            if errands[n].over:
                through.add(n)
            errands[n].begin(nothing)
        elif step == "done" and n in begun and n not in through:
            through.add(n)
            errands[n].done(ANSWER)
    assert len(desk.left) == len(through)
    desk.errands.wake(100.0)
    assert sorted(ticket for ticket, _ in desk.answers) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wait_ms", "s"),
    [
        pytest.param(0, WAIT_MAX_S, id="none given"),
        pytest.param(250, 0.25, id="given"),
        pytest.param(4_000_000, WAIT_MAX_S, id="too long"),
    ],
)
def test_how_long_a_caller_is_waited_for(wait_ms: int, s: float) -> None:
    assert patience_s(wait_ms) == s


def test_only_a_small_answer_of_one_part_may_share_a_stream() -> None:
    def answer(*sizes: int) -> QueryAnswer:
        return QueryAnswer(ShardId(1), 9, [("t", b"x" * size) for size in sizes])

    assert only_part(answer(10), limit_bytes=10) == ("t", b"x" * 10)
    for sizes in ((11,), (5, 5), ()):
        with pytest.raises(AnswerTooLargeError, match="ask by Query"):
            only_part(answer(*sizes), limit_bytes=10)
