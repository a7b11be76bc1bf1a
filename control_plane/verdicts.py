"""Judges whether a node or a data center is lost (DESIGN.md section 6), from what its observers say.

A verdict needs 2/3 of the accused's qualified observers, at least 3 of them, in at least 2 data centers other than the
accused's own, and 80 % of the standbys paired with it. In a fleet of only two data centers one is enough: the third
site of the store must then agree, because without it the evacuation can't be recorded, and nothing moves before that.
A node that still reports is not lost, whatever the others miss: its link to them is cut, or somebody is late, and as a
primary it can evict its standby. Everything else is a cut link or a cut observer: nothing is done, and that is said
with its reasons.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from control_plane.roster import Roster, Seen
from control_plane.views import Sight
from core.names import ControlPlaneId, DcId, NodeId, dc_of
from core.timers import Timers
from core.topology import Topology

OBSERVERS_MIN = 3
REFUSALS_MIN = 2
"""Refusals that make an observer who only misses beats count too, when nobody sees the accused alive."""
SHARE = 0.8
"""Of a data center's nodes, and of the standbys paired with the accused."""
_MISSING = (Sight.REFUSED, Sight.SILENT)


@dataclass(frozen=True, slots=True)
class Known:
    """What the judge must know besides the roster."""

    lost_dcs: frozenset[DcId]
    lost_nodes: frozenset[NodeId]
    standbys_of: Callable[[NodeId], Mapping[NodeId, int]]
    """For the primaries on a node: how many standbys each partner node holds."""

    def holds_lost(self, owner: NodeId | ControlPlaneId) -> bool:
        """Say whether something is held lost by an open evacuation."""
        return owner in self.lost_nodes or (bool(self.lost_dcs) and dc_of(owner) in self.lost_dcs)


