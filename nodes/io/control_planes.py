"""What a node knows of the control planes: how to reach each, how far away it is, and who leads."""

import asyncio

from grpc import aio

from core.io.delay import trip_s
from core.io.dial import channel
from core.io.json_log import tell
from core.names import ControlPlaneId, NodeId
from core.topology import ControlPlane, Topology


class ControlPlanes:
    """One channel to each, opened when first needed; and the highest (term, leader) heard from any of them.

    Args:
        topology: where they are.
        node: this node, whose data center decides the distances.
    """

    def __init__(self, topology: Topology, node: NodeId) -> None:
        self.all: tuple[ControlPlane, ...] = topology.control_planes
        self.leader: ControlPlaneId | None = None
        self.term = 0
        here = topology.node(node).dc
        self._by_id = {one.id: one for one in self.all}
        self._trips = {one.id: trip_s(topology, here, one.dc) for one in self.all}
        self._lines: dict[ControlPlaneId, aio.Channel] = {}
        self._changed = asyncio.Event()

    def trip_s(self, control_plane: ControlPlaneId) -> float:
        """Say how many seconds one way takes."""
        return self._trips[control_plane]

    def line(self, control_plane: ControlPlaneId) -> aio.Channel:
        """Return the channel to one."""
        found = self._lines.get(control_plane)
        if found is None:
            endpoint = self._by_id[control_plane].endpoint
            found = self._lines[control_plane] = channel(endpoint)
        return found

    def heard(self, leader: str, term: int) -> None:
        """Take what a control plane says about who leads; an older term than one heard before means nothing."""
        if leader not in self._by_id or term < self.term:
            return
        known = ControlPlaneId(leader)
        if (term, known) != (self.term, self.leader):
            tell("leader.known", leader=leader, term=term)
            self.leader, self.term = known, term
            self._announce()

    def not_leading(self, control_plane: ControlPlaneId) -> None:
        """Note that one says of itself that it does not lead."""
        if self.leader == control_plane:
            self.leader = None
            self._announce()

    async def change(self) -> None:
        """Wait until somebody else is known to lead, or nobody."""
        await self._changed.wait()

    async def close(self) -> None:
        """Close all channels."""
        for line in self._lines.values():
            await line.close(None)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
