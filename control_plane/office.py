"""What every part of a leader works with, for one term; given up whole when the term ends."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.books import Book, Shelf
from control_plane.catalog import Catalog
from control_plane.movements import Movements
from control_plane.placement import Placement
from control_plane.ports import Doc, Nodes
from control_plane.roster import Roster
from control_plane.situation import Situation
from control_plane.verdicts import Known, Verdicts
from control_plane.writer import Answer, Writer
from core.names import ControlPlaneId, DcId, NodeId, ShardId
from core.ports import Clock
from core.timers import Timers
from core.topology import Topology


class Audit(Protocol):
    """Where lines of the audit journal go."""

    def __call__(
        self, type_: str, subject: str, *, acted: bool, reasons: Sequence[str], cause: str = "", actor: str = ""
    ) -> None:
        """Write a line; ``actor`` empty: this control plane."""
        ...


@dataclass(slots=True)
class Office:
    """One term of one leader."""

    me: ControlPlaneId
    term: int
    topology: Topology
    timers: Timers
    clock: Clock
    catalog: Catalog
    roster: Roster
    shelf: Shelf
    writer: Writer
    nodes: Nodes
    verdicts: Verdicts
    placement: Placement
    audit: Audit
    again: Callable[[], None]
    """Have everything looked at again soon."""
    movements: Movements = field(default_factory=Movements)
    frozen: str = ""
    """Not empty: nothing is written, and why (C10)."""
    over: bool = False
    """The term has ended: answers that still come in change nothing."""

    def well(self) -> frozenset[NodeId]:
        """Name the nodes that may be given something to do, and are not held lost."""
        now, lost_dcs, lost_nodes = self.clock.now(), self.shelf.lost_dcs(), self.shelf.lost_nodes()
        return frozenset(
            node.id
            for node in self.topology.nodes
            if node.dc not in lost_dcs and node.id not in lost_nodes and self.roster.well(node.id, now)
        )

    def lost_nodes(self) -> list[NodeId]:
        """List the nodes held lost, on their own or with their data center."""
        dcs, nodes = self.shelf.lost_dcs(), self.shelf.lost_nodes()
        return [node.id for node in self.topology.nodes if node.dc in dcs or node.id in nodes]

    def known(self) -> Known:
        """Say what the judge must know besides reports."""
        return Known(self.shelf.lost_dcs(), self.shelf.lost_nodes(), self.catalog.standbys_of)

    def barred(self, shard: ShardId | None) -> str:
        """Say why nothing may be written to a shard, or, for None, of the fleet's; empty: it may."""
        if self.frozen or shard not in self.shelf.frozen_shards():
            return self.frozen
        return f"shard {shard} was not rebuilt when the store was adopted: see `twinhold store status`"

    def situation(self) -> Situation:
        """Take one moment down for the planners."""
        now_ms = self.clock.wall_ms()
        return Situation(
            catalog=self.catalog,
            roster=self.roster,
            movements=self.movements,
            placement=self.placement,
            well=self.well(),
            lost_dcs=self.shelf.lost_dcs(),
            cordoned=self.shelf.cordoned(),
            frozen=self.shelf.frozen_shards(),
            held_down=self.shelf.held_down(now_ms),
            now=self.clock.now(),
            now_ms=now_ms,
        )

    def usable(self) -> Collection[DcId]:
        """Name the data centers that count as capacity: not lost, not cordoned."""
        away = self.shelf.lost_dcs() | self.shelf.cordoned()
        return [dc.id for dc in self.topology.data_centers if dc.id not in away]

    def save(self, book: Book, done: Callable[[Answer], None]) -> None:
        """Write a book in place of what the store holds of it."""
        self.file(self.shelf.next(book), done)

    def delete(self, book: Book, done: Callable[[Answer], None]) -> None:
        """Delete a book."""
        self.file(self.shelf.gone(book), done)

    def file(self, doc: Doc, done: Callable[[Answer], None]) -> None:
        """Write a doc; ``done`` is not called any more once the term is over."""
        self.writer.file(doc, lambda answer: None if self.over else done(answer))

    def at_ms(self, when: float) -> int:
        """Translate this host's clock into wall time."""
        return self.clock.wall_ms() - round((self.clock.now() - when) * 1000)

    def when(self, at_ms: int) -> float:
        """Translate wall time into this host's clock."""
        return self.clock.now() - (self.clock.wall_ms() - at_ms) / 1000
