"""The simulated network: streams that keep order or break, calls whose request or answer gets lost.

No kinder than TCP under gRPC, and hardly less kind: a stream never loses one message in the middle. What a cut holds up
arrives late, in order, once the cut is over, or the stream breaks whole, and then both ends are told; a frozen end is
silence; a dead end refuses.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import log
from typing import Generic, Protocol, TypeVar

from chaos.sim.time import Host, World

Message = TypeVar("Message")
Message_contra = TypeVar("Message_contra", contravariant=True)
Answer = TypeVar("Answer")
Name = str
Pair = tuple[Name, Name]
RECONNECT_S = (0.05, 0.5)
"""Jittered wait before a broken stream is opened again."""
TAIL_RATIO = 0.002
"""How often a message takes much longer than the rest."""
USUAL_RATIO = 1.0 - TAIL_RATIO
"""Draws of chance up to here are of messages that do not."""
REFUSED_S = 0.12
"""Connects that must be refused after a reset, before a peer is believed to be gone."""
RESENT_S = 0.4
"""When a cut is over, at most so long until what it held up is sent again."""
GAVE_UP_RATIO = 0.5
"""How many streams that a cut held something up on break when it is over, instead of catching up."""
LATE_S = (0.05, 1.5)


class End(Protocol[Message_contra]):
    """What sits at an end of a stream."""

    def message(self, peer: Name, message: Message_contra, /) -> None:
        """Take a message."""
        ...

    def link_up(self, peer: Name, /) -> None:
        """Learn that the stream is open."""
        ...

    def link_down(self, peer: Name, refused: bool, /) -> None:
        """Learn that it broke; ``refused``: the other end's process is not there."""
        ...


@dataclass(slots=True)
class Weather:
    """What the network does to what passes; seconds and ratios."""

    delay_s: Mapping[Pair, float] = field(default_factory=dict)
    """One way, per ordered pair of hosts; 0.2 ms where none is given."""
    jitter_s: float = 0.001
    tail_s: float = 0.3
    break_ratio: float = 0.0
    """How many messages break their stream instead of arriving."""
    lost_call_ratio: float = 0.0
    """How many calls lose their request, and how many their answer."""
    late_ratio: float = 0.0
    """How many of the messages that were on their way when their stream broke arrive all the same, after the next one
    stands."""
    clogs: dict[Pair, tuple[float, float]] = field(default_factory=dict)
    """Ordered pairs whose delay grows: since when, and by how many seconds a second."""

    def heal(self) -> None:
        """Let everything through, as fast as it goes."""
        self.clogs = {}
        self.break_ratio = self.lost_call_ratio = self.late_ratio = 0.0

    def delay_of(self, source: Name, target: Name) -> float:
        """Say how long a message takes at least."""
        return self.delay_s.get((source, target), 0.0002)

    def trip_s(self, source: Name, target: Name, now: float, draw: float) -> float:
        """Say how long a message takes; ``draw`` is chance, in [0, 1): the higher, the longer."""
        pair = (source, target)
        trip_s = self.delay_of(source, target) - self.jitter_s * log(1.0 - draw)
        if draw > USUAL_RATIO:
            trip_s += self.tail_s * (1.0 - draw) / TAIL_RATIO
        if self.clogs and pair in self.clogs:
            since, growth = self.clogs[pair]
            trip_s += growth * (now - since)
        return trip_s


@dataclass(slots=True)
class _Tie:
    """Two hosts."""

    stream: int = 0
    """The number of the stream between them; 0: none stands."""


@dataclass(slots=True)
class _Lane:
    """One channel from one host to another: everything that a message on it needs, found by one look."""

    source: Name
    target: Name
    there: Host
    tie: _Tie
    delay_s: float
    last: float = 0.0
    """When the last message that was sent arrives."""
    held: list[Callable[[], None]] = field(default_factory=list)
    """What a cut holds up, in order."""


