"""What a simulated control plane may know of its store: done, not done, and neither."""

import pytest

from chaos.sim.store import StoreWeather
from chaos.sim.time import Host, World, host
from control_plane.memory_store import MemoryStore, Vault
from control_plane.ports import FLEET, Applied, Doc, StaleTerm, Unknown, WriteAnswer
from core.names import ControlPlaneId
from tests.fleets import small_fleet

PLANE, OTHER = ControlPlaneId("fra1-cp"), ControlPlaneId("ams1-cp")
DEADLINE_S = 0.5
FLEET_ON_PAPER = small_fleet(148)


class Stored:
    """A vault, and one control plane's way to it."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        hosts: dict[str, Host] = {name: host(self.world, name, drift_ratio=0.0) for name in (PLANE, OTHER)}
        self.weather = StoreWeather(self.world, hosts)
        self.vault = Vault(FLEET_ON_PAPER, host(self.world, "store", drift_ratio=0.0))
        self.stores = {
            name: MemoryStore(self.vault, name, clock=hosts[name], weather=self.weather, deadline_s=DEADLINE_S)
            for name in (PLANE, OTHER)
        }

    def file(self, number: int, *, by: ControlPlaneId = PLANE, within_s: float = 2.0) -> list[WriteAnswer]:
        """Write a doc, and return what was answered within a while."""
        answers: list[WriteAnswer] = []
        self.stores[by].write(FLEET, 1, [], [Doc(f"cordons/{number}", 1, b"x")], answers.append)
        self.world.run(self.world.now + within_s)
        return answers

    def holds(self, number: int) -> bool:
        return any(doc.key == f"cordons/{number}" for doc in self.vault.read([FLEET])[FLEET].docs)


def test_an_unknown_outcome_may_be_either() -> None:
    stored = Stored()
    stored.weather.lost_ratio = 0.4
    seen = {(stored.file(number)[0] == (Applied(),), stored.holds(number)) for number in range(60)}
    assert seen == {(True, True), (False, True), (False, False)}


def test_a_store_that_is_slower_than_the_deadline_does_it_all_the_same() -> None:
    stored = Stored()
    stored.weather.slower_s = 2 * DEADLINE_S
    (answer,) = stored.file(1, within_s=1.5 * DEADLINE_S)
    assert isinstance(answer, Unknown)
    assert not stored.holds(1)
    stored.world.run(stored.world.now + DEADLINE_S)
    assert stored.holds(1)


@pytest.mark.parametrize("everybody", [True, False], ids=["for all", "for one control plane"])
def test_a_store_that_is_away_does_nothing(everybody: bool) -> None:
    stored = Stored()
    stored.weather.away, stored.weather.cut = everybody, set() if everybody else {PLANE}
    (answer,) = stored.file(1)
    assert isinstance(answer, Unknown)
    assert not stored.holds(1)
    reached = stored.file(2, by=OTHER)[0] == (Applied(),)
    assert reached is not everybody
    stored.weather.heal()
    assert [stored.file(number)[0] for number in (3, 4, 5)].count((Applied(),)) > 0


def test_a_late_write_of_a_deposed_leader_finds_the_newer_term() -> None:
    stored = Stored()
    stored.weather.slower_s = DEADLINE_S
    late: list[WriteAnswer] = []
    stored.stores[PLANE].write(FLEET, 1, [], [Doc("cordons/1", 1, b"x")], late.append)
    assert stored.vault.raise_term(2) == (Applied(),)
    stored.world.run(stored.world.now + 3 * DEADLINE_S)
    assert [type(answer) for answer in late] == [Unknown]
    assert not stored.holds(1)
    assert isinstance(stored.vault.write(FLEET, 1, [], []), StaleTerm)
