"""Who leads: one control plane per term at most, soon when the leader is gone, nobody when it is not."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.election import (
    MISSED_BEATS,
    QUIET_BEATS,
    Action,
    Beat,
    Deposed,
    Election,
    Heard,
    Jumped,
    Lead,
    PeerLost,
    Raised,
    RaiseTerm,
    ReadTerm,
    StepDown,
    TermRead,
)
from control_plane.ports import Applied, StaleTerm, Unknown, WriteAnswer
from control_plane.views import ConferView
from core.fleet_map import NO_REVISION
from core.names import ControlPlaneId
from core.timers import timers

NAMES = tuple(ControlPlaneId(f"{dc}-cp") for dc in ("a", "b", "c", "d", "e"))
A, B, C, D, E = NAMES
TIMERS = timers("default")
RTT_S = 0.02


def election(me: ControlPlaneId, *, now: float = 0.0) -> Election:
    return Election(me, NAMES, TIMERS, dict.fromkeys(NAMES, RTT_S), now)


def beat(sender: ControlPlaneId, *, term: int = 1, leads: bool = False, silent_s: float = 0.0) -> Heard:
    return Heard(ConferView(sender, term, leads, round(silent_s * 1000)))


def following(me: ControlPlaneId, *, leader: ControlPlaneId = A) -> Election:
    """Make a follower that has just heard the leader of term 1."""
    follower = election(me)
    follower.on(beat(leader, leads=True), 0.0)
    return follower


def asked(follower: Election, now: float, *, silent: tuple[ControlPlaneId, ...]) -> tuple[Action, ...]:
    """Let some peers say that they miss the leader too, and see what the follower does."""
    actions: tuple[Action, ...] = ()
    for peer in silent:
        actions += follower.on(beat(peer, silent_s=now), now).actions
    return actions


def test_a_follower_stands_after_the_takeover_when_a_majority_misses_the_leader_too() -> None:
    follower = following(B)
    assert RaiseTerm(2) in asked(follower, TIMERS.takeover_s, silent=(C, D))


def test_it_does_not_stand_a_moment_earlier() -> None:
    follower = following(B)
    now = TIMERS.takeover_s - 0.01
    assert RaiseTerm(2) not in asked(follower, now, silent=(C, D, E))


def test_it_does_not_stand_when_only_its_own_link_is_cut() -> None:
    follower = following(B)
    now = TIMERS.takeover_s
    for peer in (C, D, E):
        assert RaiseTerm(2) not in follower.on(beat(peer, silent_s=0.1), now).actions


def test_a_stale_statement_does_not_count() -> None:
    follower = following(B)
    asked(follower, 0.35, silent=(C, D))
    late = follower.wake(3.0)
    assert RaiseTerm(2) not in late.actions


@pytest.mark.parametrize(("me", "rank"), [(B, 0), (C, 1), (D, 2), (E, 3)])
def test_candidates_stand_one_after_the_other(me: ControlPlaneId, rank: int) -> None:
    follower = following(me)
    peers = tuple(peer for peer in (B, C, D, E) if peer != me)
    due = TIMERS.takeover_s + rank * TIMERS.stagger_s
    assert RaiseTerm(2) not in asked(follower, due - 0.01, silent=peers)
    assert RaiseTerm(2) in asked(follower, due + 0.001, silent=peers)


def test_refused_connects_shorten_the_wait() -> None:
    follower = following(B)
    follower.on(PeerLost(A, refused=True), 0.1)
    due = max(TIMERS.reset_wait_s + 3 * RTT_S, 2 * TIMERS.leader_heartbeat_s)
    assert due < TIMERS.takeover_s
    assert RaiseTerm(2) in asked(follower, due + 0.01, silent=(C, D))


def test_a_leader_heard_again_ends_the_candidacy() -> None:
    follower = following(B)
    follower.on(beat(A, leads=True), TIMERS.takeover_s - 0.01)
    assert RaiseTerm(2) not in asked(follower, TIMERS.takeover_s + 0.1, silent=(C, D))


@pytest.mark.parametrize("answer", [StaleTerm(2), Unknown("no answer")], ids=["another was first", "not known"])
def test_a_loser_waits_a_full_takeover(answer: WriteAnswer) -> None:
    follower = following(B)
    asked(follower, 0.6, silent=(C, D))
    assert not any(isinstance(action, Lead) for action in follower.on(Raised(2, answer), 0.8).actions)
    for now in (0.9, 1.1, 1.39):
        assert not any(isinstance(action, RaiseTerm) for action in asked(follower, now, silent=(C, D, E)))


def test_the_winner_leads_and_says_so_at_once() -> None:
    follower = following(B)
    asked(follower, 0.6, silent=(C, D))
    assert follower.on(Raised(2, (Applied(),)), 0.8).actions == (Lead(2), Beat())
    told = follower.beat(0.8, NO_REVISION)
    assert (told.term, told.leads, told.leader_silent_ms) == (2, True, 0)


@pytest.mark.parametrize("event", [Deposed(3), beat(C, term=3), beat(C, term=3, leads=True)], ids=str)
def test_a_leader_steps_down_on_a_higher_term(event: Deposed | Heard) -> None:
    leader = leading()
    actions = leader.on(event, 1.0).actions
    assert [type(action) for action in actions if not isinstance(action, Beat)] == [StepDown]
    assert not leader.leads


def leading() -> Election:
    """Make a leader of term 2."""
    leader = following(B)
    asked(leader, 0.6, silent=(C, D))
    leader.on(Raised(2, (Applied(),)), 0.7)
    return leader


def test_a_leader_that_stood_still_for_a_lease_follows_until_it_has_read_the_store() -> None:
    leader = leading()
    actions = leader.on(Jumped(TIMERS.lease_s + 0.1), 5.0).actions
    assert ReadTerm() in actions
    assert not leader.leads
    assert Lead(2) in leader.on(TermRead(2), 5.1).actions


def test_it_does_not_lead_again_when_the_term_was_raised_meanwhile() -> None:
    leader = leading()
    leader.on(Jumped(TIMERS.lease_s + 0.1), 5.0)
    assert not any(isinstance(action, Lead) for action in leader.on(TermRead(3), 5.1).actions)
    assert leader.view().term == 3


def beats(follower: Election, *, since: float, until: float, heard_every_s: float | None) -> list[float]:
    """Let time pass in small steps; when the follower beat."""
    found, now, heard_at = list[float](), since, float("-inf")
    while now < until:
        if heard_every_s is not None and now >= heard_at + heard_every_s:
            heard_at = now
            follower.on(beat(A, leads=True), now)
        if any(isinstance(action, Beat) for action in follower.wake(now).actions):
            found.append(now)
        now += 0.005
    return found


def test_a_follower_that_hears_the_leader_beats_every_fourth_time_only() -> None:
    quiet_s = QUIET_BEATS * TIMERS.leader_heartbeat_s
    found = beats(following(B), since=1.0, until=7.0, heard_every_s=TIMERS.leader_heartbeat_s)
    assert len(found) == pytest.approx(6.0 / quiet_s, abs=1.1)


@pytest.mark.parametrize("beaten_at", [0.0, 0.1, 0.149])
def test_a_follower_that_misses_two_beats_says_so_at_once_and_then_at_every_beat(beaten_at: float) -> None:
    follower = following(B)
    follower.wake(beaten_at)
    follower.on(beat(A, leads=True), 0.15)
    found = beats(follower, since=0.155, until=0.74, heard_every_s=None)
    missed_at = 0.15 + MISSED_BEATS * TIMERS.leader_heartbeat_s
    assert found == pytest.approx([missed_at, missed_at + 0.15], abs=0.006)
    assert follower.wake(0.74).wake_at <= missed_at + 0.31


def test_it_is_woken_for_that() -> None:
    follower = following(B)
    assert follower.wake(0.0).wake_at == MISSED_BEATS * TIMERS.leader_heartbeat_s


@pytest.mark.parametrize(
    ("asked_by", "now", "owes"),
    [
        pytest.param(beat(A, leads=True), 0.1, False, id="the leader, which is heard"),
        pytest.param(beat(C, silent_s=0.1), 0.1, False, id="a follower that hears the leader"),
        pytest.param(beat(C, silent_s=0.3), 0.1, True, id="a follower that misses it"),
        pytest.param(beat(C, silent_s=0.1), 0.3, True, id="we miss the leader"),
        pytest.param(beat(C, term=0), 0.1, True, id="an older term"),
    ],
)
def test_a_heartbeat_is_answered_when_somebody_misses_the_leader_or_lacks_news(
    asked_by: Heard, now: float, owes: bool
) -> None:
    assert following(B).owes(asked_by.beat, now) is owes


def test_a_short_step_only_restarts_the_silences() -> None:
    follower = following(B)
    follower.on(Jumped(TIMERS.jump_s + 0.01), 0.6)
    assert RaiseTerm(2) not in asked(follower, 0.7, silent=(C, D))


@dataclass
class Parliament:
    """Five control planes, a linearizable term, and messages that may be lost or late."""

    now: float = 0.0
    term: int = 0
    members: dict[ControlPlaneId, Election] = field(default_factory=lambda: {name: election(name) for name in NAMES})
    leaders: dict[int, set[ControlPlaneId]] = field(default_factory=dict)
    answers: list[tuple[ControlPlaneId, Raised]] = field(default_factory=list)
    messages: list[tuple[ControlPlaneId, ConferView]] = field(default_factory=list)

    def perform(self, me: ControlPlaneId, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case RaiseTerm(term):
                    granted = term > self.term
                    answer: WriteAnswer = (Applied(),) if granted else StaleTerm(self.term)
                    self.term = max(term, self.term)
                    self.answers.append((me, Raised(term, answer)))
                case Lead(term):
                    self.leaders.setdefault(term, set()).add(me)
                case Beat():
                    beat = self.members[me].beat(self.now, NO_REVISION)
                    self.messages += [(peer, beat) for peer in NAMES if peer != me]
                case _:
                    pass

    def step(self, kind: int, pick: int, lost: bool) -> None:
        if kind == 0:
            self.now += pick / 100
            for me, member in self.members.items():
                self.perform(me, member.wake(self.now).actions)
        elif kind == 1 and self.messages:
            peer, beat = self.messages.pop(pick % len(self.messages))
            if not lost:
                self.perform(peer, self.members[peer].on(Heard(beat), self.now).actions)
        elif kind == 2 and self.answers:
            me, raised = self.answers.pop(pick % len(self.answers))
            known = Raised(raised.term, Unknown("lost")) if lost else raised
            self.perform(me, self.members[me].on(known, self.now).actions)
        elif kind == 3:
            me = NAMES[pick % len(NAMES)]
            self.perform(me, self.members[me].on(Jumped(1.5), self.now).actions)
            self.perform(me, self.members[me].on(TermRead(self.term), self.now).actions)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0, 1, 1, 1, 1, 2, 3]), st.integers(0, 40), st.booleans()),
        min_size=50,
        max_size=400,
    )
)
def test_no_term_ever_has_two_leaders(steps: list[tuple[int, int, bool]]) -> None:
    parliament = Parliament()
    for kind, pick, lost in steps:
        parliament.step(kind, pick, lost and pick % 5 == 0)
    assert all(len(leaders) == 1 for leaders in parliament.leaders.values())
