"""What every adapter of Links keeps: order, at most once, up and down told, refused only when the peer is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import pytest

from chaos.sim.network import Network, Weather
from chaos.sim.time import Host, World, host
from core.gate import LoopbackPolicy
from core.io.clock import LoopClock
from core.io.serve import Server
from core.names import NodeId, ShardId
from core.timers import timers
from nodes.api.replication import handlers
from nodes.frames import Ack, Frame
from nodes.io.links import GrpcLinks
from nodes.io.replication_calls import SERVICE
from nodes.ports import Inbox
from nodes.records import Generation
from tests.fleets import small_fleet

FLEET = small_fleet(147)
AMS, FRA = NodeId("ams1-c1"), NodeId("fra1-c1")
PATIENCE_S = 10.0
GEN = Generation(1, 1, 1)
BEHIND = 1000
"""How far a server's port lies behind the one at which its wire listens."""
IMPOSSIBLE = 666_666
"""A number that makes the driver fail."""


def other(node: NodeId) -> NodeId:
    return AMS if node == FRA else FRA


def numbered(number: int) -> Frame:
    return Frame((Ack(ShardId(1), GEN, number),))


@dataclass
class Seen:
    """What a node's driver was told."""

    numbers: list[int] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def message(self, peer: NodeId, frame: Frame) -> None:
        for message in frame.messages:
            assert isinstance(message, Ack), "the script sends acks"
            assert message.lsn != IMPOSSIBLE, "impossible"
            self.numbers.append(message.lsn)

    def link_up(self, peer: NodeId) -> None:
        self.changes.append("up")

    def link_down(self, peer: NodeId, refused: bool) -> None:
        self.changes.append("gone" if refused else "down")


class Pair(Protocol):
    """Two nodes and the streams between them."""

    seen: dict[NodeId, Seen]

    def send(self, source: NodeId, number: int, *, bulk: bool = False) -> None:
        """Send one frame to the other node."""
        ...

    def drop(self) -> None:
        """Break the streams; both processes live."""
        ...

    async def kill(self, node: NodeId) -> None:
        """End one node's process."""
        ...

    async def revive(self, node: NodeId) -> None:
        """Start it anew."""
        ...

    def cut(self, source: NodeId) -> None:
        """Let nothing that a node sends arrive any more, and tell nobody."""
        ...

    def mend(self) -> None:
        """Let everything through again."""
        ...

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass until something holds; fails when it does not in time."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...


class SimulatedPair:
    """The in-memory network on virtual time."""

    def __init__(self) -> None:
        self._world = World(seed=1)
        self._hosts: dict[str, Host] = {name: host(self._world, name, drift_ratio=0.0) for name in (AMS, FRA)}
        self._network = Network[Frame](self._world, self._hosts, Weather())
        self.seen = {node: Seen() for node in (AMS, FRA)}
        for node in (AMS, FRA):
            self._plug(node)

    def send(self, source: NodeId, number: int, *, bulk: bool = False) -> None:
        self._network.send(source, other(source), numbered(number), bulk=bulk)

    def drop(self) -> None:
        self._network.weather.break_ratio = 1.0
        self.send(AMS, 0)
        self._network.weather.break_ratio = 0.0

    async def kill(self, node: NodeId) -> None:
        self._hosts[node].crash()
        self._network.gone(node)

    async def revive(self, node: NodeId) -> None:
        self._hosts[node].start()
        self._plug(node)

    def cut(self, source: NodeId) -> None:
        self._network.cuts.add((source, other(source)))

    def mend(self) -> None:
        self._network.mend()

    async def until(self, holds: Callable[[], bool]) -> None:
        end = self._world.now + PATIENCE_S
        while not holds():
            assert self._world.now < end, "it did not happen in time"
            self._world.run(self._world.now + 0.01)

    async def close(self) -> None:
        """Do nothing: virtual time has no leftovers."""

    def _plug(self, node: NodeId) -> None:
        self._network.plug(node, _Ended(self.seen[node]), (other(node),))


