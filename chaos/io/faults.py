"""Does faults to a fleet, proves them, and undoes them."""

import asyncio
from collections.abc import Callable, Mapping

from chaos.faults import Canary, Deed, Entry, ProcessState, Receipt, Sign, receipt
from chaos.io.journal import Journal, identified
from chaos.targets import ALL, Door, Scope, Target, Tongue, aimed, members
from core.errors import UnavailableError
from core.names import ControlPlaneId, DcId, NodeId, dc_of
from core.wire import endpoint_parts
from regions.io.fleet import Fleet
from regions.io.fleet import Target as Part
from regions.io.proc import State
from regions.servers import Servers

CANARY_S = 0.5
"""A living server greets at once; a frozen one never."""
READY_S = 20.0
SERVERS_READY_S = 90.0
"""Three Java machines at once, on a machine with a load on it."""
AGAIN_S = 0.1
"""Between two knocks at a process that was started and does not answer yet."""
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The client's preface and an empty SETTINGS frame; every gRPC server answers with its own."""
HELLO: Mapping[Tongue, bytes] = {
    Tongue.GRPC: HTTP2_HELLO,
    # An OPTIONS request of protocol version 4, without a body; any Cassandra says what it supports, before all log-in.
    Tongue.CQL: bytes((4, 0, 0, 0, 5, 0, 0, 0, 0)),
    Tongue.HTTP: b"GET / HTTP/1.0\r\n\r\n",
}
_STATES = {
    State.RUNNING: ProcessState.RUNNING,
    State.FROZEN: ProcessState.FROZEN,
    State.DEAD: ProcessState.DEAD,
}


async def knock(door: Door) -> Canary:
    """See what a client sees that knocks at a door: an answer, silence, or nobody."""
    host, port = endpoint_parts(door.endpoint)
    try:
        async with asyncio.timeout(CANARY_S):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Canary.SILENT
    except OSError:  # refused; or reset in between, by a process that dies at this very moment
        return Canary.REFUSED
    try:
        writer.write(HELLO[door.tongue])
        async with asyncio.timeout(CANARY_S):
            return Canary.ANSWERED if await reader.read(1) else Canary.REFUSED
    except TimeoutError:
        return Canary.SILENT
    except OSError:
        return Canary.REFUSED
    finally:
        writer.close()


