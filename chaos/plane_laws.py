"""The laws of the control planes, over facts: what the store took in, what maps show, what a leader lists."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.fleet_laws import Breach, FleetLaw
from chaos.record_laws import said
from control_plane.books import Evacuation, Homecoming
from core.assignments import Assignment, Fence
from core.fleet_map import Revision
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, ShardId, dc_of

DCS_PER_GEOGRAPHY = 1
DCS_PER_FLEET = 2
NODES_PER_GEOGRAPHY = 3
"""As DESIGN.md section 6 has them, and not as ``brake.py`` does: a wrong number there must be seen here."""
CLOSED_LATELY_S = 3.0
"""A promotion that was sent while an evacuation was open may reach the store so long after it was closed."""
QUIET_S = 6.0
"""What nothing has happened to for so long can't rightly be declared lost."""


@dataclass(frozen=True, slots=True)
class Filed:
    """An evacuation as the store has it, and when it took the present state in, in true time."""

    evacuation: Evacuation
    at_s: float

    def names(self, node: NodeId) -> bool:
        """Say whether a node is held lost by it."""
        held = self.evacuation
        return held.node == node if held.node is not None else held.dc == dc_of(node)


def braked(filed: Iterable[Filed], resumed_at_s: float) -> Breach | None:
    """Judge all automatic evacuations since a person last closed a halt; a run is shorter than any of the windows.

    Args:
        filed: every evacuation, with when it was first taken in.
        resumed_at_s: when the last ``resume`` was taken in; -inf: never.
    """
    counted = [f.evacuation for f in filed if f.at_s > resumed_at_s]
    counted = [e for e in counted if e.automatic and not e.empty]
    dcs = [e for e in counted if e.node is None]
    if len(dcs) > DCS_PER_FLEET:
        return Breach(FleetLaw.BRAKE, f"{_named(dcs)} were evacuated automatically: {DCS_PER_FLEET} at most may be")
    for geography in dict.fromkeys(e.geography for e in counted):
        here = [e for e in dcs if e.geography == geography]
        nodes = [e for e in counted if e.node is not None and e.geography == geography]
        if len(here) > DCS_PER_GEOGRAPHY or len(nodes) > NODES_PER_GEOGRAPHY:
            what = _named(here if len(here) > DCS_PER_GEOGRAPHY else nodes)
            return Breach(FleetLaw.BRAKE, f"{what} of {geography} were declared lost automatically")
    return None


def moved(base: Assignment, filed: Iterable[Filed], *, complained: bool, ordered: bool, now_s: float) -> Breach | None:
    """Judge a promotion that the leader asked for: its reason is a record that was there before it (C9).

    Args:
        base: the record that it started from.
        filed: every evacuation, with when it took its present state.
        complained: the primary has reported itself damaged, or its node that it stands on another disk.
        ordered: an operator's promotion or evacuation is in the store.
        now_s: true time.
    """
    for one in filed:
        if one.names(base.primary.node) and (one.evacuation.open or now_s - one.at_s < CLOSED_LATELY_S):
            return None
    if complained or ordered:
        return None
    return Breach(FleetLaw.C9, f"{said(base)}: promoted before any evacuation of {base.primary.node} was recorded")


def left_open(
    filed: Iterable[Filed], well_since_s: Mapping[str, float], now_s: float, *, within_s: float
) -> Breach | None:
    """Judge the end of a run: no evacuation stays open of what has been well for long (C9)."""
    for one in filed:
        held = one.evacuation
        names = [name for name in well_since_s if one.names(NodeId(name))]
        if held.open and names and all(now_s - well_since_s[name] > within_s for name in names):
            return Breach(FleetLaw.C9, f"evacuation {held.id} is open {within_s:g} s after {held.subject} came back")
    return None


def hasty(held: Evacuation, nodes: Sequence[NodeId], touched_s: Mapping[str, float], now_s: float) -> Breach | None:
    """Judge an automatic evacuation against the truth: something did happen to what it names, and lately.

    Args:
        held: the evacuation.
        nodes: the nodes that it names.
        touched_s: when a fault last held, by the process that it concerns, in true time.
        now_s: true time.
    """
    if not held.automatic or any(now_s - touched_s.get(node, -QUIET_S) < QUIET_S for node in nodes):
        return None
    return Breach(FleetLaw.VERDICT, f"{held.subject} was declared lost, and nothing has happened to it")


