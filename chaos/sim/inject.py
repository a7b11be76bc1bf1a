"""Does to a simulated fleet what a fault says, and undoes it when its time is over."""

from chaos.schedule import Crash, Cut, Fault, Freeze, LoseDc, StoreAway
from chaos.sim.fleet import SimFleet


def inject(fleet: SimFleet, fault: Fault) -> None:
    """Begin it now."""
    fleet.world.note(f"fault {fault}")
    match fault:
        case Crash(name, for_s):
            fleet.crash(name)
            fleet.world.after(for_s, lambda: fleet.restart(name))
        case Freeze(name, for_s):
            fleet.freeze(name)
            fleet.world.after(for_s, lambda: fleet.restart(name))
        case LoseDc(dc, for_s, silently):
            for name in fleet.names_in(dc):
                (fleet.freeze if silently else fleet.crash)(name)
                fleet.world.after(for_s, lambda name=name: fleet.restart(name))  # type: ignore[misc]  # per turn
        case Cut(a, b, for_s, both_ways):
            fleet.cut(a, b, both_ways=both_ways)
            fleet.world.after(for_s, lambda: fleet.network.cuts.difference_update({(a, b), (b, a)}))
        case StoreAway(for_s):
            fleet.store_reachable = False
            fleet.world.after(for_s, lambda: setattr(fleet, "store_reachable", True))
