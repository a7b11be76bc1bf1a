"""Who observes whom."""

from core.names import NodeId
from nodes.observers import OBSERVERS, observers_of, targets_of
from regions.io.load import load

FLEET = load("reference")


def test_every_node_has_three_observers_none_of_them_in_its_own_data_center() -> None:
    for node in FLEET.nodes:
        observers = observers_of(node, FLEET)
        assert len(set(observers)) == OBSERVERS
        assert all(FLEET.node(observer).dc != node.dc for observer in observers)


def test_targets_are_the_other_side_of_observers() -> None:
    seen = {(node.id, target) for node in FLEET.nodes for target in targets_of(node.id, FLEET)}
    told = {(observer, node.id) for node in FLEET.nodes for observer in observers_of(node, FLEET)}
    assert seen == told


def test_losing_one_node_moves_no_other_observer() -> None:
    target = FLEET.node(NodeId("fra1-c1"))
    before = observers_of(target, FLEET)
    gone = next(node for node in FLEET.nodes if node.id not in before and node.dc != target.dc)
    smaller = type(FLEET)(
        fleet=FLEET.fleet,
        geographies=FLEET.geographies,
        data_centers=FLEET.data_centers,
        nodes=tuple(node for node in FLEET.nodes if node.id != gone.id),
        control_planes=FLEET.control_planes,
        store_host=FLEET.store_host,
        store_port=FLEET.store_port,
    )
    assert observers_of(target, smaller) == before