@dataclass(frozen=True, slots=True)
class DcLost:
    """A data center is lost."""

    dc: DcId
    evidence: tuple[str, ...]
    last_sign_at: float
    """When anybody last saw it alive, on this host's clock."""


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node is lost, its data center is not."""

    node: NodeId
    evidence: tuple[str, ...]
    last_sign_at: float


@dataclass(frozen=True, slots=True)
class Withheld:
    """Somebody misses it, but nothing is done, and why."""

    subject: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settling:
    """A node looks lost, and so may others of its data center: wait until this time before judging it alone."""

    node: NodeId
    until: float


Judgement: TypeAlias = DcLost | NodeLost | Withheld | Settling


@dataclass(frozen=True, slots=True)
class Ballot:
    """How the observers of one node voted."""

    node: NodeId
    missing: int
    qualified: int
    dead: bool
    suspect: bool
    """Somebody qualified does not see it alive."""
    paired_missing: int
    paired: int
    last_sign_at: float
    reasons: tuple[str, ...]

    def told(self) -> str:
        """Say the vote in one line."""
        return f"{self.missing} of {self.qualified} qualified observers miss {self.node}"


class Verdicts:
    """The judge of one control plane.

    Args:
        me: this control plane, itself an observer of every node that reports to it.
        topology: the fleet.
        timers: waits.
        roster: what was reported.
    """

    def __init__(self, me: ControlPlaneId, topology: Topology, timers: Timers, roster: Roster) -> None:
        self._me = me
        self._topology = topology
        self._timers = timers
        self._roster = roster
        self._dcs_needed = 1 if len(topology.data_centers) <= 2 else 2
        self._looked_dead_at: dict[NodeId, float] = {}

    def looks_dead(self, dc: DcId, known: Known, now: float) -> bool:
        """Say whether a data center would be judged lost now, were there no brake."""
        return self._dc_dead([self.ballot(node.id, known, now) for node in self._topology.nodes_in(dc)])

    def judge(self, dc: DcId, known: Known, now: float) -> list[Judgement]:
        """Judge a data center and, when it is not lost as a whole, each of its nodes."""
        nodes = [node.id for node in self._topology.nodes_in(dc)]
        ballots = [self.ballot(node, known, now) for node in nodes]
        if self._dc_dead(ballots):
            evidence = tuple(ballot.told() for ballot in ballots if ballot.dead)
            return [DcLost(dc, evidence, max(ballot.last_sign_at for ballot in ballots if ballot.dead))]
        doubted = [ballot for ballot in ballots if ballot.suspect and ballot.node not in known.lost_nodes]
        for node in nodes:
            if not any(ballot.node == node and ballot.dead for ballot in doubted):
                self._looked_dead_at.pop(node, None)
        return [self._node(ballot, others=len(doubted) - 1, now=now) for ballot in doubted]

    def ballot(self, accused: NodeId, known: Known, now: float) -> Ballot:
        """Count the votes on one node."""
        votes = self._votes(accused, known, now)
        own = self._roster.own_sight(accused, now)
        cut = [
            observer
            for observer, seen in self._roster.watched.get(accused, {}).items()
            if observer not in votes and seen.observation.sight is not Sight.ALIVE and dc_of(observer) != dc_of(accused)
        ]
        sights: dict[NodeId | ControlPlaneId, Sight] = {o: seen.observation.sight for o, seen in votes.items()}
        if dc_of(self._me) != dc_of(accused):
            sights[self._me] = own
        needed = self._observers_needed(dc_of(accused))
        refused = [o for o, sight in sights.items() if sight is Sight.REFUSED]
        unanimous = len(refused) >= REFUSALS_MIN and Sight.ALIVE not in sights.values()
        strong = unanimous or self._enough(refused, needed)
        counted = [o for o, sight in sights.items() if sight in _MISSING or (strong and sight is Sight.SUSPECT)]
        reports = own is Sight.ALIVE and self._roster.nodes[accused].reports > 0
        quorum = self._quorum(counted, qualified=len(sights), needed=needed)
        paired_missing, paired = self._paired(accused, known, counted, votes)
        pairs_agree = paired_missing >= SHARE * paired
        return Ballot(
            node=accused,
            missing=len(counted),
            qualified=len(sights),
            dead=quorum and pairs_agree and not reports,
            suspect=any(sight is not Sight.ALIVE for sight in sights.values()) or bool(cut),
            paired_missing=paired_missing,
            paired=paired,
            last_sign_at=self._last_sign(accused, votes),
            reasons=(
                *([f"{accused} reports to this control plane: it lives, and can go on alone"] if reports else ()),
                *self._reasons(accused, sights, counted, cut, (paired_missing, paired)),
            ),
        )

    def _dc_dead(self, ballots: Sequence[Ballot]) -> bool:
        """80 % of its nodes look dead, and 80 % of the standbys paired with it miss their heartbeats."""
        if not ballots or sum(ballot.dead for ballot in ballots) < SHARE * len(ballots):
            return False
        missing, paired = sum(b.paired_missing for b in ballots), sum(b.paired for b in ballots)
        return missing >= SHARE * paired

    def _node(self, ballot: Ballot, *, others: int, now: float) -> Judgement:
        if not ballot.dead:
            return Withheld(f"nodes/{ballot.node}", ballot.reasons)
        since = self._looked_dead_at.setdefault(ballot.node, now)
        if others and now < since + self._timers.settle_s:
            return Settling(ballot.node, since + self._timers.settle_s)
        return NodeLost(ballot.node, (ballot.told(),), ballot.last_sign_at)

    def _votes(self, accused: NodeId, known: Known, now: float) -> dict[NodeId, Seen]:
        """Collect the observers that stand elsewhere, were heard lately, and still reach most of what they observe."""
        return {
            observer: seen
            for observer, seen in self._roster.watched.get(accused, {}).items()
            if dc_of(observer) != dc_of(accused)
            and not known.holds_lost(observer)
            and self._roster.fresh(observer, now)
            and self._reaches_most(observer, known)
        }

    def _reaches_most(self, observer: NodeId, known: Known) -> bool:
        """This control plane is among what it reaches, because its report came in."""
        asked = alive = 1
        anything_lost = known.lost_dcs or known.lost_nodes
        for target, seen in self._roster.nodes[observer].sees.items():
            if not anything_lost or not known.holds_lost(target):
                asked += 1
                alive += seen.observation.sight is Sight.ALIVE
        return 2 * alive > asked

    def _quorum(self, missing: Sequence[NodeId | ControlPlaneId], *, qualified: int, needed: int) -> bool:
        """Say whether those who miss the accused are enough, and 2/3 of all that are qualified."""
        return self._enough(missing, needed) and 3 * len(missing) >= 2 * qualified

    def _enough(self, observers: Sequence[NodeId | ControlPlaneId], needed: int) -> bool:
        dcs = {dc_of(observer) for observer in observers}
        return len(observers) >= needed and len(dcs) >= self._dcs_needed

    def _observers_needed(self, accused: DcId) -> int:
        """At least 3; in a fleet too small to have them, all that stand elsewhere, this control plane included."""
        return min(OBSERVERS_MIN, 1 + sum(node.dc != accused for node in self._topology.nodes))

    def _paired(
        self, accused: NodeId, known: Known, counted: Sequence[NodeId | ControlPlaneId], votes: Mapping[NodeId, Seen]
    ) -> tuple[int, int]:
        """Count the accused's standbys whose nodes miss it, and all whose nodes can say."""
        standbys = {node: count for node, count in known.standbys_of(accused).items() if not known.holds_lost(node)}
        heard = {node: count for node, count in standbys.items() if node in votes}
        missing = sum(count for node, count in heard.items() if node in counted)
        return missing, sum(heard.values()) if heard else sum(standbys.values())

    def _last_sign(self, accused: NodeId, votes: Mapping[NodeId, Seen]) -> float:
        signs = [seen.at - seen.observation.silent_ms / 1000 for seen in votes.values()]
        return max([*signs, self._roster.nodes[accused].heard_at])

    def _reasons(
        self,
        accused: NodeId,
        sights: Mapping[NodeId | ControlPlaneId, Sight],
        counted: Sequence[NodeId | ControlPlaneId],
        cut: Sequence[NodeId],
        paired: tuple[int, int],
    ) -> tuple[str, ...]:
        """Say why there is no verdict."""
        reasons = []
        alive = sorted(str(o) for o, sight in sights.items() if sight is Sight.ALIVE)
        if alive and counted:
            reasons.append(
                f"a cut link: {', '.join(sorted(map(str, counted)))} miss {accused}, {alive[0]} sees it alive"
            )
        if not self._quorum(counted, qualified=len(sights), needed=self._observers_needed(dc_of(accused))):
            reasons.append(
                f"{len(counted)} of {len(sights)} qualified observers miss {accused}: 2/3 and at least 3 needed"
            )
        if paired[0] < SHARE * paired[1]:
            reasons.append(f"{paired[0]} of {paired[1]} standbys paired with {accused} miss it: 80 % needed")
        reasons += [f"{observer} is cut off from most of what it observes: it has no vote" for observer in sorted(cut)]
        return tuple(reasons)
