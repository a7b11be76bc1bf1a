"""What an observer sees."""

from random import Random

import pytest

from chaos.sim.time import World, host
from core.timers import timers
from nodes.io.heartbeat import Watched
from nodes.sighting import Sight, Sighting

DEFAULT = timers("default")


@pytest.mark.parametrize(
    ("silent_s", "sight"),
    [(0.0, Sight.ALIVE), (0.9, Sight.ALIVE), (0.91, Sight.SUSPECT), (1.19, Sight.SUSPECT), (1.2, Sight.SILENT)],
)
def test_silence_is_judged_by_its_length(silent_s: float, sight: Sight) -> None:
    assert Sighting(0.0).sight(silent_s, DEFAULT) is sight


@pytest.mark.parametrize(("silent_s", "sight"), [(1.19, Sight.ALIVE), (1.2, Sight.SILENT)])
def test_who_is_heard_less_often_is_not_suspect_between_two_signs_of_life(silent_s: float, sight: Sight) -> None:
    assert Sighting(0.0, beats=4).sight(silent_s, DEFAULT) is sight


def test_a_refusal_needs_no_silence() -> None:
    sighting = Sighting(5.0)
    sighting.gone()
    assert sighting.sight(5.0, DEFAULT) is Sight.REFUSED


def test_an_answer_ends_silence_and_refusal() -> None:
    sighting = Sighting(0.0)
    sighting.gone()
    sighting.heard(10.0)
    assert sighting.sight(10.1, DEFAULT) is Sight.ALIVE


def test_an_observer_that_was_away_starts_its_waits_anew() -> None:
    sighting = Sighting(0.0)
    sighting.forget(100.0)
    assert sighting.sight(101.1, DEFAULT) is Sight.SUSPECT
    assert sighting.sight(101.2, DEFAULT) is Sight.SILENT


def test_a_sign_of_life_counts_from_when_it_would_have_made_the_trip() -> None:
    world = World(1)
    here = host(world, "a", drift_ratio=0.0)
    watched = Watched("127.0.0.1", 1, trip=0.07, timers=DEFAULT, clock=here, chance=Random(1))
    world.run(10.0)
    watched.heard()
    arrived = here.now() + 0.07
    assert watched.sighting.sight(here.now(), DEFAULT) is Sight.ALIVE
    assert watched.sighting.sight(arrived + DEFAULT.silence_s - 0.001, DEFAULT) is Sight.SUSPECT
    assert watched.sighting.sight(arrived + DEFAULT.silence_s + 0.001, DEFAULT) is Sight.SILENT
