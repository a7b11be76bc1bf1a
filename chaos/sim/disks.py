"""What goes wrong with the disks of a simulated fleet, as long as another copy holds what was acknowledged."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos.sim.node import SimNode
from chaos.sim.time import World
from control_plane.memory_store import Vault
from core.assignments import Copy
from core.names import NodeId, ShardId
from nodes.memory_journal import Shelf
from nodes.records import Record


@dataclass(frozen=True, slots=True)
class _Flip:
    """A record of which a bit reads wrong: whose, and how it was."""

    node: NodeId
    record: Record


@dataclass(slots=True)
class DiskFaults:
    """Disks that are lost, and bits that read wrong.

    The last good copy of a shard is never harmed: what it held would be gone, and no fleet could bring it back.
    """

    world: World
    nodes: Mapping[NodeId, SimNode]
    vault: Vault
    _flips: dict[ShardId, _Flip] = field(default_factory=dict)
    """By shard: one copy at most is damaged."""

    def change(self, node: SimNode) -> None:
        """Put an empty disk into a machine that lost its own and does not run."""
        if node.disk_lost:
            node.disk_lost = False
            if all(self._spare(node.node, shard) for shard in node.disk.shelves):
                node.replace_disk()

    def flip(self, node: SimNode, share: float) -> None:
        """Let a bit of one of a node's records read wrong.

        Args:
            node: whose disk.
            share: 0: the first record; 1: the last one.
        """
        shelves = node.disk.shelves
        fit = [s for s in sorted(shelves) if shelves[s].records and s not in self._flips and self._spare(node.node, s)]
        if not fit:
            return
        shard = self.world.chance.choice(fit)
        records = shelves[shard].records
        record = records[int(share * (len(records) - 1))]
        self._flips[shard] = _Flip(node.node, record)
        node.disk.flip(shard, record.lsn)
        self.world.note(f"a bit of entry {record.lsn} of shard {shard} reads wrong on {node.node}")

    def restore(self, node: SimNode) -> bool:
        """Put right what reads wrong on a node's disk; says whether its process had noticed."""
        mine = {shard: flip for shard, flip in self._flips.items() if flip.node == node.node}
        for shard, flip in mine.items():
            del self._flips[shard]
            shelf = node.disk.shelves.get(shard, Shelf())
            shelf.records = [flip.record if one.hash == flip.record.hash else one for one in shelf.records]
        copies = () if node.driver is None else node.driver.copies()
        return any(view.complaint for view in copies if view.shard in mine)

    def _spare(self, node: NodeId, shard: ShardId) -> bool:
        """Say whether everything that was acknowledged is on another disk too, or on others only."""
        known = self.vault.read(None)
        record = next((a for state in known.values() for a in state.assignments if a.shard == shard), None)
        if record is None:
            return False
        others = [copy for copy in record.in_sync if copy.node != node]
        return len(others) == len(record.in_sync) or any(self._good(copy, shard) for copy in others)

    def _good(self, copy: Copy, shard: ShardId) -> bool:
        meta = self.nodes[copy.node].disk.shelves.get(shard, Shelf()).meta
        damaged = shard in self._flips and self._flips[shard].node == copy.node
        return meta is not None and meta.copy_id == copy.copy_id and not damaged
