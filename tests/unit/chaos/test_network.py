"""What the simulated network may do to a call, and to what is on its way: no kinder than the real one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from chaos.sim.network import Network, Weather
from chaos.sim.time import World, host

A, B = "a", "b"
DEADLINE_S = 1.0


@dataclass
class Seen:
    """An end that remembers."""

    messages: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def message(self, peer: str, message: str, /) -> None:
        self.messages.append(message)

    def link_up(self, peer: str, /) -> None:
        self.changes.append("up")

    def link_down(self, peer: str, refused: bool, /) -> None:
        self.changes.append("gone" if refused else "down")


class Two:
    """Two hosts, and what became of calls from one to the other."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.hosts = {name: host(self.world, name, drift_ratio=0.01) for name in (A, B)}
        self.network: Network[str] = Network(self.world, self.hosts, Weather(tail_s=0.0))
        self.ends = {name: Seen() for name in (A, B)}
        self.network.plug(A, self.ends[A], [B])
        self.network.plug(B, self.ends[B], [A])
        self.effects: list[float] = []
        self.answers: list[tuple[float, str | None]] = []
        self.world.run(1.0)

    def call(self, *, takes_s: float = 0.0) -> None:
        def ask(back: Callable[[str], None]) -> None:
            self.effects.append(self.world.now)
            if takes_s:
                self.world.after(takes_s, lambda: back("done"))
            else:
                back("done")

        self.network.call(
            A, B, ask, lambda answer: self.answers.append((self.world.now, answer)), deadline_s=DEADLINE_S
        )

    def crash(self, name: str) -> None:
        self.hosts[name].crash()
        self.network.gone(name)

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)


def told(two: Two) -> list[str | None]:
    return [answer for _, answer in two.answers]


@pytest.mark.parametrize("takes_s", [0.0, 0.3], ids=["answered at once", "answered later"])
def test_a_call_is_done_and_answered_once(takes_s: float) -> None:
    two = Two()
    two.call(takes_s=takes_s)
    two.run(5.0)
    assert len(two.effects) == 1
    assert told(two) == ["done"]
    assert two.effects[0] < two.answers[0][0] < 1.0 + takes_s + 0.1


@pytest.mark.parametrize("takes_s", [0.0, 0.3, 2.0])
def test_a_reply_that_is_lost_leaves_the_effect_and_an_unknown_outcome_at_the_deadline(takes_s: float) -> None:
    two = Two()
    two.network.cuts.add((B, A))
    two.call(takes_s=takes_s)
    two.run(5.0)
    assert len(two.effects) == 1
    assert told(two) == [None]
    assert two.answers[0][0] == pytest.approx(1.0 + DEADLINE_S, rel=0.02)


def test_a_request_that_is_lost_has_no_effect_and_looks_the_same_to_its_caller() -> None:
    two = Two()
    two.network.cuts.add((A, B))
    two.call()
    two.run(5.0)
    assert two.effects == []
    assert told(two) == [None]
    assert two.answers[0][0] == pytest.approx(1.0 + DEADLINE_S, rel=0.02)


def test_an_answer_that_comes_after_the_deadline_is_not_told() -> None:
    two = Two()
    two.call(takes_s=2 * DEADLINE_S)
    two.run(5.0)
    assert told(two) == [None]


def test_a_process_that_is_gone_refuses_at_once() -> None:
    two = Two()
    two.crash(B)
    two.call()
    two.run(0.1)
    assert two.effects == []
    assert told(two) == [None]


def test_a_call_never_runs_in_a_later_life_of_the_process_that_it_was_sent_to() -> None:
    two = Two()
    two.call()
    two.crash(B)
    two.hosts[B].start()
    two.run(5.0)
    assert two.effects == []
    assert told(two) == [None]


def test_an_answer_never_reaches_a_later_life_of_its_caller() -> None:
    two = Two()
    two.call(takes_s=0.2)
    two.run(0.1)
    two.crash(A)
    two.hosts[A].start()
    two.run(5.0)
    assert len(two.effects) == 1
    assert two.answers == []


def test_a_frozen_process_answers_too_late_and_does_what_it_was_asked_all_the_same() -> None:
    two = Two()
    two.hosts[B].freeze()
    two.call()
    two.run(2 * DEADLINE_S)
    assert told(two) == [None]
    assert two.effects == []
    two.hosts[B].thaw()
    two.run(1.0)
    assert len(two.effects) == 1
    assert told(two) == [None]


def test_the_weather_loses_calls_either_way() -> None:
    two = Two()
    two.network.weather.lost_call_ratio = 0.3
    for _ in range(300):
        two.call()
    two.run(5.0)
    answered = told(two).count("done")
    assert len(two.answers) == 300
    assert answered < len(two.effects) < 300


def test_a_message_of_a_broken_stream_is_never_heard_unless_stragglers_are_allowed() -> None:
    heard = []
    for ratio in (0.0, 1.0):
        two = Two()
        two.network.weather.late_ratio = ratio
        two.network.send(A, B, "old")
        two.network.reset(A, B)
        two.run(3.0)
        two.network.send(A, B, "new")
        two.run(1.0)
        assert two.ends[B].changes == ["up", "down", "up"]
        heard.append(two.ends[B].messages)
    assert heard == [["new"], ["old", "new"]]


def test_a_process_that_is_back_before_its_death_is_told_was_down_first_and_only_once() -> None:
    two = Two()
    two.crash(B)
    two.hosts[B].start()
    two.network.plug(B, two.ends[B], [A])
    two.run(3.0)
    assert two.ends[A].changes == ["up", "down", "up"]
    two.network.send(A, B, "on the new stream")
    two.run(1.0)
    assert two.ends[B].messages == ["on the new stream"]


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_cut_never_takes_a_message_out_of_the_middle(seed: int) -> None:
    two = Two(seed)
    two.network.cuts.add((A, B))
    for number in range(5):
        two.network.send(A, B, f"{number}")
    two.run(2.0)
    assert two.ends[B].messages == []
    two.network.mend()
    for number in range(5, 10):
        two.network.send(A, B, f"{number}")
    two.run(3.0)
    broke = two.ends[B].changes != ["up"]
    assert two.ends[B].messages == ([] if broke else [f"{number}" for number in range(10)])


def test_both_ends_of_a_cut_happen() -> None:
    outcomes = set()
    for seed in range(1, 20):
        two = Two(seed)
        two.network.cuts.add((A, B))
        two.network.send(A, B, "held up")
        two.run(1.0)
        two.network.mend()
        two.run(3.0)
        outcomes.add(tuple(two.ends[B].changes))
    assert outcomes == {("up",), ("up", "down", "up")}


def test_what_one_end_can_t_dial_the_other_one_opens() -> None:
    two = Two()
    two.network.undialled = {(A, B)}
    two.network.reset(A, B)
    two.run(3.0)
    assert two.ends[A].changes == ["up", "down", "up"]
    two.network.undialled = {(A, B), (B, A)}
    two.network.reset(A, B)
    two.run(3.0)
    assert two.ends[A].changes[-1] == "down"


def test_a_clog_delays_more_and_more_and_keeps_the_order_when_it_is_over() -> None:
    two = Two()
    two.network.weather.clogs = {(A, B): (two.world.now, 1.0)}
    two.run(1.0)
    two.network.send(A, B, "slow")
    two.network.weather.clogs = {}
    two.network.send(A, B, "after")
    two.run(0.9)
    assert two.ends[B].messages == []
    two.run(0.3)
    assert two.ends[B].messages == ["slow", "after"]