async def knock_until_answered(door: Door, *, within_s: float) -> Canary:
    """Knock again and again at a process that was started: catching up with its fleet may keep it busy for a moment."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while True:
        seen = await knock(door)
        if seen is Canary.ANSWERED or loop.time() >= until:
            return seen
        await asyncio.sleep(AGAIN_S)


class Injector:
    """Acts on one fleet; everything it stops stays stopped until it is undone.

    Args:
        fleet: what is hurt.
        journal: where it is noted before it is done.
        clock_s: seconds after the load began.
    """

    def __init__(self, fleet: Fleet, journal: Journal, clock_s: Callable[[], float]) -> None:
        self._fleet = fleet
        self._journal = journal
        self._clock_s = clock_s
        self._doors: dict[int, Mapping[str, Door]] = {}
        """By entry, the processes that it is done to, and where each is knocked at."""
        self._acts: dict[int, list[asyncio.Future[None]]] = {}
        """By entry, what is still under way."""

    async def inject(self, name: str, deed: Deed, target: Target) -> Entry:
        """Note a fault, then do it; ``at_s`` of the entry is the moment just before it is done."""
        entry = self.note(name, deed, target)
        acts = {part: asyncio.ensure_future(self._act(deed, part)) for part in self._parts(deed, target)}
        # Servers are struck now and waited for by the receipt: when a Java machine is gone it is too late for probes.
        self._acts[entry.number] = [act for part, act in acts.items() if isinstance(part, Servers)]
        await asyncio.gather(*(act for part, act in acts.items() if not isinstance(part, Servers)))
        entry.injected = True
        self._journal.write()
        return entry

    def note(self, name: str, deed: Deed, target: Target) -> Entry:
        """Note in the journal what is about to be done."""
        pids, number = self._fleet.pids, len(self._journal.entries) + 1
        wanted = self._doors[number] = self._wanted(deed, target)
        stopped = {process: pids[process] for process in wanted if process in pids} if deed.harms else {}
        entry = Entry(number, name, deed, str(target), self._clock_s(), identified(stopped))
        self._journal.entries.append(entry)
        self._journal.write()
        entry.at_s = self._clock_s()
        return entry

    async def effective(self, entry: Entry, target: Target) -> Receipt:
        """Take the receipt: what the kernel says of each process, and what a client sees of it."""
        wanted = self._doors[entry.number]
        await asyncio.gather(*self._acts.pop(entry.number, []))
        if entry.deed is Deed.RESTART:
            await self._ready(target)
            knocks = [knock_until_answered(door, within_s=READY_S) for door in wanted.values()]
        else:
            knocks = [knock(door) for door in wanted.values()]
        canaries = await asyncio.gather(*knocks)
        states = self._fleet.state()
        signs = [
            Sign(process, _STATES[states[process]], canary) for process, canary in zip(wanted, canaries, strict=True)
        ]
        found = receipt(entry.deed, signs)
        entry.effective, entry.evidence = found.effective, list(found.evidence)
        self._journal.write()
        return found

    async def revert(self, entry: Entry, target: Target) -> None:
        """Undo a fault: let go on what was frozen, start what was killed."""
        match entry.deed:
            case Deed.PAUSE:
                await asyncio.gather(*(self._fleet.resume(part) for part in self._parts(entry.deed, target)))
            case Deed.KILL:
                await asyncio.gather(*(self._fleet.start(part) for part in self._parts(Deed.RESTART, target)))
            case Deed.RESTART | Deed.DRAIN:
                pass
        self.reverted(entry)

    def reverted(self, entry: Entry) -> None:
        """Note that a fault is over."""
        entry.reverted_at_s = self._clock_s()
        self._journal.write()

    async def _act(self, deed: Deed, part: Part) -> None:
        match deed:
            case Deed.KILL:
                await self._fleet.kill(part)
            case Deed.PAUSE:
                await self._fleet.pause(part)
            case Deed.RESTART:
                await self._fleet.start(part)
            case Deed.DRAIN:
                raise AssertionError("a drain is asked of the control plane, not done to processes")

    def _wanted(self, deed: Deed, target: Target) -> Mapping[str, Door]:
        found = members(self._fleet.topology, target, self._fleet.servers)
        if deed is Deed.RESTART and target.scope is Scope.CONTROL_PLANE and target.id == ALL:
            return {process: door for process, door in found.items() if self._dc_lives(process)}
        return found

    def _parts(self, deed: Deed, target: Target) -> list[Part]:
        match target.scope:
            case Scope.DATA_CENTER:
                return [DcId(target.id), *self._servers_in(target)]
            case Scope.NODE:
                return [NodeId(target.id)]
            case Scope.CONTROL_PLANE:
                return [ControlPlaneId(process) for process in self._wanted(deed, target)]
            case Scope.CASSANDRA | Scope.CONSUL:
                return [aimed(target)]

    def _servers_in(self, target: Target) -> list[Servers]:
        found = [server for server in self._fleet.servers if target.servers and server.site == target.id]
        return [Servers(server.service, server.site) for server in found]

    def _dc_lives(self, control_plane: str) -> bool:
        dc = dc_of(ControlPlaneId(control_plane))
        states = self._fleet.state()
        return any(states[node.id] is State.RUNNING for node in self._fleet.topology.nodes_in(dc))

    async def _ready(self, target: Target) -> None:
        """Wait until what was started serves; what does not, the receipt will show."""
        for part in self._parts(Deed.RESTART, target):
            try:
                timeout_s = SERVERS_READY_S if isinstance(part, Servers) else READY_S
                await self._fleet.wait_ready(part, timeout_s=timeout_s)
            except UnavailableError:
                return