class Network(Generic[Message]):
    """Streams between hosts, and calls from one to another."""

    def __init__(self, world: World, hosts: Mapping[Name, Host], weather: Weather) -> None:
        self._world, self._hosts, self.weather = world, hosts, weather
        self._ends: dict[Name, End[Message]] = {}
        self._ties: dict[Pair, _Tie] = {}
        """By pair of names in order."""
        self._lanes: dict[tuple[Name, Name, bool], _Lane] = {}
        """By source, target, and whether it is the bulk channel."""
        self._told: dict[Pair, int] = {}
        """By end and its peer: the stream that it was told is up, and not yet that it broke."""
        self.cuts: set[Pair] = set()
        """Ordered pairs between which nothing arrives; ``mend`` ends one."""
        self.undialled: set[Pair] = set()
        """Ordered pairs of which the first can open no connection to the second; what stands goes on."""

    def plug(self, name: Name, end: End[Message], peers: Collection[Name]) -> None:
        """Put a host's present life on the network, and open its streams."""
        self._ends[name] = end
        for peer in peers:
            self._open_after(0.0, _pair(name, peer))

    def send(self, source: Name, target: Name, message: Message, *, bulk: bool = False) -> None:
        """Send on the stream, in order; lost when there is none."""
        lane = self._lanes.get((source, target, bulk)) or self._lane(source, target, bulk)
        stream = lane.tie.stream
        if not stream:
            return
        world, weather = self._world, self.weather
        draw = world.chance.random()
        if draw < weather.break_ratio:
            self._break(_pair(source, target))
            return
        if weather.clogs or draw > USUAL_RATIO:
            due = world.now + weather.trip_s(source, target, world.now, draw)
        else:
            due = world.now + (lane.delay_s - weather.jitter_s * log(1.0 - draw))
        if due < lane.last:
            due = lane.last
        lane.last = due
        world.at(due, partial(self._arrive, lane, stream, message))

    def call(
        self,
        source: Name,
        target: Name,
        ask: Callable[[Callable[[Answer], None]], None],
        done: Callable[[Answer | None], None],
        *,
        deadline_s: float,
    ) -> None:
        """Call another host: ``ask`` runs there and answers through the callback it is given.

        ``done`` gets the answer, or None once it is certain that none will be waited for; then the effect is unknown.
        """
        here = self._hosts[source]
        deadline = self._world.now + deadline_s / here.rate
        _Call(self, self._world, here, self._hosts[target], ask, done, deadline).leave()

    def gone(self, name: Name) -> None:
        """Tell every peer that a host's process died: its streams reset, and connects are refused."""
        self._ends.pop(name, None)
        for pair in sorted(self._ties):
            if name in pair and self._ties[pair].stream:
                peer = pair[0] if pair[1] == name else pair[1]
                self._told.pop((name, peer), None)
                if (name, peer) not in self.cuts:
                    self._tell_down(peer, name, refused=True)
                self._forget(pair)

    def mend(self, cuts: Collection[Pair] | None = None) -> None:
        """End cuts; None: every one. What they held up is sent again, or its stream breaks."""
        over = sorted(self.cuts if cuts is None else self.cuts.intersection(cuts))
        self.cuts.difference_update(over)
        for (source, target), bulk in product(over, (False, True)):
            lane = self._lanes.get((source, target, bulk))
            if lane is None or not lane.held:
                continue
            if self._world.chance.random() < GAVE_UP_RATIO:
                self._break(_pair(source, target))
            else:
                self._resend(lane)

    def reset(self, a: Name, b: Name) -> None:
        """Break the stream between two hosts, if one stands."""
        if self._tie(_pair(a, b)).stream:
            self._break(_pair(a, b))

    def lost(self, source: Name, target: Name) -> bool:
        """Say whether a call's request or answer gets lost on this way."""
        if (source, target) in self.cuts or (source, target) in self.undialled:
            return True
        ratio = self.weather.lost_call_ratio
        return ratio > 0.0 and self._world.chance.random() < ratio

    def trip_s(self, source: Name, target: Name) -> float:
        """Draw how long a message takes now."""
        return self.weather.trip_s(source, target, self._world.now, self._world.chance.random())

    def _open(self, pair: Pair) -> None:
        tie = self._tie(pair)
        if tie.stream or not all(name in self._ends for name in pair):
            return
        if not (self._reachable(pair) and all(self._hosts[name].alive for name in pair)):
            self._open_later(pair)
            return
        stream = tie.stream = self._world.chance.getrandbits(60) | 1
        for name, peer in (pair, pair[::-1]):
            before = self._told.get((name, peer), 0)
            self._told[name, peer] = stream
            if before:
                self._on(name, lambda end, peer=peer: end.link_down(peer, False))  # type: ignore[misc]  # bound per turn
            self._on(name, lambda end, peer=peer: end.link_up(peer))  # type: ignore[misc]  # bound per turn

    def _reachable(self, pair: Pair) -> bool:
        there, back = pair, pair[::-1]
        cut = there in self.cuts or back in self.cuts or (there in self.undialled and back in self.undialled)
        return not (cut or any(self._hosts[name].frozen for name in pair))

    def _open_later(self, pair: Pair) -> None:
        self._open_after(self._world.chance.uniform(*RECONNECT_S), pair)

    def _open_after(self, delay_s: float, pair: Pair) -> None:
        self._world.after(delay_s, lambda: self._open(pair))

    def _break(self, pair: Pair) -> None:
        for name, peer in (pair, pair[::-1]):
            self._tell_down(name, peer, refused=False)
        self._forget(pair)
        self._open_later(pair)

    def _forget(self, pair: Pair) -> None:
        self._tie(pair).stream = 0
        for (source, target), bulk in product((pair, pair[::-1]), (False, True)):
            lane = self._lanes.get((source, target, bulk))
            if lane is not None:
                lane.held.clear()

    def _tell_down(self, name: Name, peer: Name, *, refused: bool) -> None:
        """Tell an end that its stream broke, unless the next one is faster: it then tells both."""
        delay_s = self.trip_s(peer, name) + (REFUSED_S if refused else 0.0)
        stream = self._tie(_pair(name, peer)).stream

        def tell() -> None:
            if self._told.get((name, peer)) == stream:
                del self._told[name, peer]
                gone = refused and not self._hosts[peer].alive
                self._on(name, lambda end: end.link_down(peer, gone))

        self._world.after(delay_s, tell)

    def _on(self, name: Name, deed: Callable[[End[Message]], None]) -> None:
        end = self._ends.get(name)
        if end is not None:
            self._hosts[name].run(lambda: deed(end))

    def _arrive(self, lane: _Lane, stream: int, message: Message) -> None:
        if lane.tie.stream != stream:
            self._arrive_late(lane, message)
        elif self.cuts and (lane.source, lane.target) in self.cuts:
            lane.held.append(partial(self._arrive, lane, stream, message))
        else:
            self._deliver(lane, message)

    def _arrive_late(self, lane: _Lane, message: Message) -> None:
        ratio = self.weather.late_ratio
        if ratio > 0.0 and self._world.chance.random() < ratio and (lane.source, lane.target) not in self.cuts:
            late_s = self._world.chance.uniform(*LATE_S)
            self._world.after(late_s, lambda: self._deliver(lane, message))

    def _deliver(self, lane: _Lane, message: Message) -> None:
        source, there = lane.source, lane.there
        end = self._ends.get(lane.target)
        if end is None:
            return
        self._world.heard(source, lane.target, message)
        if there.frozen:
            there.run(lambda: end.message(source, message))
        elif there.alive:
            end.message(source, message)

    def _resend(self, lane: _Lane) -> None:
        held, lane.held = lane.held, []
        lane.last = max(self._world.now + self._world.chance.uniform(0.0, RESENT_S), lane.last)
        for arrive in held:
            self._world.at(lane.last, arrive)

    def _tie(self, pair: Pair) -> _Tie:
        return self._ties.setdefault(pair, _Tie())

    def _lane(self, source: Name, target: Name, bulk: bool) -> _Lane:
        tie, delay_s = self._tie(_pair(source, target)), self.weather.delay_of(source, target)
        lane = self._lanes[source, target, bulk] = _Lane(source, target, self._hosts[target], tie, delay_s)
        return lane


