"""Snapshots: kept by every copy of its own state, and shipped to learners that have nothing in common with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.names import NodeId
from nodes.frames import SnapshotAck, SnapshotPart
from nodes.pair_state import CopyState
from nodes.ports import DiskError
from nodes.records import Tip
from nodes.replay import Replay
from nodes.world import World

WINDOW_PARTS = 4
"""Parts sent ahead of their acknowledgements: 1 MiB at most."""
HELD_SNAPSHOTS = 4
"""Entries are held for the archive until there are so many times as many as a snapshot is kept for."""


@dataclass(slots=True)
class Shipment:
    """A snapshot on its way to one peer."""

    number: int
    tip: Tip
    parts: list[bytes]
    sent: int = 0
    acked: int = 0


class Shipping:
    """Sends the kept snapshot to peers, a few parts ahead; ``arrived`` is called when a peer has it all."""

    def __init__(self, world: World, state: CopyState, arrived: Callable[[NodeId, int, Tip], None]) -> None:
        self._world = world
        self._state = state
        self._arrived = arrived
        self._shipments: dict[NodeId, Shipment] = {}

    def ship(self, peer: NodeId, number: int) -> None:
        """Start; an older shipment to the same peer is forgotten.

        Raises:
            DamagedError: the kept snapshot does not match its checksum.
        """
        found = self._world.journal.load_snapshot(self._state.shard)
        if found is not None:
            self._shipments[peer] = Shipment(number, found[0], found[1] or [b""])
            self._go_on(peer)

    def acked(self, peer: NodeId, m: SnapshotAck) -> None:
        """Count a part that arrived."""
        shipment = self._shipments.get(peer)
        if shipment is None or shipment.number != m.number:
            return
        shipment.acked = max(shipment.acked, m.index + 1)
        if shipment.acked == len(shipment.parts):
            del self._shipments[peer]
            self._arrived(peer, shipment.number, shipment.tip)
        else:
            self._go_on(peer)

    def _go_on(self, peer: NodeId) -> None:
        shipment = self._shipments[peer]
        while shipment.sent < min(len(shipment.parts), shipment.acked + WINDOW_PARTS):
            index = shipment.sent
            last = index + 1 == len(shipment.parts)
            body = shipment.parts[index]
            p = self._state
            part = SnapshotPart(p.shard, p.gen, shipment.number, shipment.tip, index, body, last)
            self._world.turn.send(peer, part, bulk=True)
            shipment.sent += 1


@dataclass(frozen=True, slots=True)
class Written:
    """A snapshot of the own state, not kept yet."""

    tip: Tip
    parts: list[bytes]
    written_bytes: int
    """Of the entries in it."""
    keep_at: float
    """Before this its entries stay: whoever serves archives them meanwhile; after a failover that is another copy."""


class Keeping:
    """Keeps a snapshot of a copy's own state now and then, so that the journal may let go of entries.

    The state is written as it is at the start, in slices, and kept when everything in it is committed. The next one is
    due when as much was written since as the last one holds: every entry then goes into two snapshots on average,
    however large the state becomes, and a start reads at most twice what it must.
    """

    def __init__(self, world: World, state: CopyState, replay: Replay, kept: Callable[[Tip], None]) -> None:
        self._world = world
        self._state = state
        self._replay = replay
        self._kept = kept
        self._busy = False
        self._written: Written | None = None
        self._kept_bytes = 0
        """Of the entries in the snapshot that was kept last."""

    def consider(self) -> None:
        """Start a snapshot if enough is committed beyond the last one, or keep the one that is written."""
        p = self._state
        if p.commit_lsn - p.floor.lsn < self._world.snapshot_entries or p.complaint or p.cutting:
            self._written = None
        elif self._written is not None:
            self._keep(self._written)
        elif not self._busy and self._replay.warm and self._grown:
            self._start()

    @property
    def _grown(self) -> bool:
        ledger = self._replay.ledger
        return ledger.written_bytes >= 2 * max(self._kept_bytes, ledger.loaded_bytes)

    def _start(self) -> None:
        tip = self._state.place(self._replay.ledger.applied_lsn)
        if tip is not None:
            self._busy = True
            ledger = self._replay.ledger
            keep_at = self._world.clock.now() + self._world.snapshot_hold_s
            written, source = Written(tip, [], ledger.written_bytes, keep_at), ledger.export()
            self._world.spawn.soon(lambda: self._step(written, source))

    def _step(self, written: Written, source: Iterator[bytes]) -> bool:
        part = next(source, None)
        if part is not None:
            written.parts.append(part)
            return True
        self._busy, self._written = False, written
        self.consider()
        return False

    def _keep(self, written: Written) -> None:
        p, tip = self._state, written.tip
        if p.commit_lsn < tip.lsn or self._busy or self._held(written):
            return
        self._written = None
        if p.place(tip.lsn) == tip:
            self._busy = True
            self._world.journal.save_snapshot(p.shard, tip, written.parts, lambda error: self._done(written, error))

    def _held(self, written: Written) -> bool:
        few = self._state.commit_lsn - self._state.floor.lsn < HELD_SNAPSHOTS * self._world.snapshot_entries
        return few and self._world.clock.now() < written.keep_at

    def _done(self, written: Written, error: DiskError | None) -> None:
        self._busy = False
        if error is None:
            self._kept_bytes = written.written_bytes
            self._kept(written.tip)
