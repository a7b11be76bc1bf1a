"""Looks at the nodes of other data centers that rendezvous hashing gave this one: a Probe stream to each."""

import asyncio
from collections.abc import Mapping
from random import Random

from core.io.clock import LoopClock
from core.io.delay import trip_s
from core.io.dial import channel
from core.io.two_way import TwoWay
from core.names import NodeId
from core.timers import Timers
from core.topology import Node, Topology
from nodes.io.heartbeat import Watched
from nodes.observers import targets_of
from nodes.sighting import QUIET_BEATS, Sighting
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc


class Prober:
    """The probes of one node.

    Args:
        topology: who is where.
        node: this node.
        timers: how often, and how silence is judged.
        clock: this process's clock.
        chance: jitter.
    """

    def __init__(self, topology: Topology, node: NodeId, *, timers: Timers, clock: LoopClock, chance: Random) -> None:
        self._node = node
        self._interval_ms = round(QUIET_BEATS * timers.probe_s * 1000)
        here = topology.node(node).dc
        targets = [topology.node(target) for target in targets_of(node, topology)]
        self._targets = targets
        self._watched = {
            target.id: Watched(
                target.host,
                target.port,
                trip=trip_s(topology, here, target.dc),
                timers=timers,
                clock=clock,
                chance=chance,
            )
            for target in targets
        }
        self.sightings: Mapping[NodeId, Sighting] = {target: one.sighting for target, one in self._watched.items()}
        """What is seen of each target."""

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as looks:
            for target in self._targets:
                looks.create_task(self._look(target))

    async def _look(self, target: Node) -> None:
        watched = self._watched[target.id]
        line = channel(target.endpoint)
        stub = pb_grpc.NodeServiceStub(line)
        try:
            await watched.look(lambda: self._once(stub, watched))
        finally:
            await line.close(None)

    async def _once(self, stub: "pb_grpc.NodeServiceAsyncStub", watched: Watched) -> None:
        call = stub.Probe(None)
        try:
            await call.write(pb.ProbeRequest(observer=self._node, sequence=1, interval_ms=self._interval_ms))
            await TwoWay[pb.ProbeResponse, pb.ProbeRequest](call).hear(lambda _: watched.heard())
        finally:
            call.cancel()
