"""A whole fleet in which a data center with SOLO primaries is lost for good, until the operator overrides its shards.

Production nodes, control planes and the client's machine. The nodes of the other data centers die first, so that the
primaries of one stand alone; then that one goes, and the others return with stale copies. The operator does what the
command line does: declares the data center lost, and overrides each shard, again until it is done.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from chaos.history import Post, Read
from chaos.sim.fleet import Plan, SimFleet
from chaos.sim.plane import SimPlane
from chaos.sim.time import World
from chaos.sim.worlds import parts
from control_plane.reception import Reception
from control_plane.views import Asked, Started, Statement
from core.assignments import Assignment
from core.errors import RefusedBySafetyError, TwinholdError
from core.names import DcId, ShardId, TenantName, dc_of
from core.sharding import home_shard
from core.timers import timers
from core.topology import Topology
from nodes.memory_journal import MemoryDisk
from tests.fleets import small_fleet
from twinhold.v1.event_pb2 import Event

SHARDS = 4
LOOK_S = 0.02
OPERATE_S = 0.25
UP_S, ALONE_WITHIN_S, OVERRIDDEN_WITHIN_S, WHOLE_WITHIN_S = 5.0, 15.0, 30.0, 60.0
NEVER = float("inf")
STATEMENT = Statement("Ada L.", takes_over=None)


def topology() -> Topology:
    """Three data centers, a node and a control plane in each, four shards."""
    drawn = small_fleet(98)
    (geography,) = drawn.geographies
    nodes = tuple(replace(node, capacity=64.0) for node in drawn.nodes)
    return replace(drawn, geographies=(replace(geography, shards=SHARDS),), nodes=nodes, weights=(1.0,) * SHARDS)


def tenants(fleet: Topology) -> list[TenantName]:
    """Name one tenant for every shard."""
    geography, found = fleet.geographies[0], dict[ShardId, TenantName]()
    for number in range(1000):
        tenant = TenantName(geography.id, f"t{number}")
        found.setdefault(home_shard(tenant, geography), tenant)
    return [found[shard] for shard in sorted(found)]


@dataclass(slots=True)
class FleetTally:
    """What a schedule came to."""

    overridden: int = 0
    refused: int = 0
    """How often a gate said no, each time naming who answers."""
    lost: int = 0
    quarantined: int = 0
    acknowledged: int = 0
    trace: str = ""


@dataclass(slots=True)
class OverrideFleet:
    """One schedule."""

    seed: int
    fleet: SimFleet = field(init=False)
    lost: DcId = field(init=False)
    tally: FleetTally = field(default_factory=FleetTally)
    overridden_at: dict[ShardId, float] = field(default_factory=dict)
    returned_at: float = NEVER
    reports: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        world, paper = World(self.seed), topology()
        world.tell = self._told
        stormy = world.chance.random() < 0.5
        self.fleet = SimFleet(
            world,
            Plan(
                topology=paper,
                timers=timers("default"),
                tenants=tenants(paper),
                pause_s=0.05,
                break_ratio=0.0005 if stormy else 0.0,
                lost_call_ratio=0.02 if stormy else 0.0,
            ),
            parts(),
        )
        self.lost = world.chance.choice([dc.id for dc in paper.data_centers])

    def play(self) -> FleetTally:
        """Play and judge it."""
        world, chance = self.fleet.world, self.fleet.world.chance
        self.fleet.start()
        world.run(UP_S + chance.uniform(0.0, 2.0))
        self._leave_alone()
        world.run(world.now + chance.uniform(0.5, 3.0))
        self._try_too_early()
        self._lose()
        self._until(self._all_overridden, OVERRIDDEN_WITHIN_S, "not every shard is overridden")
        world.run(world.now + chance.uniform(0.5, 3.0))
        self.returned_at = world.now
        for name in self.fleet.names_in(self.lost):
            self.fleet.restart(name)
        world.run(world.now + chance.uniform(0.5, 5.0))
        self.fleet.heal()
        self._until(lambda: not self.fleet.settled(), WHOLE_WITHIN_S, "the fleet is not whole")
        self._audit()
        return self._judged()

    def records(self) -> list[Assignment]:
        """Read what the store holds."""
        return [a for state in self.fleet.vault.read(None).values() for a in state.assignments]

    def alone(self) -> list[Assignment]:
        """List the shards whose only copy in sync is in the data center that is to be lost."""
        return [a for a in self.records() if a.solo and dc_of(a.primary.node) == self.lost]

    # What happens.

    def _leave_alone(self) -> None:
        """Kill all other nodes, and wait until what stands in the one data center stands alone."""
        for node in self.fleet.plan.topology.nodes:
            if node.dc != self.lost:
                self.fleet.crash(node.id)
        led = {a.shard for a in self.records() if dc_of(a.primary.node) == self.lost}
        self._until(lambda: led <= {a.shard for a in self.alone()}, ALONE_WITHIN_S, "nobody stands alone")

    def _lose(self) -> None:
        """Lose it, loudly or silently; the others return, and more may go wrong meanwhile."""
        fleet, world = self.fleet, self.fleet.world
        chance, silently = world.chance, world.chance.random() < 0.3
        for name in fleet.names_in(self.lost):
            (fleet.freeze if silently else fleet.crash)(name)
        for node in fleet.plan.topology.nodes:
            if node.dc != self.lost:
                world.after(chance.uniform(0.1, 2.0), lambda name=node.id: fleet.restart(name))  # type: ignore[misc]  # bound per turn
        if chance.random() < 0.4:
            world.after(chance.uniform(2.0, 9.0), self._stop_leader)
        if chance.random() < 0.4:
            world.after(chance.uniform(2.0, 9.0), self._stop_store)
        self._operate()
        self._watch()

    def _stop_leader(self) -> None:
        for plane in self._leading():
            self.fleet.crash(plane.plane)
            self.fleet.world.after(1.0, lambda name=plane.plane: self.fleet.restart(name))  # type: ignore[misc]  # bound per turn

    def _leading(self) -> list[SimPlane]:
        living = [plane for plane in self.fleet.planes.values() if not self.fleet.hosts[plane.plane].frozen]
        return [p for p in living if p.driver is not None and p.driver.leader().leader == p.plane][:1]

    def _stop_store(self) -> None:
        self.fleet.store.away = True
        self.fleet.world.after(1.0, self.fleet.store.heal)

    def _operate(self) -> None:
        """Do again what is not done, as a person does: a new command each time."""
        if self.returned_at < NEVER:
            return
        self.fleet.world.after(OPERATE_S, self._operate)
        self._declare_lost()
        for base in self.alone():
            self._override(base.shard)

    def _override(self, shard: ShardId) -> str:
        """Ask for one; returns what a gate said."""
        asked = _asked(f"shard-{shard}-{self.fleet.world.now:.3f}")
        return self._ask(
            lambda desk: desk.override(shard, statement=STATEMENT, validate_only=False, asked=asked, done=_ignored)
        )

    def _try_too_early(self) -> None:
        """Ask while the primaries live, though the leader may miss them, or hold them lost: they are named."""
        fleet, world = self.fleet, self.fleet.world
        if world.chance.random() < 0.5:
            for plane, node in [
                (p.plane, n.id) for p in self._leading() for n in fleet.plan.topology.nodes_in(self.lost)
            ]:
                if dc_of(plane) != self.lost:
                    fleet.cut(plane, node, both_ways=True)
        if world.chance.random() < 0.5:
            self._declare_lost()
        for _ in range(12):
            world.run(world.now + OPERATE_S)
            for base in self.alone():
                told = self._override(base.shard)
                if told and f"{base.primary.node} answers" not in told:
                    raise AssertionError(f"an override is refused, and nobody is told that the primary lives: {told}")
        fleet.network.mend()
        if any(record.incarnation > 1 for record in self.records()):
            raise AssertionError("a shard was overridden while its primary lived")

    def _declare_lost(self) -> None:
        self._ask(
            lambda desk: desk.evacuate(
                self.lost, validate_only=False, asked=_asked(f"lost-{self.fleet.world.now:.3f}"), done=_ignored
            )
        )

    def _ask(self, deed: Callable[[Reception], None]) -> str:
        try:
            for plane in self._leading():
                assert plane.driver is not None, "it leads"
                deed(plane.driver.reception)
        except RefusedBySafetyError as refusal:
            self.tally.refused += 1
            return "; ".join(refusal.violations)
        except TwinholdError:
            pass
        return ""

    def _watch(self) -> None:
        """Note when each shard was overridden."""
        for record in self.records():
            if record.incarnation > 1:
                self.overridden_at.setdefault(record.shard, self.fleet.world.now)
        if self.returned_at == NEVER:
            self.fleet.world.after(LOOK_S, self._watch)

    def _all_overridden(self) -> bool:
        """Say whether nothing is left to override: a shard of which no sound copy is left waits for the lost one."""
        return not [a for a in self.records() if dc_of(a.primary.node) == self.lost and self._copied(a.shard)]

    def _copied(self, shard: ShardId) -> bool:
        others = [n for n in self.fleet.plan.topology.nodes if n.dc != self.lost]
        drivers = [self.fleet.nodes[n.id].driver for n in others]
        views = [view for driver in drivers if driver is not None for view in driver.report(complete=True)]
        up = all(driver is not None for driver in drivers)
        return not up or any(view.shard == shard and view.last_lsn and not view.complaint for view in views)

    def _until(self, holds: Callable[[], bool], within_s: float, otherwise: str) -> None:
        world = self.fleet.world
        end = world.now + within_s
        while not holds():
            if world.now >= end:
                raise AssertionError(f"{otherwise} within {within_s:g} s: {self.records()}")
            world.run(world.now + LOOK_S)

    def _audit(self) -> None:
        world = self.fleet.world
        for user in self.fleet.users:
            user.stopped = True
        world.run(world.now + 6.0)
        for user in self.fleet.users:
            user.audit(lambda: None)
        world.run(world.now + 6.0)

    def _told(self, line: str) -> None:
        if "copy.quarantined" in line:
            self.reports.append(line)

    # Judgement.

    def _judged(self) -> FleetTally:
        tally, held = self.tally, self._audited()
        kept = [*_kept(self.fleet.nodes[node.id].disk for node in self.fleet.plan.topology.nodes_in(self.lost))]
        for post in (line for line in self.fleet.lines if isinstance(line, Post) and line.outcome == "ok"):
            tally.acknowledged += 1
            if post.text in held[post.tenant]:
                continue
            tally.lost += 1
            if self._safe(post):
                raise AssertionError(f"{post.text}, acknowledged after the override, is lost")
            if not any(_shows(post.text, body) for body in kept):
                raise AssertionError(f"acknowledged {post.text} is lost without a trace")
        self._see_it_written_down()
        tally.overridden, tally.quarantined = len(self.overridden_at), len(self.reports)
        tally.trace = self.fleet.world.trace_hash
        return tally

    def _see_it_written_down(self) -> None:
        """What a copy keeps aside stands in the audit journal too."""
        events = [Event.FromString(body) for body in self.fleet.vault.read_events(None, 100_000)]
        told = {event.subject for event in events if event.type == "copy.quarantined"}
        disks = [node.disk for node in self.fleet.nodes.values()]
        missing = {f"shards/{s}" for disk in disks for s in disk.quarantines if s in disk.shelves} - told
        if missing:
            raise AssertionError(f"what is kept aside of {sorted(missing)} was not written down")

    def _audited(self) -> dict[str, list[str]]:
        """Read every channel as it is in the end; nothing stands in one twice."""
        found: dict[str, list[str]] = {}
        for line in self.fleet.lines:
            if isinstance(line, Read) and line.limit > SHARDS * 1000:
                found[line.tenant] = [text for _, text in line.posts if text is not None]
        if len(found) < len(self.fleet.users):
            raise AssertionError(f"only {sorted(found)} could be read in the end")
        twice = {text for texts in found.values() for text in texts if texts.count(text) > 1}
        if twice:
            raise AssertionError(f"{sorted(twice)} stand twice")
        return found

    def _safe(self, post: Post) -> bool:
        """Say whether only the new incarnation can have acknowledged a post."""
        geography = self.fleet.plan.topology.geographies[0]
        shard = home_shard(next(t for t in self.fleet.plan.tenants if str(t) == post.tenant), geography)
        began, ended = post.invoked_ns / 1e9, (post.completed_ns or 0) / 1e9
        return self.overridden_at.get(shard, 0.0) <= began and ended <= self.returned_at


def _kept(disks: Iterator[MemoryDisk]) -> Iterator[bytes]:
    """Read all that the lost data center's disks hold, quarantined or not followed up yet, torn records too."""
    for disk in disks:
        for _, records in disk.orphans:
            yield from (record.body for record in records)
        for _, _, parts_ in disk.orphan_snapshots:
            yield from parts_
        for shelf in (*disk.shelves.values(), *(one for found in disk.asides.values() for one in found)):
            yield from (record.body for record in shelf.records)
            if shelf.snapshot is not None:
                yield from shelf.snapshot[1]


def _shows(text: str, body: bytes) -> bool:
    return re.search(re.escape(text.encode()) + rb"(?!\d)", body) is not None


def _asked(request_id: str) -> Asked:
    return Asked("users/ada", "the site burnt down", request_id)


def _ignored(outcome: Started | TwinholdError) -> None:
    """A person looks at the records instead."""


def override_fleet(seed: int) -> FleetTally:
    """Play one schedule; what breaks a law names the seed and how to play it again."""
    try:
        return OverrideFleet(seed).play()
    except AssertionError as broken:
        again = f"python -m tests.sim.override_fleet {seed}"
        raise AssertionError(f"seed {seed}: {broken!r}\nplay it again: {again}") from broken


if __name__ == "__main__":
    import sys

    for argument in sys.argv[1:]:
        sys.stdout.write(f"{override_fleet(int(argument))}\n")
