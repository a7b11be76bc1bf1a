"""The lossy override (PROTOCOL.md section 6, C6): a shard whose only copy in sync is gone for good goes on without it.

A person asks for it, and states that the primary's data center is fenced or powered off. That alone is not believed:
the data center must be held lost, and nobody may hear anything of it. What only the lost primary had is given up, and
from where on is recorded: ``lossy_from_lsn``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from control_plane.books import OperationBook
from control_plane.office import Office
from control_plane.ports import Applied, Refused, Row
from control_plane.roster import Target
from control_plane.views import OperationFailure, OverridePlan, Sight, StaleCopy
from control_plane.writer import Answer
from core.assignments import Assignment, Copy, Operator, Override, successor
from core.copies import CopyView, Quarantined
from core.errors import ConflictError, RefusedBySafetyError
from core.names import DcId, NodeId, ShardId, dc_of

SPOKE_TAKEOVERS = 2.5
"""Another control plane that did not speak for so many take-over times is not heard."""
PATIENCE_MS = 10_000
"""How long a gate may refuse an override that was begun, a new leader may have to hear from the nodes first."""
LINES_MAX = 20
"""Of evidence, and of what speaks against it: enough to act on, and no more than a screen."""
_MISSED = (Sight.REFUSED, Sight.SILENT)


def judged(base: Assignment, office: Office) -> OverridePlan:
    """Say what an override would give up.

    Raises:
        RefusedBySafetyError: it is not to be done now; every reason is a violation.
    """
    dc = dc_of(base.primary.node)
    barred = office.barred(base.shard)
    wrong = [barred] if barred else []
    if not base.solo:
        wrong.append("the shard has a second copy in sync: `twinhold shard promote` lets it take over")
    if dc not in office.shelf.lost_dcs():
        wrong.append(f"{dc} is not held lost: `twinhold dc evacuate {dc}` declares it so")
    wrong += islice(_signs_of_life(dc, office), LINES_MAX)
    copies = stale_copies(base, office)
    fit = [copy for copy in copies if not copy.unfit]
    if not fit:
        wrong += [f"{copy.node} can't take over: {copy.unfit}" for copy in copies]
        wrong.append("no living node of another data center of the geography reports a copy that could take over")
    if wrong:
        raise RefusedBySafetyError(
            f"shard {base.shard} can't be overridden: {wrong[0]}", violations=wrong, shard=base.shard
        )
    last = office.roster.copy(base.primary.node, base.shard)
    presence = office.roster.nodes[base.primary.node]
    return OverridePlan(
        base=base,
        stale=fit[0],
        others=tuple(copy for copy in copies if copy != fit[0]),
        primary_last_lsn=0 if last is None else last.last_lsn,
        primary_heard_at_ms=office.at_ms(presence.heard_at) if presence.process_id else 0,
        evidence=_evidence(dc, office),
    )


def stale_copies(base: Assignment, office: Office) -> list[StaleCopy]:
    """List the copies of a SOLO shard in other data centers of its geography, as far as reported; the best first.

    Of two journals, the one whose last entry was decided later holds everything committed that the other one holds.
    """
    lost = dc_of(base.primary.node)
    dcs = [dc.id for dc in office.topology.dcs_in(office.catalog.geography_of(lost)) if dc.id != lost]
    nodes = [node.id for dc in dcs for node in office.topology.nodes_in(dc)]
    held = [(node, office.roster.copy(node, base.shard)) for node in nodes]
    found = [StaleCopy(node, view, _unfit(node, view, base, office)) for node, view in held if view is not None]
    return sorted(found, key=lambda copy: (copy.view.last, copy.view.last_lsn), reverse=True)


def statement(plan: OverridePlan, who: str) -> str:
    """Say what the new record stands on: the reason that it carries for good."""
    dc = dc_of(plan.base.primary.node)
    return f"lossy override, lossy_from_lsn {plan.lossy_from_lsn}: {who} states that {dc} is fenced or powered off"


def _unfit(node: NodeId, view: CopyView, base: Assignment, office: Office) -> str:
    last = office.roster.copy(base.primary.node, base.shard)
    if office.known().holds_lost(node):
        return "it is held lost"
    if not office.roster.well(node, office.clock.now()):
        return "it is not heard"
    if view.complaint:
        return view.complaint
    if view.last_lsn == 0 and (last is None or last.last_lsn > 0):
        return "its copy holds nothing"
    return ""


def _signs_of_life(dc: DcId, office: Office) -> Iterator[str]:
    """Name everybody who hears anything of a data center: each is one reason not to believe that it is gone."""
    now, roster = office.clock.now(), office.roster
    planes = [plane.id for plane in office.topology.control_planes if plane.dc == dc]
    nodes = [node.id for node in office.topology.nodes_in(dc)]
    for node in nodes:
        if roster.own_sight(node, now) not in _MISSED:
            yield f"{node} answers {office.me}, or did a moment ago"
    targets: list[Target] = [*nodes, *planes]
    for target in targets:
        for observer, sight in _sights(target, dc, office).items():
            if sight not in _MISSED:
                yield f"{target} answers {observer}, or did a moment ago"
    for peer, missed in _peers(office).items():
        if peer in planes:
            yield f"{peer} answers {office.me}"
        else:
            yield from (f"{node} answers {peer}, or did a moment ago" for node in nodes if node not in missed)


def _sights(target: Target, dc: DcId, office: Office) -> Mapping[NodeId, Sight]:
    """Say how those see a target who look at it from outside, and were heard lately."""
    now, watched = office.clock.now(), office.roster.watched.get(target, {})
    fresh = {node: seen for node, seen in watched.items() if dc_of(node) != dc and office.roster.fresh(node, now)}
    return {node: seen.observation.sight for node, seen in sorted(fresh.items())}


def _peers(office: Office) -> Mapping[Target, Sequence[NodeId]]:
    """Say which nodes the control planes miss that were heard lately themselves."""
    since = office.clock.now() - SPOKE_TAKEOVERS * office.timers.takeover_s
    return {peer: nodes for peer, (at, nodes) in office.roster.missed_elsewhere.items() if at >= since}


def _evidence(dc: DcId, office: Office) -> tuple[str, ...]:
    evacuation = next(e for e in office.shelf.evacuations(open_only=True) if e.dc == dc and e.node is None)
    spoke = _peers(office)
    lines = [f"{dc} is held lost: {'; '.join(evacuation.evidence)}"]
    for node in office.topology.nodes_in(dc):
        missing = [*_sights(node.id, dc, office), *sorted(spoke), office.me]
        lines.append(f"{', '.join(missing)} miss {node.id}")
    for plane in office.topology.control_planes:
        if plane.id not in spoke and plane.id != office.me:
            lines.append(f"{plane.id} is not heard: what it hears is not known")
    return tuple(lines[:LINES_MAX])


class End(Protocol):
    """Ends an operation."""

    def __call__(
        self, book: OperationBook, *, detail: str = "", failure: OperationFailure | None = None
    ) -> OperationBook:
        """End it, well or with a failure."""
        ...


@dataclass(slots=True)
class Overrides:
    """Carries out the overrides that were asked for; each is judged anew before every attempt to write it."""

    office: Office
    end: End
    _in_flight: set[str] = field(default_factory=set)
    """Operations whose write is not answered yet."""
    _sure: set[str] = field(default_factory=set)
    """Operations that this leader began, and of which no write may still come into force unheard."""

    def begun(self, book: OperationBook) -> None:
        """Note that nothing was written yet for an operation."""
        self._sure.add(book.id)

    def progress(self, book: OperationBook) -> None:
        """Bring an operation one step further, from the record as it is, whichever leader began it."""
        assert book.shard is not None, "an override without a shard"
        record = self.office.catalog.get(book.shard)
        if record is None or self.office.frozen or book.id in self._in_flight:
            return
        if record.incarnation > book.base_incarnation:
            self._in_force(book, record)
        elif record.epoch > book.base_epoch:
            message = f"its record changed meanwhile ({record.reason}): read it again"
            self.end(book, failure=OperationFailure("CONFLICT", message))
        else:
            self._attempt(book, record)

    def _attempt(self, book: OperationBook, record: Assignment) -> None:
        try:
            plan = _agreed(record, book, self.office)
        except (RefusedBySafetyError, ConflictError) as refusal:
            if self.office.clock.wall_ms() - book.started_ms >= PATIENCE_MS:
                self._fail(book, refusal.reason, refusal.message)
            return
        change = Override(Copy(plan.stale.node, plan.stale.view.copy_id), book.stated_by)
        new = successor(record, change, reason=statement(plan, book.stated_by))
        row = Row(record.fence, new, change, Operator(book.stated_by))
        self._in_flight.add(book.id)
        self.office.writer.put(
            self.office.catalog.home(record.shard), row, lambda answer: self._answered(book, record, answer)
        )

    def _answered(self, book: OperationBook, base: Assignment, answer: Answer) -> None:
        """Note the store's word: what is in force shows in the records, and what is unknown is written again."""
        self._in_flight.discard(book.id)
        if self.office.over:
            return
        if isinstance(answer, Refused) and answer.current == base:
            self._fail(book, "REFUSED_BY_SAFETY", "the store's rules do not allow it")
        elif not isinstance(answer, Applied | Refused):
            self._sure.discard(book.id)
        self.office.again()

    def _in_force(self, book: OperationBook, record: Assignment) -> None:
        self.office.audit(
            "failover.overridden",
            book.subject,
            acted=True,
            reasons=(record.reason, f"{record.primary.node} takes over from what it has", *book.evidence),
            cause=f"operations/{book.id}",
            actor=book.actor,
        )
        since = f"{record.incarnation}.{record.epoch}"
        self.end(book, detail=f"{record.primary.node} is primary since {since}: {record.reason}")

    def _fail(self, book: OperationBook, reason: str, message: str) -> None:
        if book.id not in self._sure:
            reason, message = "UNKNOWN_OUTCOME", f"{message}; but an earlier attempt may still come into force"
        self.end(book, failure=OperationFailure(reason, message))