def held_down(dc: DcId, homecomings: Iterable[Homecoming], now_ms: int) -> Breach | None:
    """Judge an order by plan that makes a data center's copy the primary."""
    for book in homecomings:
        if book.dc == dc and book.holddown_until_ms > now_ms:
            left_s = (book.holddown_until_ms - now_ms) / 1000
            return Breach(FleetLaw.HOLD_DOWN, f"{dc} is given a primary {left_s:.1f} s before its hold-down ends")
    return None


def beside(base: Assignment, target: NodeId) -> Breach | None:
    """Judge where a second copy is wanted: in another data center than the first."""
    if dc_of(target) != dc_of(base.primary.node):
        return None
    return Breach(FleetLaw.TWO_DATA_CENTERS, f"{said(base)}: a second copy is wanted on {target}")


def wrote(term: int, *, highest: int, raised: bool, leaders: Sequence[ControlPlaneId]) -> Breach | None:
    """Judge a write that the store took in (C7).

    Args:
        term: under which it was written.
        highest: the highest term that the partition had seen.
        raised: the term was raised in the fleet's partition before.
        leaders: who leads in that term, as they see it.
    """
    if term < highest:
        return Breach(FleetLaw.C7, f"a write of term {term} was taken in after one of term {highest}")
    if not raised:
        return Breach(FleetLaw.C7, f"a write of term {term}, which nobody has raised, was taken in")
    if len(leaders) > 1:
        return Breach(FleetLaw.C7, f"{' and '.join(leaders)} lead in term {term}")
    return None


def shows(
    who: str, revision: Revision, held: Mapping[ShardId, Fence], others: Mapping[ShardId, Fence] | None
) -> Breach | None:
    """Judge a map against the first that was seen at its revision: they are the same (C8)."""
    if others is None or held == others:
        return None
    wrong = next(shard for shard in sorted({*held, *others}) if held.get(shard) != others.get(shard))
    what = f"{who} shows {_fence(held.get(wrong))} of shard {wrong} at revision {revision}"
    return Breach(FleetLaw.C8, f"{what}, another showed {_fence(others.get(wrong))}")


def backwards(who: str, before: Revision, now: Revision) -> Breach | None:
    """Judge a map against itself a while ago: it never goes back (C8)."""
    return Breach(FleetLaw.C8, f"{who} went back from revision {before} to {now}") if now < before else None


def undecided(who: str, held: Mapping[ShardId, Fence], newest: Mapping[ShardId, Fence]) -> Breach | None:
    """Judge a map against the store: it is never ahead (C8)."""
    for shard, fence in held.items():
        if shard not in newest or fence > newest[shard]:
            return Breach(FleetLaw.C8, f"{who} shows {_fence(fence)} of shard {shard}, which nobody decided")
    return None


def exposed(
    leader: str, ledger: Mapping[ShardId, int], records: Iterable[Assignment], shown_ms: Mapping[ShardId, int]
) -> Iterator[Breach]:
    """Judge a leader's exposure ledger against the records that it shows.

    Args:
        leader: whose it is.
        ledger: shards that it lists as standing on one copy, and since when, in its wall time.
        records: of its map.
        shown_ms: the latest wall time at which it may have begun to show a shard on one copy: since then it knew.
    """
    solo = {record.shard for record in records if record.solo}
    for shard in sorted(solo - ledger.keys()):
        yield Breach(FleetLaw.EXPOSURE, f"{leader} does not list shard {shard}, which stands on one copy")
    for shard in sorted(ledger.keys() - solo):
        yield Breach(FleetLaw.EXPOSURE, f"{leader} lists shard {shard}, which stands on two copies")
    for shard, since_ms in ledger.items():
        if shard in shown_ms and since_ms > shown_ms[shard]:
            late_s = (since_ms - shown_ms[shard]) / 1000
            yield Breach(FleetLaw.EXPOSURE, f"{leader} lists shard {shard} since {late_s:.1f} s after it showed so")


def outside(shard: ShardId, home: GeographyId, node: NodeId, there: GeographyId) -> Breach | None:
    """Judge where a copy's data lies: in its shard's geography."""
    if home == there:
        return None
    return Breach(FleetLaw.GEOGRAPHY, f"shard {shard} of {home} lies on {node}, in {there}")


def _named(evacuations: Sequence[Evacuation]) -> str:
    return ", ".join(e.node or e.dc for e in evacuations)


def _fence(fence: Fence | None) -> str:
    return "nothing" if fence is None else f"{fence.incarnation}.{fence.epoch}"
