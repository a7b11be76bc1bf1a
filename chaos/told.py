"""What nodes and control planes told in their logs, as values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos.run import PlannedGap, Rejoined, Trip
from core.names import DcId, NodeId, ShardId, dc_of

STOPPED = "switchover.stopped_admitting"
ADMITTING = "switchover.admitting"
REJOINED = "copy.rejoined"
LINK = "link.measured"
STORE = "store.measured"
EVENTS = frozenset((STOPPED, ADMITTING, REJOINED, LINK, STORE))
GAP_MAX_S = 60.0
"""Two reports further apart are not of one switchover."""
Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a log, and whose log it is."""

    process: str
    facts: Facts

    @property
    def event(self) -> str:
        """Name what happened."""
        return str(self.facts.get("event", ""))

    def number(self, field: str) -> float:
        """Take a number; 0.0 when there is none."""
        value = self.facts.get(field)
        return float(value) if isinstance(value, int | float) else 0.0


def switchovers(lines: Iterable[Told]) -> list[tuple[ShardId, NodeId, NodeId, float]]:
    """Pair *stopped admitting* with the next *admitting* of the same shard.

    Returns:
        Shard, old primary, new primary, gap in seconds.
    """
    by_shard: dict[int, list[tuple[float, Told]]] = {}
    for told in lines:
        if told.event in (STOPPED, ADMITTING):
            by_shard.setdefault(int(told.number("shard")), []).append((told.number("boottime_s"), told))
    found = []
    for shard, events in sorted(by_shard.items()):
        stopped: tuple[float, Told] | None = None
        for at_s, told in sorted(events, key=lambda pair: pair[0]):
            if told.event == STOPPED:
                stopped = (at_s, told)
            elif stopped is not None and told.process != stopped[1].process and at_s - stopped[0] < GAP_MAX_S:
                pair = (NodeId(stopped[1].process), NodeId(told.process))
                found.append((ShardId(shard), *pair, at_s - stopped[0]))
                stopped = None
    return found


def planned_gaps(
    lines: Iterable[Told], *, leader_dc: DcId, rtt_s: Mapping[tuple[DcId, DcId], float], store_s: Mapping[int, float]
) -> tuple[PlannedGap, ...]:
    """Measure every planned switchover against what it has to pay.

    Args:
        lines: of all nodes.
        leader_dc: where the leader stood.
        rtt_s: round trips between data centers, as measured.
        store_s: what a store's write takes, by shard.
    """
    gaps = []
    for shard, source, target, gap_s in switchovers(lines):
        pair = rtt_s.get((dc_of(source), dc_of(target)), 0.0)
        ask = rtt_s.get((dc_of(source), leader_dc), 0.0)
        allowance_s = pair + ask + store_s.get(shard, 0.0)
        gaps.append(PlannedGap(shard, source, target, gap_s * 1000, allowance_s * 1000))
    return tuple(gaps)


def rejoined(lines: Iterable[Told]) -> Rejoined:
    """Count what returning copies brought along."""
    found = [told for told in lines if told.event == REJOINED]
    return Rejoined(
        copies=len(found),
        reused=sum(not told.facts.get("snapshot") for told in found),
        orphaned=round(sum(told.number("orphaned") for told in found)),
    )


def trips(lines: Iterable[Told]) -> tuple[Trip, ...]:
    """List measured round trips, the latest of each pair of nodes."""
    found: dict[tuple[str, str], Trip] = {}
    for told in lines:
        if told.event == LINK:
            peer = str(told.facts.get("peer", ""))
            found[told.process, peer] = Trip(told.process, peer, told.number("asked_ms"), told.number("seen_ms"))
        elif told.event == STORE:
            seen = Trip(told.process, "store", told.number("site_trip_ms"), told.number("seen_ms"))
            found[told.process, "store"] = seen
    return tuple(found[key] for key in sorted(found))
