"""Says how the fleet is, worst first, and what the system does about it; and how each data center and shard is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from control_plane.books import AdoptionBook, Cordon, Evacuation, Halt, Homecoming, OperationBook, Shelf
from control_plane.holddown import because
from control_plane.loads import Certificate, Loads
from control_plane.movements import Movements
from control_plane.roster import Roster
from control_plane.views import (
    DataCenterView,
    DcState,
    FleetStatus,
    GeographyView,
    LeaderView,
    Problem,
    Severity,
    ShardView,
)
from core.assignments import Assignment
from core.fleet_map import FleetMap
from core.names import ControlPlaneId, DcId, GeographyId, NodeId, ShardId, dc_of
from core.topology import Topology

_ORDER = list(Severity)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one control plane knows; what only the leader knows is empty elsewhere."""

    me: ControlPlaneId
    fleet_map: FleetMap
    roster: Roster
    leader: LeaderView
    control_planes_live: int
    shelf: Shelf
    movements: Movements
    loads: Loads
    solo_since_ms: Mapping[ShardId, int]
    frozen: str
    suspect_dcs: frozenset[DcId]
    lag_max_ms: float
    """Above this a node counts as overloaded: L/4."""
    holddown_s: float
    """Of a data center that did not flap."""
    now: float
    now_ms: int

    @property
    def topology(self) -> Topology:
        """The fleet on paper."""
        return self.fleet_map.topology

    def living(self) -> frozenset[NodeId]:
        """Name the nodes that are heard."""
        return frozenset(node for node in self.roster.nodes if self.roster.lives(node, self.now))

    def away(self) -> frozenset[DcId]:
        """Name the data centers that count for nothing now."""
        return self.shelf.lost_dcs() | self.shelf.cordoned()


def fleet_status(facts: Facts) -> FleetStatus:
    """Say how the fleet is."""
    living = facts.living()
    records = list(facts.fleet_map.shards.values())
    solo = [a for a in records if a.solo]
    down = [a for a in records if a.primary.node not in living]
    geographies = [_geography(geography.id, facts, solo) for geography in facts.topology.geographies]
    problems = sorted(_problems(facts, living, down), key=lambda p: (_ORDER.index(p.severity), p.since_ms, p.subject))
    return FleetStatus(
        fleet=facts.topology.fleet,
        control_plane=facts.me,
        leader=facts.leader.leader,
        term=facts.leader.term,
        map=facts.fleet_map.revision,
        problems=tuple(problems),
        shards_sync=len(records) - len(solo),
        shards_solo=len(solo),
        shards_down=len(down),
        nodes_live=len(living),
        nodes=len(facts.topology.nodes),
        control_planes_live=facts.control_planes_live,
        control_planes=len(facts.topology.control_planes),
        geographies=tuple(geographies),
        operations_running=sum(not operation.ended_ms for operation in facts.shelf.all(OperationBook)),
        brake_halted=bool(facts.shelf.all(Halt)),
    )


def data_center_view(dc: DcId, facts: Facts, counts: tuple[int, int]) -> DataCenterView:
    """Say how a data center is; ``counts``: how many primaries and standbys it holds."""
    found = facts.topology.data_center(dc)
    nodes = facts.topology.nodes_in(dc)
    loads, living = facts.loads, facts.living()
    primaries, standbys = counts
    held = dc in facts.shelf.held_down(facts.now_ms)
    coming = next((h for h in facts.shelf.all(Homecoming) if h.dc == dc and held), None)
    capacity = sum(node.capacity for node in nodes) or 1.0
    return DataCenterView(
        id=dc,
        region=found.region,
        geography=found.geography,
        state=_state(dc, facts, empty=primaries + standbys == 0),
        cordoned=dc in facts.shelf.cordoned(),
        nodes_live=sum(node.id in living for node in nodes),
        nodes=len(nodes),
        primaries=primaries,
        standbys=standbys,
        utilization=sum(loads.load.get(node.id, 0.0) for node in nodes) / capacity,
        holddown_until_ms=0 if coming is None else coming.holddown_until_ms,
        holddown_because="" if coming is None else because(coming.flaps, facts.holddown_s),
        etag=str(facts.shelf.version(f"cordons/{dc}")),
    )


def shard_view(assignment: Assignment, facts: Facts) -> ShardView:
    """Say how a shard is."""
    movement = facts.movements.open.get(assignment.shard)
    under_way = ""
    if movement is not None:
        target = f" to {movement.wish.target}" if movement.wish.target else ""
        under_way = f"{movement.wish.order.value}{target} ({movement.wish.reason})"
    return ShardView(
        geography=facts.topology.geography_of_shard(assignment.shard).id,
        assignment=assignment,
        weight=facts.topology.weight(assignment.shard),
        exposed_since_ms=facts.solo_since_ms.get(assignment.shard, 0) if assignment.solo else 0,
        in_flight=under_way,
    )


def _certificate(geography: GeographyId, facts: Facts) -> Certificate:
    away = facts.away()
    usable = [dc.id for dc in facts.topology.data_centers if dc.id not in away]
    return facts.loads.certificate(geography, usable)


def _geography(geography: GeographyId, facts: Facts, solo: Sequence[Assignment]) -> GeographyView:
    certificate = _certificate(geography, facts)
    held = facts.topology.geography(geography)
    return GeographyView(
        geography,
        certificate.survives_any_loss,
        certificate.worst_after_loss,
        sum(held.holds(a.shard) for a in solo),
    )


def _state(dc: DcId, facts: Facts, *, empty: bool) -> DcState:
    if dc in facts.shelf.lost_dcs():
        return DcState.LOST
    draining = any(o.dc == dc and o.kind == "drain" and not o.ended_ms for o in facts.shelf.all(OperationBook))
    if draining or (empty and dc in facts.shelf.cordoned()):
        return DcState.DRAINED
    return DcState.SUSPECT if dc in facts.suspect_dcs else DcState.LIVE