@dataclass
class _Ended:
    """An end of the simulated network, which names hosts by bare strings."""

    seen: Seen

    def message(self, peer: str, message: Frame, /) -> None:
        self.seen.message(NodeId(peer), message)

    def link_up(self, peer: str, /) -> None:
        self.seen.link_up(NodeId(peer))

    def link_down(self, peer: str, refused: bool, /) -> None:
        self.seen.link_down(NodeId(peer), refused)


class Wire:
    """The way to one node: hands on what is sent either way, unless a cut holds it up."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self.flows = {AMS: asyncio.Event(), FRA: asyncio.Event()}
        """By sender: set while what it sends is let through."""
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        for flow in self.flows.values():
            flow.set()

    async def open(self) -> None:
        """Listen where the topology says, in the node's place."""
        there = FLEET.node(self._node)
        self._server = await asyncio.start_server(self._carry, there.host, there.port)

    async def close(self) -> None:
        assert self._server is not None, "open comes first"
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = FLEET.node(self._node)
        try:
            onward, away = await asyncio.open_connection(there.host, there.port + BEHIND)
        except OSError:
            writer.transport.abort()
            return
        for source, ends in ((other(self._node), (reader, away)), (self._node, (onward, writer))):
            pump = asyncio.ensure_future(self._pump(source, *ends))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: NodeId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(65_536):
                await self.flows[source].wait()
                writer.write(some)
        except OSError:
            pass
        finally:
            writer.transport.abort()


class GrpcPair:
    """Two servers and their links, on real sockets, with a wire in between."""

    def __init__(self) -> None:
        self.seen = {node: Seen() for node in (AMS, FRA)}
        self._links: dict[NodeId, GrpcLinks] = {}
        self._servers: dict[NodeId, Server] = {}
        self._wires = {node: Wire(node) for node in (AMS, FRA)}

    async def start(self) -> None:
        for node in (AMS, FRA):
            await self.revive(node)

    async def revive(self, node: NodeId) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        links = GrpcLinks(FLEET, node, timers=timers("fast"), clock=clock, chance=Random(node))
        seen = self.seen[node]
        links.plug(Inbox(seen.message, seen.link_up, seen.link_down))
        there = FLEET.node(node)
        server = Server(there.host, there.port + BEHIND, LoopbackPolicy())
        server.server.add_generic_rpc_handlers((handlers(links),))
        await server.start([SERVICE])
        await self._wires[node].open()
        links.follow([other(node)])
        self._links[node], self._servers[node] = links, server

    def cut(self, source: NodeId) -> None:
        for wire in self._wires.values():
            wire.flows[source].clear()

    def mend(self) -> None:
        for wire in self._wires.values():
            for flow in wire.flows.values():
                flow.set()

    def send(self, source: NodeId, number: int, *, bulk: bool = False) -> None:
        self._links[source].send(other(source), numbered(number), bulk=bulk)

    def drop(self) -> None:
        self._links[AMS].drop(FRA)

    async def kill(self, node: NodeId) -> None:
        await self._wires[node].close()
        links, server = self._links.pop(node), self._servers.pop(node)
        await server.stop(0)
        await links.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        for node in list(self._links):
            await self.kill(node)


