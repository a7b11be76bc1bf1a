"""The simulated network: streams that keep order or break, calls whose request or answer gets lost.

No kinder than TCP under gRPC: a stream never loses one message in the middle, it breaks whole, and then both ends are
told; a cut is silence; a frozen end is silence; a dead end refuses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from chaos.sim.time import Host, World

Message = TypeVar("Message")
Message_contra = TypeVar("Message_contra", contravariant=True)
Answer = TypeVar("Answer")
Name = str
RECONNECT_S = (0.05, 0.5)
"""Jittered wait before a broken stream is opened again."""
TAIL_RATIO = 0.002
"""How often a message takes much longer than the rest."""


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

    delay_s: Mapping[tuple[Name, Name], float] = field(default_factory=dict)
    """One way, per ordered pair of hosts; 0.2 ms where none is given."""
    jitter_s: float = 0.001
    tail_s: float = 0.3
    break_ratio: float = 0.0
    """How many messages break their stream instead of arriving."""
    lost_call_ratio: float = 0.0
    """How many calls lose their request, and how many their answer."""


class Network(Generic[Message]):
    """Streams between hosts, and calls from one to another."""

    def __init__(self, world: World, hosts: Mapping[Name, Host], weather: Weather) -> None:
        self._world, self._hosts, self.weather = world, hosts, weather
        self._ends: dict[Name, End[Message]] = {}
        self._streams: dict[tuple[Name, Name], int] = {}
        self._last: dict[tuple[Name, Name, bool], float] = {}
        self.cuts: set[tuple[Name, Name]] = set()
        """Ordered pairs between which nothing arrives."""

    def plug(self, name: Name, end: End[Message], peers: tuple[Name, ...]) -> None:
        """Put a host's present life on the network, and open its streams."""
        self._ends[name] = end
        for peer in peers:
            self._open(*sorted((name, peer)))

    def send(self, source: Name, target: Name, message: Message, *, bulk: bool = False) -> None:
        """Send on the stream, in order; lost when there is none."""
        pair = (min(source, target), max(source, target))
        stream = self._streams.get(pair, 0)
        if not stream:
            return
        if self._world.chance.random() < self.weather.break_ratio:
            self._break(pair)
            return
        key = (source, target, bulk)
        due = max(self._world.now + self._trip_s(source, target), self._last.get(key, 0.0))
        self._last[key] = due
        self._world.at(due, lambda: self._arrive(source, target, stream, message))

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
        here, there = self._hosts[source], self._hosts[target]
        answered = [False]

        def finish(answer: Answer | None) -> None:
            if not answered[0]:
                answered[0] = True
                done(answer)

        def back(answer: Answer) -> None:
            if not self._lost(target, source):
                self._world.after(self._trip_s(target, source), here.guard(lambda: finish(answer)))

        here.call_at(here.now() + deadline_s, lambda: finish(None))
        if self._lost(source, target):
            return
        if not there.alive:
            self._world.after(self._trip_s(source, target) * 2, here.guard(lambda: finish(None)))
            return
        self._world.after(self._trip_s(source, target), there.guard(lambda: ask(back)))

    def gone(self, name: Name) -> None:
        """Tell every peer that a host's process died: its streams reset, and connects are refused."""
        self._ends.pop(name, None)
        for pair in sorted(self._streams):
            if name in pair and self._streams[pair]:
                self._streams[pair] = 0
                peer = pair[0] if pair[1] == name else pair[1]
                if (name, peer) not in self.cuts:
                    self._tell_down(peer, name, refused=True)

    def mend(self) -> None:
        """End every cut."""
        self.cuts.clear()

    def _open(self, a: Name, b: Name) -> None:
        reachable = (a, b) not in self.cuts and (b, a) not in self.cuts
        both = all(self._hosts[x].alive and not self._hosts[x].frozen and x in self._ends for x in (a, b))
        if self._streams.get((a, b)):
            return
        if not (reachable and both):
            if all(x in self._ends for x in (a, b)):
                self._world.after(self._world.chance.uniform(*RECONNECT_S), lambda: self._open(a, b))
            return
        self._streams[(a, b)] = self._world.chance.getrandbits(60) | 1
        for name, peer in ((a, b), (b, a)):
            self._on(name, lambda end, peer=peer: end.link_up(peer))  # type: ignore[misc]  # bound per turn

    def _break(self, pair: tuple[Name, Name]) -> None:
        self._streams[pair] = 0
        for name, peer in (pair, pair[::-1]):
            self._tell_down(name, peer, refused=False)
        self._world.after(self._world.chance.uniform(*RECONNECT_S), lambda: self._open(*pair))

    def _tell_down(self, name: Name, peer: Name, *, refused: bool) -> None:
        delay_s = self._trip_s(peer, name) + (0.12 if refused else 0.0)

        def tell() -> None:
            still = refused and self._hosts[peer].alive
            self._on(name, lambda end: end.link_down(peer, refused and not still))

        self._world.after(delay_s, tell)

    def _on(self, name: Name, deed: Callable[[End[Message]], None]) -> None:
        end = self._ends.get(name)
        if end is not None:
            self._hosts[name].guard(lambda: deed(end))()

    def _arrive(self, source: Name, target: Name, stream: int, message: Message) -> None:
        pair = (min(source, target), max(source, target))
        if self._streams.get(pair) == stream and (source, target) not in self.cuts:
            self._world.note(f"{source} -> {target} {type(message).__name__}")
            self._on(target, lambda end: end.message(source, message))

    def _lost(self, source: Name, target: Name) -> bool:
        return (source, target) in self.cuts or self._world.chance.random() < self.weather.lost_call_ratio

    def _trip_s(self, source: Name, target: Name) -> float:
        chance, weather = self._world.chance, self.weather
        tail = weather.tail_s * chance.random() if chance.random() < TAIL_RATIO else 0.0
        return weather.delay_s.get((source, target), 0.0002) + chance.expovariate(1.0) * weather.jitter_s + tail