class _Call(Generic[Message, Answer]):
    """One call on its way. A timer for its deadline is set only once nothing else is certain to end it in time."""

    __slots__ = (
        "_ask",
        "_deadline",
        "_done",
        "_ends",
        "_here",
        "_here_life",
        "_network",
        "_there",
        "_there_life",
        "_timed",
        "_world",
    )

    def __init__(
        self,
        network: Network[Message],
        world: World,
        here: Host,
        there: Host,
        ask: Callable[[Callable[[Answer], None]], None],
        done: Callable[[Answer | None], None],
        deadline: float,
    ) -> None:
        self._network, self._world = network, world
        self._here, self._here_life = here, here.life
        self._there, self._there_life = there, there.life
        self._ask, self._done, self._deadline = ask, done, deadline
        self._ends = self._timed = False

    def leave(self) -> None:
        """Set out."""
        source, target = self._here.name, self._there.name
        if self._network.lost(source, target):
            self._wait()
        else:
            self._world.at(self._world.now + self._network.trip_s(source, target), self._arrive)

    def _arrive(self) -> None:
        """Run there; a process that is gone, or another one by now, resets the connection."""
        there = self._there
        if not there.alive or there.life != self._there_life:
            self._leave_back(None)
        elif there.frozen:
            self._wait()
            there.run(self._run)
        else:
            self._run()
            if not self._ends:
                self._wait()

    def _run(self) -> None:
        self._ask(self._back)

    def _back(self, answer: Answer) -> None:
        if self._network.lost(self._there.name, self._here.name):
            self._wait()
        else:
            self._leave_back(answer)

    def _leave_back(self, answer: Answer | None) -> None:
        at = self._world.now + self._network.trip_s(self._there.name, self._here.name)
        if at < self._deadline:
            self._ends = True
            self._world.at(at, partial(self._finish, answer), self._here, self._here_life)
        else:
            self._wait()

    def _wait(self) -> None:
        if not self._timed:
            self._timed = True
            self._world.at(self._deadline, self._give_up, self._here, self._here_life)

    def _give_up(self) -> None:
        if not self._ends:
            self._finish(None)

    def _finish(self, answer: Answer | None) -> None:
        self._done(answer)


def _pair(a: Name, b: Name) -> Pair:
    return (a, b) if a < b else (b, a)
