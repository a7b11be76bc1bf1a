"""One shard whose SOLO primary is gone for good, the lossy override, and what comes of it when it returns after all.

What the new incarnation acknowledges keeps every law of the pair world. Of what the old one acknowledged, everything
before ``lossy_from_lsn`` is in the log; whatever else is not is kept in ``orphan/``, and was told by tenant.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.wrappers_pb2 import StringValue

from chaos.fleet_laws import FleetLaw
from chaos.judgement import Law
from core.assignments import Assignment, Copy, Operator, Override
from core.copies import CopyView
from core.errors import TwinholdError
from core.names import NodeId
from core.orders import Order
from nodes.apps.wire import entry_of
from nodes.pair_rules import Rules
from nodes.records import Record
from nodes.views import Answered, Outcome
from tests.sim.pair_laws import BrokenLawError, Op, once_and_in_place, reads_hold
from tests.sim.pair_world import Machine, PairWorld, lives

TROUBLE_S = 6.0
CALM_S = 4.0
STRIKE_S = (0.8, 1.6)
STRIKE_UNTIL_S = 3.0
LOOK_S = 0.02
SNAPSHOT_ENTRIES = (60, 6)
"""Rarely, so that journals are cut; or so often that what is lost lies in a snapshot."""


@dataclass(frozen=True, slots=True)
class Acked:
    """Where and by whom a write was acknowledged."""

    incarnation: int
    lsn: int
    at: float


@dataclass(slots=True)
class OverrideTally:
    """What a schedule came to."""

    overridden: bool
    lost: int = 0
    """Acknowledged, and not in the log any more."""
    in_records: int = 0
    """Of these, kept as records; the others in a snapshot."""
    late: int = 0
    """Acknowledged by the old primary after the override: it had returned, and had not heard of it yet."""
    after: int = 0
    """Acknowledged by the new incarnation."""
    trace: str = ""


class OverrideWorld(PairWorld):
    """Usual faults; then the primary stands alone, is lost, is overridden, and returns into usual faults."""

    def __init__(self, seed: int, *, rules: Rules) -> None:
        super().__init__(seed, rules=rules, snapshot_entries=SNAPSHOT_ENTRIES[seed % 2])
        self.gone: NodeId | None = None
        """Who was lost; it stays so until the override, and a while longer."""
        self.old: NodeId | None = None
        self.quiet = False
        """No faults but the one that is played."""
        self.struck_at = self.returned_at = self.heard_at = float("inf")
        self.overridden_at = float("inf")
        self.lossy_from_lsn = 0
        self.acks: dict[str, Acked] = {}
        self.reported = 0
        self._incarnation = 1

    def play(self) -> OverrideTally:
        """Play the schedule and judge it."""
        self._begin()
        self.time.after(self.time.chance.uniform(*STRIKE_S), self._strike)
        self.time.run(TROUBLE_S)
        self._heal()
        self.time.run(TROUBLE_S + CALM_S)
        return self._judged()

    # The loss.

    def _strike(self) -> None:
        """Leave the primary alone: all other nodes die, or the standby only, so that a third is on its way in."""
        record = self.store.records[self.shard]
        if not lives(self.machines[record.primary.node]) or self.isolated is not None:
            self.time.after(LOOK_S, self._strike)
            return
        self.quiet = True
        self.network.mend()
        self.lost_ratio = 0.0
        chance, standby = self.time.chance, record.standby
        alone = chance.random() < 0.6
        for node, machine in self.machines.items():
            if node != record.primary.node and (alone or (standby is not None and node == standby.node)):
                machine.crash()
        self._await_solo(record.primary.node, chance.uniform(0.05, 0.7) if alone else chance.uniform(0.0, 0.15))

    def _await_solo(self, primary: NodeId, alone_s: float) -> None:
        record = self.store.records[self.shard]
        if record.primary.node == primary and record.standby is None:
            self.time.after(alone_s, lambda: self._lose(primary))
        elif not self.calm:
            self.time.after(LOOK_S, lambda: self._await_solo(primary, alone_s))

    def _lose(self, primary: NodeId) -> None:
        """Lose it, unless a second copy was faster; the others return."""
        record, chance = self.store.records[self.shard], self.time.chance
        self.quiet = False
        if record.standby is None and record.primary.node == primary and not self.calm:
            self.gone = self.old = primary
            self.struck_at = self.time.now
            self.machines[primary].crash(keep=None if chance.random() < 0.5 else -1)
            self.time.after(chance.uniform(0.1, 0.7), self._operate)
        elif self.time.now < STRIKE_UNTIL_S:
            self.time.after(chance.uniform(0.3, 0.6), self._strike)
        for machine in self.machines.values():
            if machine.node != primary:
                self.time.after(chance.uniform(0.05, 0.5), lambda m=machine: self._revive(m))  # type: ignore[misc]  # bound per turn

    def _revive(self, machine: Machine) -> None:
        if machine.node != self.gone:
            super()._revive(machine)

    # The operator.

    def _operate(self) -> None:
        """Look at what the living copies report, and override to the best of them, a little later."""
        base, chance = self.store.records[self.shard], self.time.chance
        if self.calm or base.standby is not None or base.primary.node != self.gone:
            return
        found = [(view, node) for node, machine in self.machines.items() if (view := self._view(machine)) is not None]
        fit = [(view, node) for view, node in found if view.last_lsn and not view.complaint]
        if not fit:
            self.time.after(LOOK_S, self._operate)
            return
        view, node = max(fit, key=lambda one: (one[0].last, one[0].last_lsn))
        self.time.after(chance.uniform(0.0, 0.1), lambda: self._override(base, view, node))

    def _override(self, base: Assignment, view: CopyView, node: NodeId) -> None:
        change = Override(Copy(node, view.copy_id), "ada")
        try:
            self.store.change(self.shard, base.fence, change, Operator("ada"), "ada states that it is fenced")
        except TwinholdError:
            return
        self.overridden_at = self.time.now
        self.lossy_from_lsn = self.bound(view)
        self.time.after(self.time.chance.uniform(0.2, 1.5), self._return)

    def bound(self, view: CopyView) -> int:
        """Say from which lsn on something acknowledged may be lost: a stale copy is sure of what it saw committed."""
        return view.commit_lsn + 1

    def _return(self) -> None:
        if self.gone is None:
            return
        machine, self.gone = self.machines[self.gone], None
        self.returned_at = self.time.now
        self._revive(machine)
        self._await_news(machine)

    def _await_news(self, machine: Machine) -> None:
        """Note when the old primary has heard of the override."""
        view = self._view(machine)
        if view is not None and view.fence.incarnation > 1:
            self.heard_at = self.time.now
        else:
            self.time.after(LOOK_S / 4, lambda: self._await_news(machine))

    def map_at_start(self, node: NodeId) -> list[Assignment]:
        """Let the one that returns find an old map on its disk, now and then."""
        if node == self.old and self.time.chance.random() < 0.6:
            return []
        return super().map_at_start(node)

    def told(self, node: NodeId, event: str, facts: Mapping[str, object]) -> None:
        """Count what is reported as lost."""
        super().told(node, event, facts)
        tenants = facts.get("tenants")
        if event == "copy.quarantined" and isinstance(tenants, dict) and node == self.old:
            self.reported = max(self.reported, tenants.get(str(self.tenant), 0))

    def _lead(self) -> None:
        """See to it that the old primary follows again before the end: only then is its suffix found out."""
        super()._lead()
        record = self.store.records[self.shard]
        away = self.old is not None and self.old not in [copy.node for copy in record.in_sync]
        if self.calm and away and record.standby is not None and self.time.chance.random() < 0.2:
            self._order(record, Order.SWAP, self.old)

    def _fault(self) -> None:
        if self.quiet:
            self.time.after(0.05, self._fault)
        else:
            super()._fault()

    def _may_lose(self, node: NodeId) -> bool:
        return False

    def _heal(self) -> None:
        if self.gone is not None:
            self._return()
        super()._heal()

    def _view(self, machine: Machine) -> CopyView | None:
        if not lives(machine) or machine.driver is None or machine.node == self.gone:
            return None
        return next(iter(machine.driver.report(complete=True)), None)

    # What was acknowledged, and by which incarnation.

    def _back(self, machine: Machine, outcome: Outcome, done: Callable[[Outcome, NodeId], None]) -> None:
        view = self._view(machine) if isinstance(outcome, Answered) else None
        incarnation = 0 if view is None else view.fence.incarnation

        def tell(told: Outcome, node: NodeId) -> None:
            self._incarnation = incarnation
            done(told, node)

        super()._back(machine, outcome, tell)

    def _answered(self, op: Op, outcome: Answered, node: NodeId) -> None:
        super()._answered(op, outcome, node)
        self.acks[op.text] = Acked(self._incarnation, outcome.lsn, self.time.now)

    # Judgement.

    def _judged(self) -> OverrideTally:
        writes = [op for op in self.ops if op.kind == "write" and op.completed is not None]
        reads = [op for op in self.ops if op.kind == "read"]
        if not reads or reads[-1].invoked < TROUBLE_S + CALM_S - 0.5:
            raise BrokenLawError(FleetLaw.LIVENESS, f"the shard did not come back to life: {self._state()}")
        end = TROUBLE_S + CALM_S - 0.5
        log = max((read.seen for read in reads if read.invoked > TROUBLE_S + 1), key=len)
        safe = [op for op in writes if not self._at_risk(op)]
        once_and_in_place(safe, log, until=end)
        fresh = [read for read in reads if self._of_new(read)]
        reads_hold(fresh, safe, log)
        tally = OverrideTally(self.overridden_at < float("inf"), trace=self.time.trace_hash)
        held = set(log)
        lost = [op for op in writes if self._at_risk(op) and op.text not in held]
        records, states = self._quarantine()
        unfollowed, state = self._unfollowed()
        states += state
        for op in lost:
            in_state = any(re.search(rb"(?<!\w)" + op.text.encode() + rb"(?!\w)", state) for state in states)
            if op.text not in records | unfollowed and not in_state:
                raise BrokenLawError(Law.LOST, f"acknowledged {op.text} is lost without a trace")
        tally.lost, tally.in_records = len(lost), sum(op.text in records for op in lost)
        tally.late = sum(self.acks[op.text].at > self.overridden_at for op in writes if self._at_risk(op))
        tally.after = sum(self.acks[op.text].incarnation > 1 for op in writes)
        if self.reported < tally.in_records:
            what = f"{tally.in_records} acknowledged writes are lost, {self.reported} were reported"
            raise BrokenLawError(Law.LOST, what)
        return tally

    def _at_risk(self, op: Op) -> bool:
        """Say whether an acknowledgement is one that the override may take back."""
        ack = self.acks[op.text]
        if self.overridden_at == float("inf") or ack.incarnation > 1:
            return False
        return ack.lsn >= self.lossy_from_lsn or ack.at > self.overridden_at

    def _of_new(self, read: Op) -> bool:
        """Say whether only the new incarnation can have answered a read."""
        if self.overridden_at == float("inf"):
            return True
        assert read.completed is not None, "only answered reads are kept"
        before = read.completed <= self.returned_at
        return read.invoked >= self.overridden_at and (before or read.invoked >= self.heard_at)

    def _unfollowed(self) -> tuple[set[str], list[bytes]]:
        """Read what the old primary still has in its journal: while it follows nobody, nothing of it is gone."""
        shelf = None if self.old is None else self.machines[self.old].disk.shelves.get(self.shard)
        if shelf is None:
            return set(), []
        return _texts(shelf.records), [] if shelf.snapshot is None else shelf.snapshot[1]

    def _quarantine(self) -> tuple[set[str], list[bytes]]:
        """Read what the old primary's disk keeps aside: texts of records, and whole states."""
        if self.old is None:
            return set(), []
        disk = self.machines[self.old].disk
        texts = _texts(record for _, records in disk.orphans for record in records)
        return texts, [part for _, _, parts in disk.orphan_snapshots for part in parts]


def _texts(records: Iterable[Record]) -> set[str]:
    entries = [entry_of(record.body) for record in records]
    return {StringValue.FromString(event).value for entry in entries if entry.app == "log" for event in entry.events}


def override(seed: int, *, rules: Rules | None = None) -> OverrideTally:
    """Play one schedule; what breaks a law names the seed and how to play it again."""
    try:
        return OverrideWorld(seed, rules=rules or Rules()).play()
    except AssertionError as broken:
        again = f"python -m tests.sim.override_world {seed}"
        raise AssertionError(f"seed {seed}: {broken!r}\nplay it again: {again}") from broken


if __name__ == "__main__":
    import sys

    for text in sys.argv[1:]:
        played = OverrideWorld(int(text), rules=Rules())
        played.time.tell = print
        sys.stdout.write(f"{played.play()}\n")
