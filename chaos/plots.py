"""Plots: a few faults that belong together, because what finds bugs is trouble that meets trouble.

A second fault while the first is being dealt with, one after the other at the edge of what is noticed, an operator's
order in the middle of it.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from chaos.scene import Scene, anything, hinder_store, hurt_disk, lose, one, strike
from chaos.schedule import (
    Cordon,
    Crash,
    Cut,
    CutDc,
    Drain,
    Freeze,
    LoseDc,
    LoseDisk,
    Switchover,
    Timed,
)
from core.names import dc_of

Plot: TypeAlias = Callable[[Scene, float], Iterator[Timed]]


def alone(scene: Scene, at_s: float) -> Iterator[Timed]:
    """One fault, and peace."""
    yield Timed(at_s, anything(scene))


def double(scene: Scene, at_s: float) -> Iterator[Timed]:
    """Two faults that know nothing of each other, within the time in which one is dealt with."""
    yield Timed(at_s, anything(scene))
    yield Timed(at_s + scene.between(0.0, 3.0), anything(scene))


def during_rejoin(scene: Scene, at_s: float) -> Iterator[Timed]:
    """A node comes back, and is struck, or whoever takes it in is."""
    node, away_s = scene.node(), scene.between(0.2, 5.0)
    yield Timed(at_s, Crash(node, away_s))
    hit = node if scene.chance.random() < 0.5 else scene.node(but=node)
    yield Timed(at_s + away_s + scene.between(0.0, 2.0), strike(scene, hit))


def during_snapshot(scene: Scene, at_s: float) -> Iterator[Timed]:
    """A node comes back with an empty disk, and somebody is struck while it is filled again."""
    node, away_s = scene.node(), scene.between(0.1, 3.0)
    yield Timed(at_s, LoseDisk(node, away_s))
    then_s = at_s + away_s + scene.between(0.0, 1.5)
    hit = node if scene.chance.random() < 0.3 else scene.node(but=node)
    yield Timed(then_s, hurt_disk(scene, hit) if scene.chance.random() < 0.3 else strike(scene, hit))


def during_promotion(scene: Scene, at_s: float) -> Iterator[Timed]:
    """A data center or a node is lost; while that is decided, a control plane, the store or the heir is struck."""
    node = scene.node()
    first = lose(scene, dc_of(node)) if scene.chance.random() < 0.6 else Crash(node, scene.between(1.0, 8.0))
    yield Timed(at_s, first)
    then_s = at_s + scene.between(0.0, 2.0 * scene.timers.silence_s)
    draw = scene.chance.random()
    if draw < 0.35:
        yield Timed(then_s, strike(scene, scene.plane()))
    elif draw < 0.6:
        yield Timed(then_s, hinder_store(scene))
    else:
        yield Timed(then_s, strike(scene, scene.node(but=node)))


def during_drain(scene: Scene, at_s: float) -> Iterator[Timed]:
    """An operator drains or cordons a data center, and something happens to it, to its heirs or to the leader."""
    dc, for_s = scene.dc(), scene.between(2.0, 12.0)
    yield Timed(at_s, Drain(dc, for_s) if scene.chance.random() < 0.8 else Cordon(dc, for_s))
    then_s = at_s + scene.between(0.0, 3.0)
    inside = scene.pick([str(node.id) for node in scene.topology.nodes_in(dc)])
    draw = scene.chance.random()
    if draw < 0.35:
        yield Timed(then_s, strike(scene, inside))
    elif draw < 0.55:
        yield Timed(then_s, strike(scene, scene.plane()))
    elif draw < 0.7:
        yield Timed(then_s, lose(scene, dc))
    else:
        yield Timed(then_s, anything(scene))


def during_switchover(scene: Scene, at_s: float) -> Iterator[Timed]:
    """An operator switches roles, and somebody is struck in the same moment."""
    for _ in range(1 + int(3 * scene.chance.random())):
        yield Timed(at_s + scene.between(0.0, 0.6), Switchover(scene.shard()))
    yield Timed(at_s + scene.between(0.0, 0.6), anything(scene))


def flapping(scene: Scene, at_s: float) -> Iterator[Timed]:
    """Something goes and comes again and again, for about as long as it takes to be noticed."""
    timers = scene.timers
    edge_s = scene.pick((timers.silence_s, timers.standby_silence_s, timers.lease_s, timers.reset_wait_s))
    node = scene.node()
    for _ in range(2 + int(4 * scene.chance.random())):
        for_s = scene.near_s(edge_s)
        cut = CutDc(dc_of(node), for_s, True)
        yield Timed(at_s, one(scene, (3.0, Freeze(node, for_s)), (2.0, Crash(node, for_s)), (1.0, cut)))
        at_s += for_s + scene.near_s(edge_s)


def flapping_home(scene: Scene, at_s: float) -> Iterator[Timed]:
    """A data center is lost again about when it would be given primaries."""
    dc = scene.dc()
    for _ in range(2):
        for_s = scene.between(1.5, 4.0)
        yield Timed(at_s, LoseDc(dc, for_s, scene.chance.random() < 0.3))
        at_s += for_s + scene.near_s(scene.timers.holddown_s)


def two_leaders(scene: Scene, at_s: float) -> Iterator[Timed]:
    """A leader stops or is cut off for about as long as it takes to replace it, and goes on while there is work."""
    plane = scene.plane()
    for_s = scene.near_s(scene.timers.takeover_s) * scene.pick((1.0, 1.0, 3.0))
    others = [str(one.id) for one in scene.topology.control_planes if one.id != plane]
    yield Timed(at_s, strike(scene, str(scene.node())))
    if scene.chance.random() < 0.5:
        yield Timed(at_s + scene.between(0.0, 1.0), Freeze(plane, for_s))
    else:
        for other in others:
            yield Timed(at_s + 0.1, Cut(plane, other, for_s, True))
    yield Timed(at_s + scene.between(0.0, 2.0), hinder_store(scene))


PLOTS: tuple[tuple[float, Plot], ...] = (
    (1.0, alone),
    (2.0, double),
    (2.0, during_rejoin),
    (2.0, during_snapshot),
    (2.5, during_promotion),
    (2.0, during_drain),
    (1.5, during_switchover),
    (1.5, flapping),
    (0.7, flapping_home),
    (1.5, two_leaders),
)
"""What happens how often."""
