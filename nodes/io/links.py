"""The port Links over gRPC: one stream per pair of nodes, snapshots on a channel of their own."""

from collections.abc import Iterable
from random import Random

from core.errors import NotFoundError
from core.io.clock import LoopClock
from core.io.delay import trip_s
from core.names import NodeId
from core.timers import Timers
from core.topology import Topology
from nodes.frames import Frame
from nodes.io.link import Link
from nodes.ports import Inbox

IDLE_S = 30.0
"""A stream that nobody needs ends after this."""


class GrpcLinks:
    """All streams of one node; made on the loop that it runs on.

    Args:
        topology: where the peers are, and how far away.
        node: this node.
        timers: how a peer that is gone is told.
        clock: this process's clock.
        chance: jitter.
    """

    def __init__(self, topology: Topology, node: NodeId, *, timers: Timers, clock: LoopClock, chance: Random) -> None:
        self._topology = topology
        self._here = topology.node(node)
        self._timers = timers
        self._clock = clock
        self._chance = chance
        self._inbox: Inbox[Frame] | None = None
        self._links: dict[NodeId, Link] = {}

    def plug(self, inbox: Inbox[Frame]) -> None:
        """Say where frames and link changes go; once, before anything else."""
        self._inbox = inbox

    def send(self, peer: NodeId, message: Frame, *, bulk: bool = False) -> None:
        """Send, or lose; a stream that is not there is opened for the next time."""
        (self._links.get(peer) or self.link(peer)).send(message, bulk=bulk)

    def follow(self, partners: Iterable[NodeId]) -> None:
        """Keep streams to these open, and end those to others once they are idle."""
        wanted = set(partners)
        for peer in sorted(wanted):
            self.link(peer).want()
        for peer, link in self._links.items():
            if peer not in wanted:
                link.spare(IDLE_S)

    def link(self, peer: NodeId) -> Link:
        """Find the way to a peer, whether a stream stands or not.

        Raises:
            NotFoundError: the topology has no such node, or it is this one.
        """
        found = self._links.get(peer)
        if found is None:
            if peer == self._here.id:
                raise NotFoundError("peer", peer, remedy="a node is not its own peer")
            found = self._links[peer] = self._made(peer)
        return found

    def drop(self, peer: NodeId) -> None:
        """End the stream to a peer; it is made anew."""
        self.link(peer).drop()

    async def close(self) -> None:
        """End all streams."""
        for link in self._links.values():
            await link.close()

    def _made(self, peer: NodeId) -> Link:
        assert self._inbox is not None, "plug comes first"
        there = self._topology.node(peer)
        return Link(
            here=self._here,
            peer=there,
            trip=trip_s(self._topology, self._here.dc, there.dc),
            timers=self._timers,
            clock=self._clock,
            chance=self._chance,
            inbox=self._inbox,
        )
