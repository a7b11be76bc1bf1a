"""The control plane's broken rules: verdicts, the brake, evacuations, terms, the map, where copies go."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from chaos.fleet_laws import FleetLaw
from chaos.schedule import Crash, Cut, LoseDc, LoseDisk, SlowStore, Switchover, VagueStore
from chaos.sim.maps import MapSource
from control_plane import brake, memory_store
from control_plane.books import Evacuation, Shelf
from control_plane.catalog import Catalog
from control_plane.driver import ControlPlaneDriver
from control_plane.election import Raised
from control_plane.evacuation import Rescue
from control_plane.guard import Guard
from control_plane.memory_store import Vault
from control_plane.placement import Room, SimplePlacement
from control_plane.ports import FLEET, Applied, Partition, ReadAnswer, Refused, StaleTerm, Unknown, WriteAnswer
from control_plane.records_reader import Reader
from control_plane.verdicts import Verdicts
from control_plane.writer import Writer
from core.assignments import Assignment
from core.fleet_map import Delta, FleetMap, Revision
from core.names import DcId, NodeId, ShardId, TenantName, dc_of
from tests.sim.mutants import fleet
from tests.sim.mutants.mutant import Mutant, Swap

BER, AMS, FRA, WAW = (DcId(dc) for dc in ("ber1", "ams1", "fra1", "waw1"))
_stand = ControlPlaneDriver._stand
_enlist = Guard._enlist
_reindex = Catalog._reindex
_send = Writer._send
_apply = FleetMap.apply


def _stand_without_asking(self: ControlPlaneDriver, term: int) -> None:
    """Lead without having raised the term."""
    candidate = self._new_leader(term)
    self._candidate = candidate
    candidate.stand()
    self._clock.call_at(self._clock.now() + 0.01, lambda: self._elect(Raised(term, (Applied(),))))


def _raise_any(self: Vault, term: int) -> WriteAnswer:
    """Let a term be raised twice."""
    shelf = self._shelves.setdefault(FLEET, memory_store._Shelf())
    if term < shelf.term:
        return StaleTerm(shelf.term)
    shelf.term = term
    return (Applied(),)


def _recorded_already(self: Guard, evacuation: Evacuation, *, recorded: bool) -> None:
    _enlist(self, evacuation, recorded=True)


def _unknown_is_no(self: Writer, partition: Partition, batch: object, answer: WriteAnswer) -> None:
    if isinstance(answer, Unknown):
        count = len(batch.rows) + len(batch.docs)  # type: ignore[attr-defined]  # a batch of the writer's own
        answer = tuple(Refused(None) for _ in range(count))
    _answered(self, partition, batch, answer)  # type: ignore[arg-type]


_answered = Writer._answered


def _shown_before_decided(self: Writer, partition: Partition, batch: object) -> None:
    self._learned([row.new for row, _ in batch.rows])  # type: ignore[attr-defined]  # a batch of the writer's own
    _send(self, partition, batch)  # type: ignore[arg-type]


def _skips(self: FleetMap, delta: Delta) -> None:
    _apply(self, replace(delta, base=self.revision))


def _whatever_comes(
    self: FleetMap, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
) -> None:
    self.revision, self.overrides = revision, dict(overrides)
    self.shards = {assignment.shard: assignment for assignment in assignments}


def _every_other(self: MapSource, delta: Delta) -> None:
    if delta.revision.n % 2:
        _stepped(self, delta)


_stepped = MapSource.stepped


def _never_off_the_ledger(self: Catalog, old: Assignment | None, new: Assignment, at_ms: int) -> None:
    exposed = dict(self.solo_since_ms)
    _reindex(self, old, new, at_ms)
    self.solo_since_ms.update(exposed)


def _fleet_read_of_any_term(self: Reader, answer: ReadAnswer) -> None:
    if not isinstance(answer, Unknown):
        answer = {**answer, FLEET: replace(answer[FLEET], term=self.term)}
    _fleet_read(self, answer)


_fleet_read = Reader._fleet_read


def _beside_the_primary(self: SimplePlacement, assignment: Assignment, room: Room) -> NodeId | None:
    primary = assignment.primary.node
    nodes = room.loads.topology.nodes_in(dc_of(primary))
    return next((n.id for n in nodes if n.id != primary and n.id in room.well), None)


def _in_another_geography(self: SimplePlacement, assignment: Assignment, room: Room) -> NodeId | None:
    topology = room.loads.topology
    home = topology.geography_of_shard(assignment.shard).id
    away = [n.id for dc in topology.data_centers if dc.geography != home for n in topology.nodes_in(dc.id)]
    return next((node for node in away if node in room.well), None)


VAGUE = fleet.scripted(
    "a data center, and a store of vague answers",
    (7.0, VagueStore(0.4, 8.0)),
    (8.0, LoseDc(WAW, 8.0, silently=False)),
    trouble_s=20.0,
    setting=fleet.small(),
)
NOBODY_LOST = fleet.Never("verdict.reached", FleetLaw.VERDICT)
ONE_LOST = ((8.0, LoseDc(BER, 8.0, silently=False)),)

MUTANTS = (
    Mutant(
        "brake not counted",
        "nothing stops a second evacuation of a geography",
        FleetLaw.BRAKE,
        fleet.scripted(
            "two data centers, one after the other",
            (8.0, LoseDc(WAW, 6.0, silently=False)),
            (22.0, LoseDc(FRA, 6.0, silently=False)),
            trouble_s=32.0,
            setting=fleet.small(),
        ),
        3,
        swaps=(Swap(brake, "braked", lambda *_, **__: None),),
    ),
    Mutant(
        "evacuation not recorded before the first move",
        "a rescue promotes while its record is still on its way",
        FleetLaw.C9,
        VAGUE,
        10,
        swaps=(Swap(Guard, "_enlist", _recorded_already),),
    ),
    Mutant(
        "evacuation forgotten by a new leader",
        "a leader does not go on with what the one before began",
        FleetLaw.C9,
        fleet.scripted(
            "a data center, then every leader",
            (8.0, LoseDc(WAW, 6.0, silently=False)),
            (10.0, Crash("ber1-cp", 1.0)),
            (11.5, Crash("ams1-cp", 1.0)),
            (12.5, Crash("fra1-cp", 1.0)),
            trouble_s=34.0,
            setting=fleet.small(),
        ),
        3,
        swaps=(Swap(Guard, "take_over", lambda _: None),),
    ),
    Mutant(
        "prepare not asked",
        "a standby is promoted whether it could take over or not",
        FleetLaw.LIVENESS,
        fleet.scripted(
            "a node, while its partner's disk is replaced",
            (8.0, Crash("ber1-c1", 8.0)),
            (8.02, LoseDisk(NodeId("ams1-c1"), 0.06)),
            trouble_s=18.0,
            setting=fleet.small(),
        ),
        5,
        swaps=(Swap(Rescue, "_ready", lambda self, victim, now: victim.shard not in self._in_flight),),
    ),
    Mutant(
        "term not raised",
        "a follower leads without having raised the store's term",
        FleetLaw.C7,
        fleet.CHANCE,
        3,
        swaps=(
            Swap(ControlPlaneDriver, "_stand", _stand_without_asking),
            Swap(Reader, "_fleet_read", _fleet_read_of_any_term),
        ),
    ),
    Mutant(
        "one term for two leaders",
        "the store lets a term be raised that was raised before",
        FleetLaw.C7,
        fleet.CHANCE,
        20,
        swaps=(Swap(Vault, "raise_term", _raise_any),),
    ),
    Mutant(
        "write of an older term",
        "the store does not look at the term of a write",
        FleetLaw.C7,
        fleet.scripted(
            "a leader cut off from the other control planes, and a data center",
            (8.0, Cut("ber1-cp", "ams1-cp", 8.0, both_ways=True)),
            (8.0, Cut("ber1-cp", "fra1-cp", 8.0, both_ways=True)),
            (8.4, LoseDc(WAW, 4.0, silently=False)),
            trouble_s=20.0,
            setting=fleet.small(),
        ),
        5,
        swaps=(Swap(memory_store, "outdated", lambda *_: None),),
    ),
    Mutant(
        "map shows what is not decided",
        "a leader publishes a record when it asks for it",
        FleetLaw.C8,
        fleet.scripted(
            "a data center, and a store that answers late",
            (7.0, SlowStore(0.2, 8.0)),
            *ONE_LOST,
            trouble_s=18.0,
            setting=fleet.small(pause_s=8.0),
        ),
        10,
        swaps=(Swap(Writer, "_send", _shown_before_decided),),
    ),
    Mutant(
        "watch that skips a revision",
        "a feed leaves out every other step, and a map takes a step that does not start where it stands",
        FleetLaw.C8,
        fleet.scripted(
            "roles that change all the time",
            *((8.0 + 0.2 * n, Switchover(ShardId(n % 4))) for n in range(24)),
            trouble_s=16.0,
            setting=fleet.small(),
        ),
        5,
        swaps=(Swap(FleetMap, "apply", _skips), Swap(MapSource, "stepped", _every_other)),
    ),
    Mutant(
        "bad map accepted",
        "a map takes a snapshot that is older than what it holds",
        FleetLaw.C8,
        fleet.scripted(
            "roles change, and in the end only a control plane lives that was cut off from the leader",
            *((8.0, Cut("fra1-cp", other, 5.0, both_ways=True)) for other in ("ber1-cp", "ams1-cp")),
            *((8.5 + 0.4 * n, Switchover(ShardId(n % 4))) for n in range(6)),
            *((11.5, Crash(plane, 6.0)) for plane in ("ber1-cp", "ams1-cp")),
            trouble_s=20.0,
            setting=fleet.small(),
        ),
        5,
        swaps=(Swap(FleetMap, "replace_all", _whatever_comes),),
    ),
    Mutant(
        "unknown CAS taken for no",
        "a leader that hears nothing of the store takes a write for refused",
        FleetLaw.LIVENESS,
        VAGUE,
        10,
        swaps=(Swap(Writer, "_answered", _unknown_is_no),),
    ),
    Mutant(
        "exposure forgotten",
        "a shard that has two copies again stays in the exposure ledger",
        FleetLaw.EXPOSURE,
        fleet.scripted("a data center", *ONE_LOST, trouble_s=18.0, setting=fleet.small()),
        3,
        swaps=(Swap(Catalog, "_reindex", _never_off_the_ledger),),
    ),
    Mutant(
        "hold-down ignored",
        "what came back is given primaries at once",
        FleetLaw.HOLD_DOWN,
        fleet.scripted("a data center", *ONE_LOST, trouble_s=32.0, setting=fleet.small()),
        3,
        swaps=(Swap(Shelf, "held_down", lambda *_: frozenset()),),
    ),
    Mutant(
        "verdict by one observer",
        "whoever misses a node is enough, whatever others see",
        FleetLaw.VERDICT,
        fleet.scripted(
            "the leader and a standby do not hear a node that all others hear",
            (8.0, Cut("ber1-cp", "waw1-c1", 6.0, both_ways=True)),
            (8.0, Cut("ber1-c1", "waw1-c1", 6.0, both_ways=True)),
            trouble_s=18.0,
            setting=fleet.small(),
            never=NOBODY_LOST,
        ),
        3,
        swaps=(Swap(Verdicts, "_quorum", lambda self, missing, **_: bool(missing)),),
    ),
    Mutant(
        "verdict without qualified observers",
        "an observer that reaches hardly anybody has a vote",
        FleetLaw.VERDICT,
        fleet.scripted(
            "two observers that reach nobody but the leader, which does not hear the accused",
            *(
                (8.0, Cut(a, b, 6.0, both_ways=True))
                for a, b in (
                    ("ber1-cp", "waw1-c1"),
                    ("ber1-c1", "waw1-c1"),
                    ("ber1-c1", "fra1-c1"),
                    ("ber1-c1", "ams1-c1"),
                    ("ber1-c1", "ams1-cp"),
                    ("ber1-c1", "fra1-cp"),
                    ("ams1-c1", "waw1-c1"),
                    ("ams1-c1", "fra1-c1"),
                    ("ams1-c1", "ams1-cp"),
                    ("ams1-c1", "fra1-cp"),
                )
            ),
            trouble_s=18.0,
            setting=fleet.small(),
            never=NOBODY_LOST,
        ),
        3,
        swaps=(Swap(Verdicts, "_reaches_most", lambda *_: True),),
    ),
    Mutant(
        "re-protection into the same data center",
        "the second copy is wanted beside the first",
        FleetLaw.TWO_DATA_CENTERS,
        fleet.scripted(
            "a data center of two nodes",
            (8.0, LoseDc(AMS, 6.0, silently=False)),
            trouble_s=16.0,
            setting=fleet.small(data_centers=(3,), nodes_per_dc=2),
        ),
        3,
        swaps=(Swap(SimplePlacement, "standby", _beside_the_primary),),
    ),
    Mutant(
        "re-protection into another geography",
        "the second copy is wanted wherever there is room",
        FleetLaw.GEOGRAPHY,
        fleet.scripted(
            "a data center of one of two geographies",
            (8.0, LoseDc(AMS, 6.0, silently=False)),
            trouble_s=16.0,
            setting=fleet.small(data_centers=(3, 2)),
        ),
        3,
        swaps=(Swap(SimplePlacement, "standby", _in_another_geography),),
    ),
)
