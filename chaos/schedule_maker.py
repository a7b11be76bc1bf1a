"""Makes schedules: the seed decides what goes wrong, and when."""

from collections.abc import Sequence

from chaos.schedule import Crash, Cut, Fault, Freeze, LoseDc, Schedule, StoreAway, Timed
from chaos.setting import Setting, topology_of
from core.names import DcId
from core.ports import Rng
from core.topology import Topology

FIRST_S = 4.0
"""Nothing goes wrong before the fleet had time to come up."""


def generated(seed: int, chance: Rng, setting: Setting, *, faults: int, trouble_s: float, settle_s: float) -> Schedule:
    """Make a schedule: weighted towards faults that begin while another one lasts, or just ended."""
    topology = topology_of(setting)
    times: list[float] = []
    for _ in range(faults):
        near = times and chance.random() < 0.6
        start = times[int(chance.random() * len(times))] + chance.random() * 2.5 if near else FIRST_S
        times.append(start if near else FIRST_S + chance.random() * (trouble_s - FIRST_S - 2.0))
    timed = tuple(Timed(round(at_s, 3), _fault(chance, topology)) for at_s in sorted(times) if at_s < trouble_s)
    return Schedule(seed, setting, timed, trouble_s, settle_s)


def _fault(chance: Rng, topology: Topology) -> Fault:
    nodes = [str(node.id) for node in topology.nodes]
    planes = [str(plane.id) for plane in topology.control_planes]
    lasts_s = round(0.2 + 6.0 * chance.random() ** 2, 3)
    draw = chance.random()
    if draw < 0.30:
        return Crash(_pick(chance, nodes), lasts_s)
    if draw < 0.45:
        return Freeze(_pick(chance, nodes), lasts_s)
    if draw < 0.60:
        dcs = [dc.id for dc in topology.data_centers]
        return LoseDc(DcId(_pick(chance, dcs)), lasts_s, chance.random() < 0.4)
    if draw < 0.80:
        a = _pick(chance, nodes)
        b = _pick(chance, [name for name in nodes + planes if name != a])
        return Cut(a, b, lasts_s, chance.random() < 0.6)
    if draw < 0.94:
        return Crash(_pick(chance, planes), lasts_s)
    return StoreAway(lasts_s)


def _pick(chance: Rng, names: Sequence[str]) -> str:
    return names[int(chance.random() * len(names))]