@pytest.fixture(params=["simulated", "grpc"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    made: Pair
    if request.param == "simulated":
        made = SimulatedPair()
    else:
        made = GrpcPair()
        await made.start()
    await made.until(lambda: made.seen[AMS].changes == made.seen[FRA].changes == ["up"])
    yield made
    await made.close()


@pytest.mark.parametrize("bulk", [False, True], ids=["main", "bulk"])
async def test_frames_arrive_once_and_in_order_both_ways(pair: Pair, bulk: bool) -> None:
    for number in range(1, 1001):
        pair.send(AMS, number, bulk=bulk)
        pair.send(FRA, 5000 + number, bulk=bulk)
    await pair.until(lambda: len(pair.seen[FRA].numbers) == len(pair.seen[AMS].numbers) == 1000)
    assert pair.seen[FRA].numbers == list(range(1, 1001))
    assert pair.seen[AMS].numbers == list(range(5001, 6001))


async def test_a_broken_stream_is_told_to_both_and_made_anew_without_repeating_anything(pair: Pair) -> None:
    for number in range(1, 101):
        pair.send(AMS, number)
    pair.drop()
    await pair.until(lambda: pair.seen[AMS].changes == pair.seen[FRA].changes == ["up", "down", "up"])
    for number in range(101, 201):
        pair.send(AMS, number)
    await pair.until(lambda: pair.seen[FRA].numbers[-1:] == [200])
    numbers = pair.seen[FRA].numbers
    assert numbers == sorted(set(numbers))
    assert numbers[-100:] == list(range(101, 201))


@pytest.mark.parametrize("lost", [AMS, FRA], ids=["the lower id", "the higher id"])
async def test_a_peer_whose_process_is_gone_is_told_as_refused(pair: Pair, lost: NodeId) -> None:
    left = FRA if lost == AMS else AMS
    await pair.kill(lost)
    await pair.until(lambda: len(pair.seen[left].changes) > 1)
    assert pair.seen[left].changes == ["up", "gone"]
    pair.send(left, 1)


@pytest.mark.parametrize("lost", [AMS, FRA], ids=["the lower id", "the higher id"])
async def test_a_peer_that_is_back_soon_is_told_down_before_it_is_told_up_again(pair: Pair, lost: NodeId) -> None:
    left = other(lost)
    for number in range(1, 51):
        pair.send(lost, number)
    await pair.kill(lost)
    await pair.revive(lost)
    await pair.until(lambda: all(seen.changes.count("up") == 2 for seen in pair.seen.values()))
    for number in range(101, 151):
        pair.send(lost, number)
    await pair.until(lambda: pair.seen[left].numbers[-1:] == [150])
    first, second, third = pair.seen[left].changes
    assert (first, third) == ("up", "up")
    assert second in ("down", "gone")
    before = pair.seen[left].numbers[:-50]
    assert before == list(range(1, len(before) + 1)), "nothing of the old life comes after the new one began"


@pytest.mark.parametrize("source", [AMS, FRA], ids=["from who opened the stream", "from who was called"])
async def test_what_a_cut_holds_up_comes_late_and_whole_or_the_stream_breaks(pair: Pair, source: NodeId) -> None:
    target, seen = other(source), pair.seen[other(source)]
    for number in range(1, 11):
        pair.send(source, number)
    await pair.until(lambda: len(seen.numbers) == 10)
    pair.cut(source)
    for number in range(11, 21):
        pair.send(source, number)
        pair.send(target, number)
    await pair.until(lambda: len(pair.seen[source].numbers) == 10)
    assert seen.numbers == list(range(1, 11))
    pair.mend()
    last = 20

    def sent_on() -> bool:
        nonlocal last
        last += 1
        pair.send(source, last)
        return seen.numbers[-1] > 20

    await pair.until(sent_on)
    held_up = [number for number in seen.numbers if 10 < number <= 20]
    if seen.changes == ["up"]:
        assert seen.numbers == list(range(1, len(seen.numbers) + 1)), "a stream that goes on has no gap"
    else:
        assert seen.changes == ["up", "down", "up"]
        assert held_up == list(range(11, 11 + len(held_up)))
    assert seen.numbers == sorted(set(seen.numbers))


@pytest.mark.parametrize("hearer", [AMS, FRA], ids=["who opened the stream", "who was called"])
async def test_a_driver_that_fails_costs_the_stream_and_is_told_once(
    hearer: NodeId, caplog: pytest.LogCaptureFixture
) -> None:
    pair = GrpcPair()
    await pair.start()
    await pair.until(lambda: pair.seen[AMS].changes == pair.seen[FRA].changes == ["up"])
    pair.send(AMS if hearer == FRA else FRA, IMPOSSIBLE)
    await pair.until(lambda: pair.seen[AMS].changes == pair.seen[FRA].changes == ["up", "down", "up"])
    pair.send(AMS, 1)
    pair.send(FRA, 2)
    await pair.until(lambda: (pair.seen[AMS].numbers, pair.seen[FRA].numbers) == ([2], [1]))
    await pair.close()
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == ["link.failed"]
