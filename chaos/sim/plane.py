"""One simulated control plane: the production driver over the in-memory store, on a simulated host."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from chaos.sim.maps import AGE_EVERY_S, MapFollower, MapSource, Send
from chaos.sim.messages import (
    Age,
    Confer,
    Conferred,
    Led,
    Register,
    Report,
    SimMessage,
    Step,
    Unwatch,
    Watch,
    Whole,
)
from chaos.sim.network import Network
from chaos.sim.node import SimNode
from chaos.sim.time import Host
from chaos.sim.watched import WatchedStore, WatchedVault
from control_plane.driver import ControlPlaneDriver
from control_plane.io.node_wire import report_from_pb
from control_plane.memory_store import MemoryLock, Weather
from control_plane.views import ConferView, LeaderView, Unreached
from core.errors import TwinholdError
from core.fleet_map import Revision
from core.names import ControlPlaneId, NodeId
from core.orders import PrepareResult, PrepareShard, TransferOrder, TransferResult
from core.timers import Timers
from core.topology import Topology
from core.wire import report_brings_news
from twinhold.v1 import node_service_pb2 as pb

CALL_S = 0.5
STORE_S = 0.5
QUIET_PROBES = 2.6
"""Reports without news are answered so often, in probe intervals."""


@dataclass(slots=True)
class _Stream:
    """One node's reports, and what it was told last."""

    fresh: bool = True
    """Nothing has been heard on it."""
    leader: LeaderView | None = None
    revision: Revision | None = None
    told_at: float = 0.0


