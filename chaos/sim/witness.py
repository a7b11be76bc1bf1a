"""Sees what happens in a simulated fleet, and holds it to the laws at once, so that the first breach is near its cause.

It is told facts only: a message leaves, an answer leaves, the store takes something in. What it compares them with it
reads off disks, as they are at that moment. It changes nothing: a run is the same with it and without.
"""

from collections.abc import Mapping, Sequence

from chaos import plane_laws
from chaos.fleet_laws import Breach, FleetLaw
from chaos.marks import Mark
from chaos.sim.answers import Answers
from chaos.sim.decisions import Decisions
from chaos.sim.listening import Listening
from chaos.sim.seen import Seen, Sights
from chaos.sim.time import FIRST_DAY_MS, WALL_SKEW_S, World
from control_plane.driver import ControlPlaneDriver
from control_plane.ports import Row
from core.assignments import Evict, Fence
from core.fleet_map import FleetMap, Revision
from core.names import ControlPlaneId, NodeId, ShardId
from core.proposals import Proposal
from core.timers import Timers
from core.topology import Topology
from nodes.desk import DISK
from nodes.views import Answered, QueryAnswer

LOOK_S = 1.0
"""How often maps and ledgers are compared."""
TROUBLE_S = 0.1
"""How often it is noted who is in trouble."""
_BY_EVENT: Mapping[str, Mark] = {
    "clock.jumped": Mark.JUMPED,
    "verdict.withheld": Mark.VERDICT_WITHHELD,
    "failover.impossible": Mark.BLOCKED,
    "brake.halted": Mark.BRAKED,
}


