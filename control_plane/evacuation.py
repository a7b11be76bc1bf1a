"""Brings the shards of a lost node or data center back: canary first, then all the rest in one wave.

Nothing is promoted before the evacuation is a record in the store (C9), and no copy that has not answered Prepare
within the Prepare time, or has no room. What became of a write is not tracked here: the records are asked again
instead, so unknown outcomes, refused rows and a new leader in the middle all come to the same thing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from control_plane.loads import STANDBY_COST, Loads
from core.assignments import Assignment, Fence
from core.machine import NEVER, Output
from core.names import NodeId, ShardId
from core.orders import PrepareResult, PrepareShard
from core.timers import Timers

CANARY_SHARE = 0.01
ASK_AGAIN_S = 0.25
"""How soon a copy that was not ready, or did not answer, is asked again."""
FLOAT_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class AskPrepare:
    """Ask a node whether these copies could take over."""

    node: NodeId
    shards: tuple[PrepareShard, ...]


@dataclass(frozen=True, slots=True)
class PromoteAll:
    """Promote the standbys of these records; ``canary``: the first few, to see one serve."""

    bases: tuple[Assignment, ...]
    canary: bool


@dataclass(frozen=True, slots=True)
class Stuck:
    """A shard can't be brought back now, and why."""

    shard: ShardId
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Every shard that could be brought back is."""

    promoted: int
    impossible: int


Action: TypeAlias = AskPrepare | PromoteAll | Stuck | Finished


@dataclass(frozen=True, slots=True)
class Scene:
    """What the rescue sees each time it looks."""

    victims: Sequence[Assignment]
    """Records whose primary is lost."""
    loads: Loads
    holds_lost: Callable[[NodeId], bool]
    serves: Callable[[ShardId, Fence], bool]
    """Whether the promoted copy of a shard was seen serving at or above a fence."""


@dataclass(slots=True)
class _Readiness:
    base: Fence
    asked_at: float
    waiting: bool = True
    """An answer is awaited; the one before holds for as long as it would anyway."""
    answered_at: float = -inf
    ready: bool = False
    refusal: str = ""


@dataclass(slots=True)
class Rescue:
    """One evacuation under way.

    ``last_sign_at`` is when the lost primaries were last seen alive: their leases end a lease later.
    """

    timers: Timers
    last_sign_at: float
    recorded: bool
    """The evacuation is known to be in the store."""
    canaries: dict[ShardId, Fence] = field(default_factory=dict)
    """The canary's shards, and the fences that they are promoted from."""
    finished: bool = False
    _asked: dict[ShardId, _Readiness] = field(default_factory=dict)
    _in_flight: dict[ShardId, Fence] = field(default_factory=dict)
    _stuck: dict[ShardId, str] = field(default_factory=dict)
    _promoted: int = 0
    _wave: bool = False

    def prepared(self, asked: Iterable[PrepareShard], results: Sequence[PrepareResult], now: float) -> None:
        """Take a node's answer to AskPrepare; no results: it did not answer."""
        by_shard = {result.shard: result for result in results}
        for question in asked:
            held = self._asked.get(question.shard)
            if held is None or held.base != question.base:
                continue
            result = by_shard.get(question.shard)
            held.waiting, held.answered_at = False, now
            held.ready = result is not None and result.ready
            held.refusal = "its node does not answer" if result is None else result.refusal

    def settled(self, shard: ShardId, *, applied: bool) -> None:
        """Note that the write of a promotion was answered."""
        self._in_flight.pop(shard, None)
        self._promoted += applied

    def look(self, scene: Scene, now: float) -> Output[Action]:
        """Decide what to do next."""
        hopeful = [a for a in scene.victims if a.standby is not None and not scene.holds_lost(a.standby.node)]
        actions: list[Action] = list(self._hopeless(scene, hopeful))
        actions += self._questions(hopeful, now)
        wake_at = now + ASK_AGAIN_S if hopeful else NEVER
        if self.recorded:
            ready = [a for a in hopeful if self._ready(a, now)]
            if not self._wave:
                wake_at = min(wake_at, self._canary_over_at(scene, hopeful, now))
                self._wave = bool(self.canaries) and wake_at <= now
            actions += self._promotions(scene, ready, hopeful)
            actions += self._end(scene, hopeful)
        return Output(tuple(actions), wake_at)

    def _hopeless(self, scene: Scene, hopeful: Sequence[Assignment]) -> Iterable[Stuck]:
        fine = {a.shard for a in hopeful}
        for victim in scene.victims:
            if victim.shard not in fine:
                why = "its only copy is lost" if victim.standby is None else "both copies are lost"
                yield from self._tell_stuck(victim.shard, f"{why}: it waits until one returns")

    def _tell_stuck(self, shard: ShardId, reason: str) -> Iterable[Stuck]:
        if self._stuck.get(shard) != reason:
            self._stuck[shard] = reason
            yield Stuck(shard, reason)

    def _questions(self, hopeful: Sequence[Assignment], now: float) -> list[Action]:
        by_node: dict[NodeId, list[PrepareShard]] = {}
        for victim in hopeful:
            if victim.standby is not None and self._must_ask(victim, now):
                self._asks(victim, now)
                by_node.setdefault(victim.standby.node, []).append(PrepareShard(victim.shard, victim.fence))
        return [AskPrepare(node, tuple(shards)) for node, shards in by_node.items()]

    def _asks(self, victim: Assignment, now: float) -> None:
        held = self._asked.get(victim.shard)
        if held is None or held.base != victim.fence:
            self._asked[victim.shard] = _Readiness(victim.fence, now)
        else:
            held.asked_at, held.waiting = now, True

    def _must_ask(self, victim: Assignment, now: float) -> bool:
        held = self._asked.get(victim.shard)
        if held is None or held.base != victim.fence:
            return True
        if held.waiting:
            return now - held.asked_at >= self.timers.prepare_s
        if held.ready:
            return now - held.answered_at >= self.timers.prepare_s / 2 and victim.shard not in self._in_flight
        return now - held.answered_at >= ASK_AGAIN_S

    def _ready(self, victim: Assignment, now: float) -> bool:
        held = self._asked.get(victim.shard)
        if held is None or held.base != victim.fence or not held.ready:
            return False
        return now - held.answered_at <= self.timers.prepare_s and victim.shard not in self._in_flight

    def _canary_over_at(self, scene: Scene, hopeful: Sequence[Assignment], now: float) -> float:
        """Say when the main wave may start: at once when a canary serves, else a while after the old leases ended."""
        waiting = {a.shard for a in hopeful if self.canaries.get(a.shard) == a.fence}
        if not self.canaries or waiting:
            return NEVER
        if all(scene.serves(shard, fence) for shard, fence in self.canaries.items()):
            return now
        lease_end_at = self.last_sign_at + self.timers.lease_s * (1 + self.timers.drift_ratio)
        return lease_end_at + self.timers.canary_wait_s

    def _promotions(self, scene: Scene, ready: Sequence[Assignment], hopeful: Sequence[Assignment]) -> list[Action]:
        fitting, stuck = self._fitting(scene, ready)
        actions: list[Action] = list(stuck)
        if not self._wave:
            if any(shard in self._in_flight for shard in self.canaries) or self._canary_stands(hopeful):
                return actions
            wanted = max(1, int(len(hopeful) * CANARY_SHARE + 0.999))
            fitting = fitting[:wanted]
            self.canaries = {a.shard: a.fence for a in fitting}
        if fitting:
            self._in_flight.update((a.shard, a.fence) for a in fitting)
            actions.append(PromoteAll(tuple(fitting), canary=not self._wave))
        return actions

    def _canary_stands(self, hopeful: Sequence[Assignment]) -> bool:
        """Say whether canaries were promoted and none has to be tried again."""
        waiting = {a.shard for a in hopeful if self.canaries.get(a.shard) == a.fence}
        return bool(self.canaries) and not waiting

    def _fitting(self, scene: Scene, ready: Sequence[Assignment]) -> tuple[list[Assignment], list[Stuck]]:
        """Pick what its new primaries can carry: no failover to where it does not fit."""
        extra: dict[NodeId, float] = {}
        fitting: list[Assignment] = []
        stuck: list[Stuck] = []
        for victim in ready:
            assert victim.standby is not None, "a copy without a standby was asked to prepare"
            node = victim.standby.node
            more = extra.get(node, 0.0) + (1 - STANDBY_COST) * scene.loads.topology.weight(victim.shard)
            if scene.loads.fits(node, more - FLOAT_SLACK):
                extra[node] = more
                fitting.append(victim)
            else:
                stuck += self._tell_stuck(victim.shard, f"{node} has no room for it")
        return fitting, stuck

    def _end(self, scene: Scene, hopeful: Sequence[Assignment]) -> list[Action]:
        if hopeful or self._in_flight or self.finished:
            return []
        self.finished = True
        return [Finished(self._promoted, len(scene.victims))]
