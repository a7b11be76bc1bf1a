"""Does to a simulated fleet what a fault says, and undoes it when its time is over.

What the network and the store do follows from all faults that last, so that one which ends takes nothing from another.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, product

from chaos.schedule import (
    Clog,
    Cordon,
    Crash,
    CrashAmid,
    Cut,
    CutDc,
    Drain,
    FailFsync,
    Fault,
    FlipBit,
    Freeze,
    FullDisk,
    Lasting,
    LoseDc,
    LoseDisk,
    LosePower,
    LostCalls,
    NoDial,
    Resets,
    SlowDisk,
    SlowStore,
    StoreAway,
    StoreCut,
    Stragglers,
    Suspend,
    Switchover,
    VagueStore,
)
from chaos.sim.fleet import SimFleet
from chaos.sim.network import Pair

FULL = "database or disk is full"
FAILED = "input/output error"


def inject(fleet: SimFleet, fault: Fault) -> None:
    """Begin it now; once everything has healed, nothing is done any more."""
    if fleet.healed:
        return
    fleet.world.note(f"fault {fault}")
    match fault:
        case FailFsync(node, kept):
            fleet.nodes[node].fail_fsync(FAILED, kept=kept)
        case Switchover(shard):
            fleet.operator.switchover(shard)
        case _:
            fleet.lasting.append(fault)
            _follow(fleet)
            _begin(fleet, fault)
            fleet.world.after(fault.for_s, partial(_end, fleet, fault))


def _begin(fleet: SimFleet, fault: Lasting) -> None:
    """Do what happens once, at the beginning."""
    match fault:
        case CrashAmid(name, deeds):
            fleet.hosts[name].doom(deeds)
        case LoseDisk(node):
            fleet.nodes[node].disk_lost = True
            fleet.crash(node)
        case Freeze() | Suspend() | LoseDc(silently=True):
            for name in _stopped(fleet, fault):
                fleet.freeze(name)
        case Crash() | LoseDc() | LosePower():
            for name in _stopped(fleet, fault):
                fleet.crash(name)
        case FlipBit(node, share):
            fleet.disks.flip(fleet.nodes[node], share)
        case Drain(dc):
            fleet.operator.drain(dc)
        case Cordon(dc):
            fleet.operator.cordon(dc)
        case _:
            pass  # It is there as long as it lasts: see ``_follow``.


def _end(fleet: SimFleet, fault: Lasting) -> None:
    """Undo it, as far as no other fault that lasts does the same."""
    if fault not in fleet.lasting:
        return
    fleet.lasting.remove(fault)
    _follow(fleet)
    held = set(chain.from_iterable(_stopped(fleet, other) for other in fleet.lasting))
    for name in _stopped(fleet, fault):
        if name not in held:
            fleet.world.after(0.0, partial(fleet.restart, name))
    match fault:
        case CrashAmid(name):
            fleet.hosts[name].doom(0)
        case FlipBit(node):
            fleet.restore(node)
        case Drain(dc) | Cordon(dc):
            fleet.operator.uncordon(dc)
        case _:
            pass


def _stopped(fleet: SimFleet, fault: Lasting) -> Iterable[str]:
    """Name the processes that do not run while it lasts."""
    match fault:
        case Crash(name) | CrashAmid(name) | Freeze(name) | Suspend(name):
            return (name,)
        case LoseDisk(node):
            return (str(node),)
        case LoseDc(dc) | LosePower(dc):
            return fleet.names_in(dc)
        case _:
            return ()


def _follow(fleet: SimFleet) -> None:
    """Let network, store and disks do what all faults that last say."""
    lasting, network, weather = fleet.lasting, fleet.network, fleet.weather
    cuts = set(chain.from_iterable(_cuts(fleet, fault) for fault in lasting))
    over, fleet.cut_by_faults = fleet.cut_by_faults - cuts, cuts
    network.cuts |= cuts
    network.undialled = {(fault.a, fault.b) for fault in lasting if isinstance(fault, NoDial)}
    clogs = {(fault.a, fault.b): (fleet.world.now, fault.growth) for fault in lasting if isinstance(fault, Clog)}
    weather.clogs = clogs | {pair: clog for pair, clog in weather.clogs.items() if pair in clogs}
    weather.break_ratio = max(fleet.plan.break_ratio, *_ratios(lasting, Resets))
    weather.lost_call_ratio = max(fleet.plan.lost_call_ratio, *_ratios(lasting, LostCalls))
    weather.late_ratio = max(_ratios(lasting, Stragglers))
    _follow_store(fleet)
    for node in fleet.nodes.values():
        node.fsync_extra_s = sum(f.fsync_s for f in lasting if isinstance(f, SlowDisk) and f.node == node.node)
        node.disk_refusal = FULL if any(isinstance(f, FullDisk) and f.node == node.node for f in lasting) else ""
    network.mend(over)


def _follow_store(fleet: SimFleet) -> None:
    lasting, store = fleet.lasting, fleet.store
    store.away = any(isinstance(fault, StoreAway) for fault in lasting)
    store.cut = {fault.plane for fault in lasting if isinstance(fault, StoreCut)}
    for fault in lasting:
        if isinstance(fault, CutDc) and not fault.store:
            store.cut.update(fleet.names_in(fault.dc))
    store.slower_s = sum(fault.trip_s for fault in lasting if isinstance(fault, SlowStore))
    store.lost_ratio = max(_ratios(lasting, VagueStore))


def _ratios(lasting: Iterable[Lasting], kind: type[Resets | LostCalls | Stragglers | VagueStore]) -> tuple[float, ...]:
    """List the ratios of one kind of fault, and none: two at least, so that they have a greatest."""
    return (0.0, 0.0, *(fault.ratio for fault in lasting if isinstance(fault, kind)))


def _cuts(fleet: SimFleet, fault: Lasting) -> Iterator[Pair]:
    """Name the ordered pairs between which nothing arrives while it lasts."""
    match fault:
        case Cut(a, b, _, both_ways):
            yield (a, b)
            if both_ways:
                yield (b, a)
        case CutDc(dc):
            inside = fleet.names_in(dc)
            outside = [name for name in (*fleet.nodes, *fleet.planes) if name not in inside]
            yield from _between(inside, outside)
        case Suspend(name):
            yield from _between([name], fleet.hosts)
        case LosePower(dc):
            yield from _between(fleet.names_in(dc), fleet.hosts)
        case _:
            pass


def _between(some: Iterable[str], others: Iterable[str]) -> Iterator[Pair]:
    for a, b in product(some, others):
        if a != b:
            yield (a, b)
            yield (b, a)
