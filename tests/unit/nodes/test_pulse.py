"""A node's pulse: few timers, and no silence or step of the clock told late because of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from chaos.sim.time import Host, World
from core.assignments import Fence
from core.names import NodeId, ShardId
from core.proposals import Proposal, ProposalAnswer, ProposalUnknown
from core.rhythm import Rhythm
from core.timers import timers
from nodes.frames import Frame, Heartbeat, HeartbeatReply
from nodes.link import LinkTable
from nodes.pulse import Pulse
from nodes.turn import Turn
from tests.counting_clock import CountingClock
from tests.fleets import small_fleet

TIMERS = timers("default")
TOPOLOGY = small_fleet(99)
ME, PEER, OTHER = (node.id for node in TOPOLOGY.nodes)


class NoControl:
    """Nobody is asked anything."""

    def propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        raise AssertionError("a pulse proposes nothing")

    def record(self, shards: Sequence[ShardId], done: Callable[[ProposalUnknown], None]) -> None:
        raise AssertionError("a pulse reads nothing")


@dataclass
class Bench:
    """A pulse with partners whose frames the test makes up."""

    partners: frozenset[NodeId] = frozenset({PEER, OTHER})
    world: World = field(default_factory=lambda: World(1))
    sent: list[tuple[float, NodeId, Frame]] = field(default_factory=list)
    silent: list[tuple[float, frozenset[NodeId]]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    jumps: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host = Host(self.world, "a", offset_s=1000.12)
        self.clock = CountingClock(self.host)
        self.links = LinkTable(timers=TIMERS, serial=lambda: 1000)
        self.pulse = Pulse(
            node=ME,
            topology=TOPOLOGY,
            timers=TIMERS,
            rhythm=Rhythm(TIMERS.heartbeat_s),
            clock=self.clock,
            links=self.links,
            turn=Turn(clock=self.clock, links=self, control=NoControl()),
            tell=lambda event, facts: None,
            partners=lambda: self.partners,
            grants=lambda shard, peer, fence: True,
            swept=lambda now: None,
            silent=lambda who: self.silent.append((self.world.now, who)),
            stepped=lambda: self.steps.append(self.world.now),
            jumped=self.jumps.append,
        )
        self.pulse.start()

    def send(self, peer: NodeId, message: Frame, *, bulk: bool = False) -> None:
        """Be the port Links."""
        self.sent.append((self.world.now, peer, message))

    def hear(self, peers: Iterable[NodeId], *, every_s: float, until_s: float) -> None:
        """Let peers give signs of life."""
        for peer in peers:
            for count in range(1, round((until_s - self.world.now) / every_s) + 1):
                self.world.after(count * every_s, self.host.guard(lambda peer=peer: self._frame(peer)))  # type: ignore[misc]  # bound per turn

    def _frame(self, peer: NodeId) -> None:
        self.pulse.heard(peer)


def test_an_idle_node_wakes_twice_per_beat_and_only_once_when_frames_come_in_between() -> None:
    alone = Bench(partners=frozenset())
    alone.world.run(10.0)
    assert len(alone.clock.wakes) == pytest.approx(100, abs=2)
    busy = Bench()
    busy.hear([PEER, OTHER], every_s=0.04, until_s=10.0)
    busy.world.run(10.0)
    assert len(busy.clock.wakes) == pytest.approx(50, abs=2)


def test_a_heartbeat_goes_to_every_partner_at_every_moment_of_the_rhythm() -> None:
    bench = Bench()
    bench.world.run(10.0)
    beats = [at for at, peer, frame in bench.sent if peer == PEER and isinstance(frame.messages[0], Heartbeat)]
    assert len(beats) == pytest.approx(51, abs=1)
    assert max(b - a for a, b in pairwise(beats)) <= 1.1 * TIMERS.heartbeat_s + 1e-6
    phases = {round((bench.host.offset_s + at) / TIMERS.heartbeat_s % 1.0, 3) % 1.0 for at in beats[2:]}
    assert phases == {0.0}


@pytest.mark.parametrize("last_s", [0.301, 0.377, 0.45, 0.499], ids="last heard at {}".format)
def test_silence_is_told_as_soon_as_it_is_long_enough_wherever_the_beats_stand(last_s: float) -> None:
    bench = Bench()
    bench.hear([OTHER], every_s=0.04, until_s=4.0)
    bench.hear([PEER], every_s=last_s / 7, until_s=last_s)
    bench.world.run(4.0)
    told_at, who = bench.silent[0]
    assert who == {PEER}
    assert 0 < told_at - last_s - TIMERS.standby_silence_s < 0.005


def test_a_silence_that_goes_on_is_told_again_at_every_second_beat() -> None:
    bench = Bench()
    bench.hear([PEER], every_s=0.1, until_s=0.5)
    bench.hear([OTHER], every_s=0.1, until_s=9.0)
    bench.world.run(5.0)
    assert len(bench.silent) == pytest.approx(1 + 3.5 / (2 * TIMERS.heartbeat_s), abs=2)


@pytest.mark.parametrize("frozen_at_s", [1.0, 1.04, 1.09, 1.13, 1.17])
@pytest.mark.parametrize("frames", [True, False], ids=["frames come in", "nothing comes in"])
def test_a_stop_above_a_quarter_of_a_lease_is_noticed_before_any_silence_is_told(
    frozen_at_s: float, frames: bool
) -> None:
    bench = Bench()
    bench.hear([PEER, OTHER], every_s=0.04, until_s=frozen_at_s if frames else 0.2)
    bench.world.run(frozen_at_s)
    bench.host.freeze()
    bench.world.run(frozen_at_s + TIMERS.jump_s + 1.2)
    bench.host.thaw()
    assert bench.steps == [bench.world.now]
    assert bench.jumps[0] > TIMERS.lease_s
    assert bench.silent == []


def test_a_punctual_process_sees_no_step() -> None:
    bench = Bench()
    bench.hear([PEER, OTHER], every_s=0.07, until_s=10.0)
    bench.world.run(10.0)
    assert bench.steps == []


def test_an_answer_that_may_wait_goes_in_the_frame_of_the_next_heartbeat() -> None:
    bench = Bench()
    link = bench.links.watch(PEER, bench.host.now())
    link.answered = 1000
    bench.world.run(0.5)
    bench.pulse.asked(link, Heartbeat(1.0, link.their_version, None))
    before = len(bench.sent)
    bench.world.run(0.8)
    frames = [frame for _, peer, frame in bench.sent[before:] if peer == PEER]
    assert [type(message) for message in frames[0].messages] == [Heartbeat, HeartbeatReply]


def test_a_lease_is_asked_for_under_the_fence_that_stands() -> None:
    bench = Bench()
    bench.links.watch(PEER, bench.host.now()).want(ShardId(7), Fence(1, 2))
    bench.world.run(0.3)
    beats = [m for _, peer, frame in bench.sent if peer == PEER for m in frame.messages if isinstance(m, Heartbeat)]
    assert beats[-1].wanted == ((ShardId(7), Fence(1, 2)),)
