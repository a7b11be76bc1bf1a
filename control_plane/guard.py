"""Acts on verdicts: records evacuations within the brake, runs their rescues, closes them when the lost return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from control_plane import brake
from control_plane.books import Evacuation, Halt, Homecoming, Resume, closed
from control_plane.evacuation import AskPrepare, Finished, PromoteAll, Rescue, Scene, Stuck
from control_plane.holddown import because, holddown
from control_plane.office import Office
from control_plane.ports import Applied, Refused, Row
from control_plane.verdicts import SHARE, DcLost, Judgement, NodeLost, Settling, Withheld
from control_plane.views import Unreached
from control_plane.writer import Answer
from core.assignments import Assignment, Fence, Leader, Promote, successor
from core.machine import NEVER
from core.names import DcId, NodeId, ShardId, dc_of
from core.orders import PrepareResult

TOLD_AFTER_SILENCES = 2
"""A doubt that lasts this many silences without a verdict is told, with its reasons."""
BACK_AFTER_SILENCES = 2
"""What was lost counts as back when it has reported for this many silences."""
RESCUED_WITHIN_S = 10.0
"""A rescue goes before everything planned for so long after the last sign of life."""
CLOSE_ANYWAY_S = 10.0
"""An evacuation that could not finish is closed when what it names has been back for this long."""


@dataclass(slots=True)
class Mission:
    """A rescue, whom it rescues, and on whose behalf."""

    cause: str
    """``evacuations/{id}``, ``operations/{id}`` or ``relief``."""
    reason: str
    victims: Callable[[], Sequence[Assignment]]
    rescue: Rescue
    evacuation: Evacuation | None
    back_since: float | None = None
    wake_at: float = 0.0


@dataclass(slots=True)
class Guard:
    """The part of a leader that declares things lost."""

    office: Office
    missions: dict[str, Mission] = field(default_factory=dict)
    """By cause."""
    _doubted_since: dict[str, float] = field(default_factory=dict)

    def take_over(self) -> None:
        """Go on with every open evacuation where the leader before stopped (C9)."""
        for evacuation in self.office.shelf.evacuations(open_only=True):
            self._enlist(evacuation, recorded=True)

    def look(self, now: float) -> float:
        """Judge, act, and say when to look again."""
        wake_at = now + self.office.timers.probe_s
        for dc in self._accused(now):
            for judgement in self.office.verdicts.judge(dc, self.office.known(), now):
                wake_at = min(wake_at, self._act(judgement, now))
        for mission in list(self.missions.values()):
            wake_at = min(wake_at, self._rescue(mission, now))
            self._see_back(mission, now)
        return wake_at

    def rescuing(self, now: float) -> bool:
        """Say whether shards wait for a new primary; a rescue that drags on holds nothing else up."""
        return any(
            not mission.rescue.finished and now - mission.rescue.last_sign_at < RESCUED_WITHIN_S
            for mission in self.missions.values()
        )

    def dead_now(self, geography_of: DcId, now: float) -> list[DcId]:
        """List the other data centers of a geography that look dead, or are held lost."""
        office, known = self.office, self.office.known()
        dcs = office.topology.dcs_in(office.catalog.geography_of(geography_of))
        others = [dc.id for dc in dcs if dc.id != geography_of]
        return [dc for dc in others if dc in known.lost_dcs or office.verdicts.looks_dead(dc, known, now)]

    def evacuate(self, evacuation: Evacuation) -> None:
        """Record an evacuation, and prepare its rescue meanwhile."""
        self._enlist(evacuation, recorded=False)
        self._record(evacuation)
        self.office.again()

    def promote_one(self, shard: ShardId, cause: str, reason: str) -> None:
        """Promote one shard's standby: its primary reported itself, or an operator asks for it."""
        base = self.office.catalog.get(shard)
        if base is None or cause in self.missions or self.office.barred(shard):
            return
        self.missions[cause] = Mission(
            cause,
            reason,
            lambda: [a for a in [self.office.catalog.get(shard)] if a is not None and a.fence == base.fence],
            Rescue(self.office.timers, self.office.clock.now(), recorded=True),
            None,
        )
        self.office.again()

    def next_evacuation(
        self, dc: DcId, node: NodeId | None, *, automatic: bool, evidence: Sequence[str], last_sign_at: float
    ) -> Evacuation:
        """Write the record of a new evacuation; its id counts those of the same subject."""
        office = self.office
        earlier = [e for e in office.shelf.evacuations(open_only=False) if (e.dc, e.node) == (dc, node)]
        return Evacuation(
            id=f"{node or dc}-{len(earlier) + 1}",
            dc=dc,
            node=node,
            geography=office.catalog.geography_of(dc),
            automatic=automatic,
            since_ms=office.clock.wall_ms(),
            last_sign_ms=office.at_ms(last_sign_at),
            evidence=tuple(evidence),
        )

    def _accused(self, now: float) -> list[DcId]:
        """List the data centers with a node that somebody misses, unless they are held lost already."""
        office = self.office
        if office.frozen or not office.roster.ready_to_judge(office.lost_nodes(), now):
            return []
        lost = office.shelf.lost_dcs()
        dcs = {dc: None for node in office.roster.accused(now) if (dc := dc_of(node)) not in lost}
        self._doubted_since = {s: at for s, at in self._doubted_since.items() if self._still_accused(s, dcs)}
        return list(dcs)

    def _still_accused(self, subject: str, dcs: dict[DcId, None]) -> bool:
        return dc_of(NodeId(subject.rsplit("/", 1)[-1])) in dcs

    def _act(self, judgement: Judgement, now: float) -> float:
        match judgement:
            case DcLost(dc, evidence, last_sign_at):
                self._lost(dc, None, evidence, last_sign_at, now)
            case NodeLost(node, evidence, last_sign_at):
                self._lost(dc_of(node), node, evidence, last_sign_at, now)
            case Withheld(subject, reasons):
                since = self._doubted_since.setdefault(subject, now)
                if now - since >= TOLD_AFTER_SILENCES * self.office.timers.silence_s:
                    self.office.audit("verdict.withheld", subject, acted=False, reasons=reasons)
            case Settling(_, until):
                return until
        return NEVER

    def _lost(self, dc: DcId, node: NodeId | None, evidence: Sequence[str], last_sign_at: float, now: float) -> None:
        office = self.office
        under_way = [m.evacuation for m in self.missions.values() if m.evacuation is not None]
        if any((e.dc, e.node) == (dc, node) for e in under_way):
            return
        subject = f"nodes/{node}" if node is not None else f"dataCenters/{dc}"
        empty = not self._holds_copies(dc, node)
        if empty and not any(book.dc == dc for book in office.shelf.all(Homecoming)):
            reasons = (*evidence, "no copy stands there: nothing is to be brought back")
            office.audit("verdict.withheld", subject, acted=False, reasons=reasons)
            return
        stop = None if empty else self._braked(dc, node, now)
        if stop is not None:
            self._halt(stop, subject)
            return
        silent = f"its last sign of life is {now - last_sign_at:.2f} s old"
        office.audit("verdict.reached", subject, acted=True, reasons=(*evidence, silent))
        record = self.next_evacuation(dc, node, automatic=True, evidence=evidence, last_sign_at=last_sign_at)
        self.evacuate(replace(record, empty=empty))

    def _braked(self, dc: DcId, node: NodeId | None, now: float) -> brake.Stop | None:
        office = self.office
        return brake.braked(
            brake.Accused(office.catalog.geography_of(dc), dc, whole_dc=node is None),
            evacuations=[*office.shelf.evacuations(open_only=False), *self._unrecorded()],
            halts=office.shelf.all(Halt),
            resume=next(iter(office.shelf.all(Resume)), None),
            looking_dead=self.dead_now(dc, now) if node is None else (),
            now_ms=office.clock.wall_ms(),
        )

    def _unrecorded(self) -> list[Evacuation]:
        """List what is declared lost and waits for the store, for as long as an outage of it lasts: it counts too."""
        waiting = [mission.evacuation for mission in self.missions.values() if not mission.rescue.recorded]
        return [evacuation for evacuation in waiting if evacuation is not None]

    def _holds_copies(self, dc: DcId, node: NodeId | None) -> bool:
        """Say whether any record names the accused.

        What is still to start, or was drained, costs no evacuation; what falls again while it comes home does, though
        its partners have evicted its standbys before the verdict: its hold-down must know of the fall.
        """
        nodes = [node] if node is not None else [one.id for one in self.office.topology.nodes_in(dc)]
        catalog = self.office.catalog
        return any(catalog.led_by(one) or catalog.followed_by(one) for one in nodes)

    def _halt(self, stop: brake.Stop, subject: str) -> None:
        office = self.office
        office.audit("brake.halted", subject, acted=False, reasons=stop.reasons)
        if any(halt.geography == stop.geography for halt in office.shelf.all(Halt)):
            return
        office.save(Halt(stop.geography, office.clock.wall_ms(), stop.reasons), lambda _: None)

    def _enlist(self, evacuation: Evacuation, *, recorded: bool) -> None:
        office = self.office

        def victims() -> Sequence[Assignment]:
            node, catalog = evacuation.node, office.catalog
            led = catalog.led_in(evacuation.dc) if node is None else catalog.led_by(node)
            return [record for record in led if not office.barred(record.shard)]

        cause = f"evacuations/{evacuation.id}"
        rescue = Rescue(office.timers, office.when(evacuation.last_sign_ms), recorded=recorded)
        self.missions[cause] = Mission(cause, f"{evacuation.subject} is lost", victims, rescue, evacuation)

    def _record(self, evacuation: Evacuation) -> None:
        self.office.save(evacuation, lambda answer: self._recorded(evacuation, answer))

    def _recorded(self, evacuation: Evacuation, answer: Answer) -> None:
        office, mission = self.office, self.missions.get(f"evacuations/{evacuation.id}")
        if mission is None:
            return
        if isinstance(answer, Applied):
            mission.rescue.recorded = True
            office.audit(
                "evacuation.recorded", evacuation.subject, acted=True, reasons=evacuation.evidence, cause=mission.cause
            )
            self._absorb(evacuation)
        elif isinstance(answer, Refused):
            del self.missions[mission.cause]
        else:
            self._record(evacuation)
        office.again()

    def _absorb(self, evacuation: Evacuation) -> None:
        """A data center's evacuation takes those of its nodes in."""
        if evacuation.node is not None:
            return
        for mission in list(self.missions.values()):
            absorbed = mission.evacuation
            if absorbed is not None and absorbed.node is not None and absorbed.dc == evacuation.dc:
                self._let_go(mission, absorbed)

    def _let_go(self, mission: Mission, absorbed: Evacuation) -> None:
        del self.missions[mission.cause]

        def answered(answer: Answer) -> None:
            if not isinstance(answer, Applied) and not self.office.over:
                # Open in the store for all we know: it ends as any other does, when what it names is back.
                self.missions[mission.cause] = mission
                self.office.again()

        self.office.save(closed(absorbed, self.office.clock.wall_ms()), answered)

    def _rescue(self, mission: Mission, now: float) -> float:
        if self.office.frozen:
            return NEVER
        output = mission.rescue.look(self._scene(mission), now)
        for action in output.actions:
            match action:
                case AskPrepare():
                    self._prepare(mission, action)
                case PromoteAll(bases, canary):
                    self._promote(mission, bases, canary)
                case Stuck(shard, reason):
                    self.office.audit(
                        "failover.impossible", f"shards/{shard}", acted=False, reasons=(reason,), cause=mission.cause
                    )
                case Finished(promoted, impossible):
                    self._finished(mission, promoted, impossible)
        return output.wake_at

    def _scene(self, mission: Mission) -> Scene:
        known = self.office.known()
        return Scene(mission.victims(), self.office.catalog.loads, known.holds_lost, self._serves)

    def _serves(self, shard: ShardId, base: Fence) -> bool:
        record = self.office.catalog.get(shard)
        if record is None or record.fence <= base:
            return False
        copy = self.office.roster.copy(record.primary.node, shard)
        return copy is not None and copy.serving and copy.fence > base

    def _prepare(self, mission: Mission, action: AskPrepare) -> None:
        office = self.office

        def answered(results: Sequence[PrepareResult] | Unreached) -> None:
            if not office.over:
                known = () if isinstance(results, Unreached) else results
                mission.rescue.prepared(action.shards, known, office.clock.now())
                office.again()

        office.nodes.prepare(action.node, office.term, action.shards, answered)

    def _promote(self, mission: Mission, bases: Sequence[Assignment], canary: bool) -> None:
        if canary and mission.evacuation is not None:
            shards = ", ".join(str(base.shard) for base in bases)
            reasons = (f"shards {shards} go first", mission.reason)
            self.office.audit(
                "failover.canary", mission.evacuation.subject, acted=True, reasons=reasons, cause=mission.cause
            )
        for base in bases:
            self._promote_shard(mission, base)

    def _promote_shard(self, mission: Mission, base: Assignment) -> None:
        office = self.office
        new = successor(base, Promote(), reason=mission.reason)

        def answered(answer: Answer) -> None:
            if office.over:
                return
            applied = isinstance(answer, Applied)
            mission.rescue.settled(base.shard, applied=applied)
            if applied:
                reasons = (mission.reason, f"{new.primary.node} takes over from {base.primary.node}")
                office.audit(
                    "failover.promoted", f"shards/{base.shard}", acted=True, reasons=reasons, cause=mission.cause
                )
            office.again()

        office.writer.put(office.catalog.home(base.shard), Row(base.fence, new, Promote(), Leader()), answered)

    def _finished(self, mission: Mission, promoted: int, impossible: int) -> None:
        reasons = [f"{promoted} shards were promoted"]
        if impossible:
            reasons.append(f"{impossible} shards wait for a copy to return")
        if mission.evacuation is None:
            del self.missions[mission.cause]
            return
        subject = mission.evacuation.subject
        self.office.audit("evacuation.finished", subject, acted=True, reasons=reasons, cause=mission.cause)

    def _see_back(self, mission: Mission, now: float) -> None:
        """Close an evacuation when what it names has reported steadily for a while."""
        evacuation = mission.evacuation
        if evacuation is None or not mission.rescue.recorded or self.office.frozen:
            return
        if not self._reports(evacuation, now):
            mission.back_since = None
            return
        if mission.back_since is None:
            mission.back_since = now
        back_s = now - mission.back_since
        needed_s = BACK_AFTER_SILENCES * self.office.timers.silence_s if mission.rescue.finished else CLOSE_ANYWAY_S
        if back_s >= needed_s:
            self._close(mission, evacuation)

    def _reports(self, evacuation: Evacuation, now: float) -> bool:
        if evacuation.node is not None:
            nodes = [evacuation.node]
        else:
            nodes = [node.id for node in self.office.topology.nodes_in(evacuation.dc)]
        return sum(self.office.roster.fresh(node, now) for node in nodes) >= SHARE * len(nodes)

    def _close(self, mission: Mission, evacuation: Evacuation) -> None:
        office = self.office
        del self.missions[mission.cause]
        ended = closed(evacuation, office.clock.wall_ms())
        office.save(ended, lambda answer: self._closed(replace(mission, back_since=None), ended, answer))
        # In the same write, so that no leader dies between the two and leaves what is back without its share.
        if ended.dc not in office.shelf.cordoned():
            self.welcome(ended.dc, f"{ended.subject} reports again", ended)

    def _closed(self, mission: Mission, ended: Evacuation, answer: Answer) -> None:
        office = self.office
        if not isinstance(answer, Applied):
            self.missions[mission.cause] = mission
            return
        reasons = (f"{ended.subject} reports again",)
        office.audit("evacuation.closed", ended.subject, acted=True, reasons=reasons, cause=mission.cause)
        office.again()

    def welcome(self, dc: DcId, why: str, ended: Evacuation | None = None) -> None:
        """Begin to give a data center its share again; ``ended``: the evacuation, of it or of a node, that is over."""
        office = self.office
        base_s, now_ms = office.timers.holddown_s, office.clock.wall_ms()
        node = None if ended is None else ended.node
        held = holddown(self._history(dc, node, ended), base_s=base_s, now_ms=now_ms)
        book = Homecoming(dc, now_ms, now_ms + round(held.length_s * 1000), held.flaps)
        for before in office.shelf.all(Homecoming):
            if before.dc == dc and before.holddown_until_ms > book.holddown_until_ms:
                book = replace(before, since_ms=now_ms)
        left_s = (book.holddown_until_ms - now_ms) / 1000
        reasons = (why, f"standbys at once, primaries after {left_s:g} s", because(book.flaps, base_s))

        def answered(answer: Answer) -> None:
            if isinstance(answer, Applied):
                office.audit("dc.returned", f"dataCenters/{dc}", acted=True, reasons=reasons)

        office.save(book, answered)

    def _history(self, dc: DcId, node: NodeId | None, ended: Evacuation | None) -> list[Evacuation]:
        """List what took a data center or any node of it down, or one node or all of its data center.

        The evacuation that ends now stands there as it will be.
        """
        recorded = [e for e in self.office.shelf.evacuations(open_only=False) if e.dc == dc]
        touching = [e for e in recorded if node is None or e.node in (None, node)]
        return [ended if ended is not None and e.id == ended.id else e for e in touching]