def _agreed(base: Assignment, book: OperationBook, office: Office) -> OverridePlan:
    """Judge it anew; a person has agreed to what one copy lacks, and to nothing else."""
    plan = judged(base, office)
    if plan.stale.id != book.takes_over:
        raise ConflictError(f"{plan.stale.id} would take over now, not {book.takes_over}: look at the plan again")
    return plan


@dataclass(slots=True)
class Quarantines:
    """Writes down what returned primaries had to give up: once per news and leader, so that none is missed."""

    office: Office
    _told: dict[tuple[NodeId, ShardId], Quarantined] = field(default_factory=dict)

    def heard(self, node: NodeId, copies: Iterable[CopyView]) -> None:
        """Look at copies."""
        for copy in copies:
            found = copy.quarantined
            if (found.tenants or found.snapshot_lsn) and self._told.get((node, copy.shard)) != found:
                self._told[node, copy.shard] = found
                self._tell(node, copy.shard, found)

    def _tell(self, node: NodeId, shard: ShardId, found: Quarantined) -> None:
        reasons = [f"{node} holds in orphan/ what an override gave up", *_lines(found)]
        self.office.audit("copy.quarantined", f"shards/{shard}", acted=True, reasons=reasons)


def _lines(found: Quarantined) -> Iterator[str]:
    yield from (f"{tenant}: {count} entries" for tenant, count in found.tenants)
    if found.snapshot_lsn:
        yield f"the state as of entry {found.snapshot_lsn}: what it holds is not counted by tenant"