class Witness:
    """One run's."""

    def __init__(self, world: World, topology: Topology, timers: Timers, sights: Sights) -> None:
        seen = self._seen = Seen(world, topology, timers, sights)
        self._answers = Answers(seen)
        self._listening = Listening(seen, self._answers)
        self.sent = self._listening.sent
        """Is told every frame that leaves a node."""
        self.decisions = Decisions(seen)
        """Is told what the store does, and what a leader orders."""
        self._stood: dict[str, tuple[FleetMap, Revision]] = {}
        """Every map, and where it stood when it was last looked at."""
        self._shown: dict[Revision, dict[ShardId, Fence]] = {}
        self._exposed: dict[ControlPlaneId, tuple[ControlPlaneDriver | None, dict[ShardId, tuple[Fence, int]]]] = {}
        """By control plane: its present life, the shards that it shows on one copy, and since which epoch and time."""
        world.after(LOOK_S, self._look)
        world.after(TROUBLE_S, self._see_trouble)

    @property
    def breaches(self) -> Sequence[Breach]:
        """List what was broken, earliest first; a few of each law."""
        return self._seen.breaches

    @property
    def marks(self) -> Mapping[str, int]:
        """Say how often each path that matters was taken, by the mark's name."""
        return self._seen.marks

    def answered(self, node: NodeId, caller: str, answer: Answered | QueryAnswer) -> None:
        """Note an answer that leaves a node for a client."""
        self._listening.look_at(answer.shard, node)
        self._answers.answered(node, caller, answer)

    def refused(self, rows: Sequence[Row]) -> None:
        """Note that changes were refused: another was first."""
        if any(row.base is not None for row in rows):
            self._seen.mark(Mark.LOST_RACE)

    def deposed(self) -> None:
        """Note that a write of an older term was refused."""
        self._seen.mark(Mark.OLD_LEADER)

    def unknown(self, rows: Sequence[Row]) -> None:
        """Note that a leader was not told what became of its write."""
        for row in rows:
            newest = self._seen.shard(row.new.shard).newest
            self._seen.mark(Mark.UNKNOWN_DONE if newest == row.new else Mark.UNKNOWN_NOT_DONE)

    def told(self, event: str, facts: Mapping[str, object]) -> None:
        """Note what a process tells people."""
        mark = _BY_EVENT.get(event)
        if mark is not None:
            self._seen.mark(mark)
        if event == "copy.rejoined":
            if facts["snapshot"]:
                self._seen.mark(Mark.SNAPSHOT_TAKEN)
            if facts["orphaned"]:
                self._seen.mark(Mark.ORPHANED)
        if event == "failover.impossible":
            self._answers.blocked(ShardId(int(str(facts["subject"]).rpartition("/")[2])))

    def proposed(self, node: NodeId, proposals: Sequence[Proposal]) -> None:
        """Note that a primary asks for changes."""
        for proposal in proposals:
            if isinstance(proposal.change, Evict):
                self._seen.evicting[proposal.shard, node] = proposal.base

    def proposal_unknown(self) -> None:
        """Note that a primary was not told what became of its proposal."""
        self._seen.mark(Mark.PROPOSAL_UNKNOWN)

    def complained(self, node: NodeId, shard: ShardId, complaint: str) -> None:
        """Note that a copy reported itself."""
        self.decisions.complained(node, shard)
        self._seen.mark(Mark.DISK_REFUSED if complaint.startswith(DISK) else Mark.DAMAGE_REPORTED)

    def close(self) -> None:
        """Judge the end of the run: what was told to clients lies on every disk in sync, nothing is left open."""
        self._compare()
        for number, shard in self._seen.shards.items():
            record, lsn = shard.newest, len(shard.chain.hashes)
            for copy in () if record is None else record.in_sync:
                if not self._seen.holds(number, copy, lsn):
                    what = f"at the end {copy.node}, in sync, does not hold lsn {lsn} of shard {number}"
                    self._seen.found(Breach(FleetLaw.I1, what))
        self.decisions.close()

    def _look(self) -> None:
        self._seen.world.after(LOOK_S, self._look)
        self._compare()

    def _see_trouble(self) -> None:
        self._seen.world.after(TROUBLE_S, self._see_trouble)
        self.decisions.see_trouble()

    def _compare(self) -> None:
        """Compare maps with each other and with the store, and ledgers with maps (C8)."""
        newest = {number: shard.records[-1].fence for number, shard in self._seen.shards.items() if shard.records}
        for who, shown in self._seen.sights.maps():
            same, before = self._stood.get(who, (shown, shown.revision))
            self._stood[who] = (shown, shown.revision)
            if same is shown:  # else its process has restarted
                self._seen.found(plane_laws.backwards(who, before, shown.revision))
            held = {number: record.fence for number, record in shown.shards.items()}
            self._seen.found(plane_laws.undecided(who, held, newest))
            first = self._shown.setdefault(shown.revision, held)
            self._seen.found(plane_laws.shows(who, shown.revision, held, first))
        for plane, driver in self._seen.sights.planes().items():
            shown_ms = self._since_shown(plane, driver)
            office = driver.office()
            if office is not None and not office.over:
                ledger, records = office.catalog.solo_since_ms, office.catalog.all()
                for breach in plane_laws.exposed(plane, ledger, records, shown_ms):
                    self._seen.found(breach)

    def _since_shown(self, plane: ControlPlaneId, driver: ControlPlaneDriver) -> Mapping[ShardId, int]:
        """Say by when, as its clock may go, this life of a control plane showed each shard on one copy."""
        life, known = self._exposed.get(plane, (None, {}))
        latest_ms = FIRST_DAY_MS + int((self._seen.now + WALL_SKEW_S) * 1000)
        showed: dict[ShardId, tuple[Fence, int]] = {}
        for number, record in driver.fleet_map.shards.items():
            if record.solo:
                began, at_ms = known.get(number, (record.fence, latest_ms))
                since = [one for one in self._seen.shard(number).records if began <= one.fence <= record.fence]
                same = life is driver and all(one.solo for one in since)
                showed[number] = (began, at_ms) if same else (record.fence, latest_ms)
        self._exposed[plane] = (driver, showed)
        return {number: at_ms for number, (_, at_ms) in showed.items()}