class SimPlane:
    """A control plane's machine."""

    def __init__(
        self,
        plane: ControlPlaneId,
        host: Host,
        *,
        topology: Topology,
        timers: Timers,
        network: Network[SimMessage],
        vault: WatchedVault,
        weather: Weather,
        nodes: Mapping[NodeId, SimNode],
    ) -> None:
        self.plane, self.host = plane, host
        self._topology, self._timers, self._network = topology, timers, network
        self._vault, self._weather, self._nodes = vault, weather, nodes
        self._send: Send = partial(network.send, plane)
        self.driver: ControlPlaneDriver | None = None
        self._peers = [other.id for other in topology.control_planes if other.id != plane]
        host.die = self.crash

    def start(self) -> None:
        """Begin a life of the process."""
        world = self.host.world
        driver = self.driver = ControlPlaneDriver(
            topology=self._topology,
            control_plane=self.plane,
            timers=self._timers,
            clock=self.host,
            rng=world.chance,
            store=WatchedStore(self._vault, self.plane, clock=self.host, weather=self._weather, deadline_s=STORE_S),
            lock=MemoryLock(self._vault, self.plane, clock=self.host, weather=self._weather, deadline_s=STORE_S),
            nodes=self,
            peers=self,
            tell=self._noted,
        )
        self._streams: dict[NodeId, _Stream] = {}
        self._fresh: set[ControlPlaneId] = set()
        """Peers to which a stream stands on which no heartbeat has come yet."""
        self._up: set[ControlPlaneId] = set()
        self._told = Led(driver.leader())
        self._unsaid: dict[ControlPlaneId, ConferView] = {}
        """The last heartbeat that found no stream; the next one begins with it."""
        self._source = MapSource(driver.fleet_map, self._send)
        self._relay = MapFollower(driver, self._send, self.host.now)
        driver.follow_map(self._source)
        driver.follow_leader(self._led)
        self.host.woke = driver.jumped
        driver.start()
        self._network.plug(self.plane, self, [*self._peers, *self._nodes])
        self._tell_age()

    def crash(self) -> None:
        """End it."""
        self.driver = None
        self.host.crash()
        self._network.gone(self.plane)

    # The network's end of the streams.

    def message(self, peer: str, message: SimMessage) -> None:
        """Take what comes on a stream."""
        driver = self._living()
        match message:
            case Report():
                self._reported(NodeId(peer), message.message)
            case Confer():
                self._conferred(ControlPlaneId(peer), message.view)
            case Conferred(view):
                driver.conferred(view)
            case Register(view):
                driver.registered(view)
                self._tell(NodeId(peer))
            case Watch(since):
                self._source.watch(peer, since)
            case Unwatch():
                self._source.forget(peer)
            case Whole() | Step() | Age():
                self._relay.take(peer, message)
            case _:
                raise AssertionError(f"{peer} says to a control plane {message}")

    def link_up(self, peer: str) -> None:
        """Learn that a stream is open."""
        if peer in self._nodes:
            self._streams[NodeId(peer)] = _Stream()
            return
        other = ControlPlaneId(peer)
        self._up.add(other)
        self._fresh.add(other)
        if other in self._unsaid:
            self._send(other, Confer(self._unsaid.pop(other)))
        if other == self._relay.source:
            self._relay.again()

    def link_down(self, peer: str, refused: bool) -> None:
        """Learn that one broke."""
        driver = self._living()
        self._source.forget(peer)
        if peer in self._nodes:
            if self._streams.pop(NodeId(peer), None) is not None:
                driver.report_broken(NodeId(peer))
        else:
            self._up.discard(ControlPlaneId(peer))
            driver.peer_down(ControlPlaneId(peer), refused)

    # The port Nodes.

    def prepare(
        self,
        node: NodeId,
        term: int,
        shards: Sequence[PrepareShard],
        done: Callable[[Sequence[PrepareResult] | Unreached], None],
    ) -> None:
        """Ask a node whether its copies could take over."""
        self.host.deed()

        def there(back: Callable[[Sequence[PrepareResult] | None], None]) -> None:
            driver = self._nodes[node].driver
            try:
                back(None) if driver is None else driver.prepare(shards, term, back)
            except TwinholdError:
                back(None)

        def finish(results: Sequence[PrepareResult] | None) -> None:
            done(Unreached(f"{node} did not answer") if results is None else results)

        self._network.call(self.plane, node, there, finish, deadline_s=CALL_S)

    def transfer(
        self,
        node: NodeId,
        term: int,
        orders: Sequence[TransferOrder],
        done: Callable[[Sequence[TransferResult] | Unreached], None],
    ) -> None:
        """Give a node orders."""
        self.host.deed()
        self._vault.witness.decisions.ordered(self.plane, orders, self.host.wall_ms())

        def there(back: Callable[[Sequence[TransferResult] | None], None]) -> None:
            driver = self._nodes[node].driver
            try:
                back(None if driver is None else driver.transfer(orders, term))
            except TwinholdError:
                back(None)

        def finish(results: Sequence[TransferResult] | None) -> None:
            done(Unreached(f"{node} did not answer") if results is None else results)

        self._network.call(self.plane, node, there, finish, deadline_s=CALL_S)

    # The port Peers.

    def confer(self, peer: ControlPlaneId, beat: ConferView) -> None:
        """Send a heartbeat to another control plane."""
        self.host.deed()
        if peer in self._up:
            self._send(peer, Confer(beat))
        else:
            self._unsaid[peer] = beat

    # Inside.

    def _noted(self, event: str, facts: Mapping[str, object]) -> None:
        self.host.world.note(f"{self.plane} {event} {sorted(facts.items())}")
        self._vault.witness.told(event, facts)

    def _living(self) -> ControlPlaneDriver:
        assert self.driver is not None, f"{self.plane} is called while it does not live"
        return self.driver

    def _conferred(self, peer: ControlPlaneId, view: ConferView) -> None:
        first = peer in self._fresh
        self._fresh.discard(peer)
        answer = self._living().confer(view, first=first)
        if answer is not None:
            self._send(peer, Conferred(answer))

    def _reported(self, node: NodeId, report: pb.ReportRequest) -> None:
        """Take a report; most bring nothing new, and of those not every one is answered."""
        driver, stream = self._living(), self._streams.get(node)
        if stream is None:
            return
        if stream.fresh or report_brings_news(report):
            stream.fresh = False
            leader = driver.reported(report_from_pb(report, self._topology.fleet))
        else:
            leader = driver.still(node, report.loop_lag_ms, trip_s=0.0)
        told = leader is stream.leader and driver.fleet_map.revision is stream.revision
        if not told or self.host.now() - stream.told_at >= QUIET_PROBES * self._timers.probe_s:
            self._tell(node)

    def _tell(self, node: NodeId) -> None:
        driver, stream = self._living(), self._streams.get(node)
        if stream is not None:
            stream.leader, stream.revision, stream.told_at = driver.leader(), driver.fleet_map.revision, self.host.now()
            if stream.leader is not self._told.leader:
                self._told = Led(stream.leader)
            self._send(node, self._told)

    def _led(self, now: LeaderView) -> None:
        """Keep the relay on whoever leads, and tell the nodes at once."""
        self._relay.follow(None if now.leader == self.plane else now.leader)
        for node in self._streams:
            self._tell(node)

    def _tell_age(self) -> None:
        self.host.call_at(self.host.now() + AGE_EVERY_S, self._tell_age)
        self._source.tell_age()
        if self._relay.silent():
            self._relay.again()
