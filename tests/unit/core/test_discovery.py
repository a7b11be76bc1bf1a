"""What a register holds: put together from several places, watched by index, read from what Consul answers."""

import pytest

from core.discovery import Instance, Part, instances_of, listed, next_index
from core.io.consul_entries import entry_id, fleets_of, instances_from, labels, lock_key, service_name
from core.io.memory_discovery import MemoryDiscovery, Register
from core.names import DcId
from tests.fleets import small_fleet
from tests.real_consul import Seen

NODE = Instance("small", Part.NODE, "fra1-c1", DcId("fra1"), "127.1.0.2", 7001)
PLANE = Instance("small", Part.CONTROL_PLANE, "fra1-cp", DcId("fra1"), "127.1.0.1", 7002)


def entry(instance: Instance, **other: object) -> dict[str, object]:
    """Make what Consul answers for one healthy entry, as far as it is read."""
    service = {"Address": instance.host, "Port": instance.port, "Meta": dict(labels(instance)), **other}
    return {"Node": {"Node": "s1"}, "Service": service, "Checks": []}


def test_every_process_of_a_topology_is_an_instance() -> None:
    topology = small_fleet(28)
    found = instances_of(topology)
    assert {one.id for one in found if one.part is Part.NODE} == {node.id for node in topology.nodes}
    planes = {one.id: one.endpoint for one in found if one.part is Part.CONTROL_PLANE}
    assert planes == {one.id: one.endpoint for one in topology.control_planes}


async def test_a_register_may_hold_a_topology_for_good() -> None:
    everybody = instances_of(small_fleet(28))
    discovery = MemoryDiscovery(Register(everybody))
    await discovery.deregister(everybody[0])
    async with Seen(discovery) as seen:
        await seen.shows(*everybody)
    assert await discovery.instances() == everybody


def test_what_is_found_twice_is_listed_once_and_the_first_counts() -> None:
    former = Instance("small", Part.NODE, "fra1-c1", DcId("fra1"), "127.1.0.2", 6999)
    assert listed([NODE, PLANE, former]) == (PLANE, NODE)


@pytest.mark.parametrize(
    ("before", "answered", "expected"),
    [
        pytest.param(0, 7, 7, id="the first answer"),
        pytest.param(7, 9, 9, id="a change"),
        pytest.param(9, 9, 9, id="no change in time"),
        pytest.param(9, 3, 0, id="it went back: begin anew"),
        pytest.param(0, 0, 0, id="no index: ask anew, never block on 0"),
    ],
)
def test_a_watch_goes_on_from_the_index_that_was_answered(before: int, answered: int, expected: int) -> None:
    assert next_index(before, answered) == expected


def test_what_an_instance_registers_is_what_is_read() -> None:
    assert instances_from([entry(NODE), entry(PLANE)], "small") == (PLANE, NODE)


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(
            entry(Instance("other", Part.NODE, "fra1-c1", DcId("fra1"), "127.1.0.2", 1)), id="another fleet's"
        ),
        pytest.param(entry(NODE, Meta={}), id="no labels"),
        pytest.param(entry(NODE, Meta=None), id="labels that are none"),
        pytest.param(entry(NODE, Meta={**labels(NODE), "part": "cook"}), id="an unknown part"),
        pytest.param(entry(NODE, Port="80"), id="a port that is none"),
        pytest.param({"Service": None}, id="no service"),
        pytest.param("entry", id="no entry"),
    ],
)
def test_what_is_not_ours_is_passed_over(foreign: object) -> None:
    assert instances_from([foreign, entry(PLANE)], "small") == (PLANE,)
    assert instances_from(foreign, "small") == ()


def test_names_in_consul_tell_fleets_apart() -> None:
    assert service_name("small") == "twinhold-small"
    assert entry_id(NODE) == "twinhold-small-fra1-c1"
    assert lock_key("small") == "twinhold/small/leader"
    assert fleets_of(["consul", "twinhold-small", "twinhold-a-b", "twin"]) == ["a-b", "small"]
