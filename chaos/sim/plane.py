"""One simulated control plane: the production driver over the in-memory store, on a simulated host."""

from collections.abc import Callable, Mapping, Sequence

from chaos.sim.network import Network
from chaos.sim.node import SimNode
from chaos.sim.time import Host
from control_plane.driver import ControlPlaneDriver
from control_plane.memory_store import MemoryLock, MemoryStore, Vault, Weather
from control_plane.views import (
    ConferView,
    PrepareResult,
    PrepareShard,
    TransferOrder,
    TransferResult,
    Unreached,
)
from core.errors import TwinholdError
from core.fleet_map import Delta
from core.names import ControlPlaneId, NodeId
from core.timers import Timers
from core.topology import Topology
from nodes import views as nv
from nodes.frames import Frame

CALL_S = 0.5
STORE_S = 0.5


class SimPlane:
    """A control plane's machine."""

    def __init__(
        self,
        plane: ControlPlaneId,
        host: Host,
        *,
        topology: Topology,
        timers: Timers,
        network: Network[Frame],
        vault: Vault,
        weather: Weather,
        nodes: Mapping[NodeId, SimNode],
        planes: Mapping[ControlPlaneId, "SimPlane"],
    ) -> None:
        self.plane, self.host = plane, host
        self._topology, self._timers, self._network = topology, timers, network
        self._vault, self._weather, self._nodes, self._planes = vault, weather, nodes, planes
        self.driver: ControlPlaneDriver | None = None
        self._last_turn = 0.0

    def start(self) -> None:
        """Begin a life of the process."""
        world = self.host.world
        driver = self.driver = ControlPlaneDriver(
            topology=self._topology,
            control_plane=self.plane,
            timers=self._timers,
            clock=self.host,
            rng=world.chance,
            store=MemoryStore(self._vault, self.plane, clock=self.host, weather=self._weather, deadline_s=STORE_S),
            lock=MemoryLock(self._vault, self.plane, clock=self.host, weather=self._weather, deadline_s=STORE_S),
            nodes=self,
            peers=self,
            tell=lambda event, facts: world.note(f"{self.plane} {event} {sorted(facts.items())}"),
        )
        driver.follow_map(self)
        self._last_turn = self.host.now()
        driver.start()
        self._tick()

    def crash(self) -> None:
        """End it."""
        self.driver = None
        self.host.crash()

    # The port Nodes.

    def prepare(
        self,
        node: NodeId,
        term: int,
        shards: Sequence[PrepareShard],
        done: Callable[[Sequence[PrepareResult] | Unreached], None],
    ) -> None:
        """Ask a node whether its copies could take over."""
        asked = [nv.PrepareShard(s.shard, s.base) for s in shards]

        def there(back: Callable[[Sequence[nv.PrepareResult] | None], None]) -> None:
            driver = self._nodes[node].driver
            try:
                back(None) if driver is None else driver.prepare(asked, term, back)
            except TwinholdError:
                back(None)

        def finish(results: Sequence[nv.PrepareResult] | None) -> None:
            done(
                Unreached(f"{node} did not answer")
                if results is None
                else [PrepareResult(r.shard, r.ready, r.refusal, r.last_lsn) for r in results]
            )

        self._network.call(self.plane, node, there, finish, deadline_s=CALL_S)

    def transfer(
        self,
        node: NodeId,
        term: int,
        orders: Sequence[TransferOrder],
        done: Callable[[Sequence[TransferResult] | Unreached], None],
    ) -> None:
        """Give a node orders."""
        asked = [nv.TransferOrder(o.shard, o.base, nv.Order[o.order.value], o.target, o.reason) for o in orders]

        def there(back: Callable[[Sequence[nv.TransferResult] | None], None]) -> None:
            driver = self._nodes[node].driver
            try:
                back(None if driver is None else driver.transfer(asked, term))
            except TwinholdError:
                back(None)

        def finish(results: Sequence[nv.TransferResult] | None) -> None:
            done(
                Unreached(f"{node} did not answer")
                if results is None
                else [TransferResult(r.shard, r.accepted, r.refusal) for r in results]
            )

        self._network.call(self.plane, node, there, finish, deadline_s=CALL_S)

    # The port Peers.

    def confer(self, peer: ControlPlaneId, beat: ConferView) -> None:
        """Send a heartbeat to another control plane."""
        other = self._planes[peer]

        def there(back: Callable[[ConferView | None], None]) -> None:
            back(None if other.driver is None else other.driver.confer(beat, first=False))

        def finish(answer: ConferView | None) -> None:
            if self.driver is None:
                return
            if answer is not None:
                self.driver.conferred(answer)
            elif not other.host.alive:
                self.driver.peer_down(peer, refused=True)

        self._network.call(self.plane, peer, there, finish, deadline_s=CALL_S)

    # The map's sink: to every node and follower.

    def replaced(self) -> None:
        """Send the whole map to everybody, if this control plane leads."""
        for node in self._nodes.values():
            self._send_snapshot(node)
        for plane in self._followers():
            self._send_snapshot_to_plane(plane)

    def stepped(self, delta: Delta) -> None:
        """Send a step of the map to everybody, if this control plane leads."""
        if not self._leads():
            return
        for node in self._nodes.values():
            self._send_step(node, delta)
        for plane in self._followers():
            self._send_step_to_plane(plane, delta)

    def _leads(self) -> bool:
        return self.driver is not None and self.driver.leader().leader == self.plane

    def _followers(self) -> list["SimPlane"]:
        return [plane for plane in self._planes.values() if plane is not self] if self._leads() else []

    def _send_snapshot(self, node: SimNode) -> None:
        driver = self.driver
        if driver is None or not self._leads():
            return
        known = driver.fleet_map
        revision, held, overrides = known.revision, list(known.shards.values()), dict(known.overrides)

        def there(back: Callable[[bool], None]) -> None:
            back(node.driver is not None and node.map_replaced(revision, held, overrides))

        self._network.call(self.plane, node.node, there, lambda _: None, deadline_s=CALL_S)

    def _send_step(self, node: SimNode, delta: Delta) -> None:
        def finish(taken: bool | None) -> None:
            if not taken:
                self._send_snapshot(node)

        self._network.call(
            self.plane,
            node.node,
            lambda back: back(node.driver is not None and node.map_stepped(delta)),
            finish,
            deadline_s=CALL_S,
        )

    def _send_snapshot_to_plane(self, plane: "SimPlane") -> None:
        assert self.driver is not None, "only a living leader sends its map"
        known = self.driver.fleet_map
        revision, held, overrides = known.revision, list(known.shards.values()), dict(known.overrides)

        def there(back: Callable[[bool], None]) -> None:
            if plane.driver is not None and held and revision > plane.driver.fleet_map.revision:
                plane.driver.map_replaced(revision, held, overrides)
            back(True)

        self._network.call(self.plane, plane.plane, there, lambda _: None, deadline_s=CALL_S)

    def _send_step_to_plane(self, plane: "SimPlane", delta: Delta) -> None:
        def there(back: Callable[[bool], None]) -> None:
            try:
                if plane.driver is not None:
                    plane.driver.map_stepped(delta)
                back(True)
            except TwinholdError:
                back(False)

        def finish(taken: bool | None) -> None:
            if not taken and self._leads():
                self._send_snapshot_to_plane(plane)

        self._network.call(self.plane, plane.plane, there, finish, deadline_s=CALL_S)

    def _tick(self) -> None:
        """Compare the clock between turns; a control plane that leads tells its map again to whoever lags."""
        self.host.call_at(self.host.now() + self._timers.leader_heartbeat_s, self._tick)
        now, last = self.host.now(), self._last_turn
        self._last_turn = now
        if self.driver is not None and now - last > self._timers.leader_heartbeat_s + self._timers.jump_s:
            self.driver.jumped(now - last)