def _problems(facts: Facts, living: frozenset[NodeId], down: Sequence[Assignment]) -> Iterator[Problem]:
    yield from _down(facts, down)
    yield from _damaged(facts)
    if facts.frozen:
        yield Problem(Severity.EXPOSED, "store", facts.frozen, facts.now_ms)
    for book in facts.shelf.all(AdoptionBook):
        if book.frozen:
            message = (
                f"{len(book.frozen)} shards were not rebuilt when the store was adopted: they serve as they stand, and"
                " nothing is written to their records; see `twinhold store status`"
            )
            yield Problem(Severity.EXPOSED, "store", message, book.at_ms)
    if facts.leader.leader is None:
        message = "no leader is known: the data path goes on, nothing fails over until one is elected"
        yield Problem(Severity.EXPOSED, "controlPlanes", message, facts.now_ms)
    for halt in facts.shelf.all(Halt):
        subject = f"geographies/{halt.geography}" if halt.geography else "fleet"
        message = f"automatic evacuation is halted ({'; '.join(halt.reasons)}): `twinhold failover resume` goes on"
        yield Problem(Severity.EXPOSED, subject, message, halt.since_ms)
    yield from _exposed(facts)
    yield from _absent(facts, living)
    yield from _underway(facts)


def _down(facts: Facts, down: Iterable[Assignment]) -> Iterator[Problem]:
    by_dc: dict[DcId, list[Assignment]] = {}
    for assignment in down:
        by_dc.setdefault(dc_of(assignment.primary.node), []).append(assignment)
    for dc, records in sorted(by_dc.items()):
        alone = sum(a.solo for a in records)
        does = "their standbys take over when a verdict is reached"
        if alone:
            gone = "if it is gone for good, `twinhold shard override` shows what is left"
            does = f"{alone} of them stand on one copy and wait for its return; {gone}"
        message = f"{len(records)} shards have their primary on a node of {dc} that is not heard: {does}"
        yield Problem(Severity.DOWN, f"dataCenters/{dc}", message, _lost_since(dc, facts))


def _lost_since(dc: DcId, facts: Facts) -> int:
    held = [e.since_ms for e in facts.shelf.evacuations(open_only=True) if e.dc == dc]
    return min(held, default=facts.now_ms)


def _damaged(facts: Facts) -> Iterator[Problem]:
    for presence in facts.roster.nodes.values():
        for copy in presence.copies.values():
            if not copy.complaint:
                continue
            record = facts.fleet_map.shards.get(copy.shard)
            only = record is not None and record.solo and record.primary.copy_id == copy.copy_id
            severity = Severity.DOWN if only else Severity.NOTICE
            does = "it is the only copy in sync: restore it" if only else "it is relieved"
            message = f"{presence.node} complains about its copy: {copy.complaint}; {does}"
            yield Problem(severity, f"shards/{copy.shard}", message, facts.now_ms)


def _exposed(facts: Facts) -> Iterator[Problem]:
    for geography in facts.topology.geographies:
        since = [at for shard, at in facts.solo_since_ms.items() if geography.holds(shard)]
        for violation in _certificate(geography.id, facts).violations:
            yield Problem(Severity.EXPOSED, f"geographies/{geography.id}", violation, min(since, default=facts.now_ms))


def _absent(facts: Facts, living: frozenset[NodeId]) -> Iterator[Problem]:
    for evacuation in facts.shelf.evacuations(open_only=True):
        message = _lost_line(evacuation)
        yield Problem(Severity.NOTICE, evacuation.subject, message, evacuation.since_ms)
    lost = facts.shelf.lost_dcs()
    for node in facts.topology.nodes:
        if node.id not in living and node.dc not in lost and node.id not in facts.shelf.lost_nodes():
            message = f"{node.id} is not heard here"
            yield Problem(Severity.NOTICE, f"nodes/{node.id}", message, facts.now_ms)
    for presence in facts.roster.nodes.values():
        if presence.node in living and presence.loop_lag_ms > facts.lag_max_ms:
            message = f"{presence.node} is overloaded: its loop stood still for {presence.loop_lag_ms} ms"
            yield Problem(Severity.NOTICE, f"nodes/{presence.node}", message, facts.now_ms)
    missing = len(facts.topology.control_planes) - facts.control_planes_live
    if missing:
        message = f"{missing} control planes are not heard"
        yield Problem(Severity.NOTICE, "controlPlanes", message, facts.now_ms)


def _lost_line(evacuation: Evacuation) -> str:
    who = "automatically" if evacuation.automatic else "by an operator"
    return f"{evacuation.subject} is held lost, {who}: {'; '.join(evacuation.evidence)}"


def _underway(facts: Facts) -> Iterator[Problem]:
    for cordon in facts.shelf.all(Cordon):
        message = f"cordoned by {cordon.actor}: {cordon.reason or 'no reason given'}"
        yield Problem(Severity.NOTICE, f"dataCenters/{cordon.dc}", message, cordon.since_ms)
    for coming in facts.shelf.all(Homecoming):
        yield Problem(Severity.NOTICE, f"dataCenters/{coming.dc}", _returning(coming, facts), coming.since_ms)


def _returning(coming: Homecoming, facts: Facts) -> str:
    left_s = (coming.holddown_until_ms - facts.now_ms) / 1000
    if left_s <= 0:
        return "is back: it is being given its share again"
    why = because(coming.flaps, facts.holddown_s)
    return f"is back: it takes standbys now, and primaries by plan in {left_s:.0f} s ({why})"
