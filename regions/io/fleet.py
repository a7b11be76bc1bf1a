"""A whole fleet on this machine: up, down, and every data center, node and control plane killed, frozen, started.

Nothing restarts by itself: what was stopped stays so until somebody starts it.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from core.engines import EMBEDDED, Engines, Launcher
from core.errors import UnavailableError
from core.names import ControlPlaneId, DcId, NodeId
from core.timers import timers
from core.topology import Topology
from regions.fleet import Sites, chosen
from regions.io import fleet_file
from regions.io.engines import asked, hosted, started
from regions.io.fleet_file import Process
from regions.io.folder_lock import FolderLock
from regions.io.proc import State
from regions.io.processes import Processes
from regions.io.questions import Questions
from regions.io.servers import OwnServers
from regions.servers import Servers, chosen_servers, own_servers

UP_S: Mapping[Launcher, float] = {Launcher.PROCESSES: 60.0, Launcher.RAY: 180.0}
"""38 actors of Ray, each a fresh interpreter, cost two cores 80 s until the fleet is whole; forked processes 8 s."""
GRACE_S = 2.0
LOOK_S = 0.05
"""At files of our own."""
ASK_S = 0.25
"""At servers, which have better things to do while they start."""

Target: TypeAlias = DcId | NodeId | ControlPlaneId | Servers
"""A data center stands for every process in it, but not for the servers of engines."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fleet is on its way up."""

    ready: int
    processes: int
    leader: str
    shards_sync: int
    shards: int
    informed: int
    """Control planes whose map has every shard."""
    control_planes: int

    @property
    def whole(self) -> bool:
        """Say whether everything serves, one leads, every shard has two copies, and all control planes know where."""
        placed = self.shards_sync == self.shards and self.informed == self.control_planes
        return self.ready == self.processes and bool(self.leader) and placed

    def __str__(self) -> str:
        if self.ready < self.processes:
            return f"{self.ready} of {self.processes} processes ready"
        if not self.leader:
            return f"{self.processes} processes ready, waiting for a leader"
        return f"{self.leader} leads, {self.shards_sync} of {self.shards} shards in sync"


Tell: TypeAlias = Callable[[Progress | str], None]


def silent(progress: Progress | str) -> None:
    """Tell nobody."""


class Fleet:
    """A running fleet; ``up`` makes one, ``down`` ends it."""

    def __init__(
        self,
        topology: Topology,
        lock: FolderLock,
        described: str,
        profile: str,
        processes: Processes,
        servers: OwnServers,
    ) -> None:
        self.topology = topology
        self.folder = lock.folder
        self.servers = servers.all
        """Of engines, that this fleet has started itself."""
        self._lock = lock
        self.profile = profile
        self._described = described
        self._processes = processes
        self._own_servers = servers
        self._questions = Questions(topology)
        self._sites = Sites(topology, set())

    @classmethod
    async def up(
        cls,
        topology: Topology,
        folder: Path,
        *,
        profile: str,
        seed: int,
        engines: Engines = EMBEDDED,
        described: str = "",
        timeout_s: float | None = None,
        tell: Tell = silent,
    ) -> "Fleet":
        """Start a fleet and wait until it is whole: every process serves, one leads, every shard has two copies.

        Args:
            topology: the fleet on paper.
            folder: where it lives; what an earlier run left there is gone on with.
            profile: of the timers.
            seed: for everything that its processes leave to chance.
            engines: what it stands on; servers that nobody has named are started here, and end with it.
            described: what ``fleet.json`` says the topology was read from.
            timeout_s: for all of it, once the engines are there; None: as long as its launcher may need.
            tell: called with every step of progress.

        Raises:
            TwinholdError: it did not come up; one line says what stands in the way. Nothing is left behind.
            NotFoundError: there is no such profile.
        """
        timers(profile)
        async with AsyncExitStack() as undo:
            lock = FolderLock(folder)
            undo.callback(lock.release)
            await asked(topology, engines)
            host = await hosted(topology, engines, lock.folder)
            undo.push_async_callback(host.close)
            servers = OwnServers(own_servers(topology, engines), lock.folder)
            undo.push_async_callback(servers.end)
            ready = await started(topology, engines, servers, tell)
            processes = Processes(topology, lock.folder, profile=profile, seed=seed, host=host, engines=ready)
            fleet = cls(topology, lock, described, profile, processes, servers)
            undo.pop_all()
        try:
            await fleet._rise(UP_S[engines.launcher] if timeout_s is None else timeout_s, tell)
        except BaseException:
            # In a task of its own: in a cancelled one, the Pythons before 3.11.4 take a time-out for the cancellation.
            await asyncio.create_task(fleet.down())
            raise
        return fleet

    async def down(self) -> None:
        """End every process of the fleet; leaves no process and no port behind, and the data where it is."""
        try:
            await self._questions.close()
        finally:
            # Whoever interrupts a start may cut a question off, and must find nothing left all the same.
            await self._processes.host.end(grace_s=GRACE_S)
            fleet_file.remove(self.folder)
            await self._processes.host.close()
            await self._own_servers.end()
            self._lock.release()

    @property
    def pids(self) -> Mapping[str, int]:
        """Every living process: node and control plane ids, ``store``, and servers by name."""
        return {name: process.pid for name, process in self._living().items()}

    def state(self) -> Mapping[str, State]:
        """Say what every process does, as the kernel sees it now."""
        hosted = {member.name: self._processes.host.state(member.name) for member in self._processes.all}
        return {**hosted, **self._own_servers.states()}

    def cpu_s(self) -> Mapping[str, float]:
        """Say how much processor time every process has used so far, those before a restart included."""
        hosted = {member.name: self._processes.host.cpu_s(member.name) for member in self._processes.all}
        return {**hosted, **self._own_servers.cpu_s()}

    async def kill(self, target: Target) -> None:
        """End a data center, a node or a control plane without warning; returns when its processes are gone."""
        await self._strike(target, signal.SIGKILL, State.DEAD)

    async def pause(self, target: Target) -> None:
        """Freeze it; returns when no process of it runs."""
        await self._strike(target, signal.SIGSTOP, State.FROZEN)

    async def resume(self, target: Target) -> None:
        """Let it go on where it was frozen."""
        if isinstance(target, Servers):
            self._own_servers.resume(chosen_servers(self.servers, target))
            return
        await self._count(target, lives=True)
        frozen = self._processes.in_state(State.FROZEN, chosen(self.topology, target))
        names = [member.name for member in frozen]
        self._processes.host.signal(names, signal.SIGCONT)
        await self._processes.host.reached(State.RUNNING, names)

    async def start(self, target: Target) -> None:
        """Start what is dead of it, on the folders that it had; returns when the processes are there, not yet ready."""
        if isinstance(target, Servers):
            await self._own_servers.start(chosen_servers(self.servers, target))
        else:
            await self._count(target, lives=True)
            await self._processes.start(self._processes.in_state(State.DEAD, chosen(self.topology, target)))
        self._write_file()

    async def wait_ready(self, target: Target, *, timeout_s: float) -> None:
        """Wait until every process of it serves.

        Raises:
            UnavailableError: one ended, or did not serve in time.
        """
        if isinstance(target, Servers):
            await self._own_servers.ready(chosen_servers(self.servers, target), timeout_s=timeout_s)
            return
        wanted = chosen(self.topology, target)
        until = asyncio.get_running_loop().time() + timeout_s
        while late := self._processes.late(wanted):
            if asyncio.get_running_loop().time() > until:
                raise UnavailableError(
                    f"{late[0].name} did not serve within {timeout_s:g} s: {self._processes.last_words(late[0])}"
                )
            await asyncio.sleep(LOOK_S)

    async def _rise(self, timeout_s: float, tell: Tell) -> None:
        until = asyncio.get_running_loop().time() + timeout_s
        await self._processes.start(self._processes.all)
        self._write_file()
        told = None
        while not (progress := await self._progress()).whole:
            if progress != told:
                tell(progress)
                told = progress
            if asyncio.get_running_loop().time() > until:
                raise UnavailableError(f"the fleet was not whole after {timeout_s:g} s: {self._missing(progress)}")
            await asyncio.sleep(LOOK_S if progress.ready < progress.processes else ASK_S)
        tell(progress)

    async def _progress(self) -> Progress:
        everybody = self._processes.all
        late = self._processes.late(everybody)
        status = None if late else await self._questions.status()
        return Progress(
            ready=len(everybody) - len(late),
            processes=len(everybody),
            leader="" if status is None else status.leader,
            shards_sync=0 if status is None else status.shards_sync,
            shards=self.topology.shards,
            informed=0 if status is None else await self._questions.informed(),
            control_planes=len(self.topology.control_planes),
        )

    def _missing(self, progress: Progress) -> str:
        late = self._processes.late(self._processes.all)
        said = f"; {late[0].name} said last: {self._processes.last_words(late[0])}" if late else ""
        return f"{progress}{said}"

    async def _strike(self, target: Target, number: signal.Signals, state: State) -> None:
        if isinstance(target, Servers):
            servers = chosen_servers(self.servers, target)
            self._own_servers.signal(servers, number)
            await self._own_servers.reached(servers, state)
            self._write_file()
            return
        members = chosen(self.topology, target)
        dead = self._processes.in_state(State.DEAD, members)
        names = [member.name for member in members if member not in dead]
        self._processes.host.signal(names, number)
        await self._count(target, lives=False)
        await self._processes.host.reached(state, names)
        self._write_file()

    async def _count(self, target: DcId | NodeId | ControlPlaneId, *, lives: bool) -> None:
        """Keep the embedded store's vote sites in step with what was done to a data center."""
        if self._processes.embedded_store and any(dc.id == target for dc in self.topology.data_centers):
            self._sites.set(DcId(target), lives=lives)
            await self._questions.tell_sites(self._sites.living())

    def _living(self) -> Mapping[str, Process]:
        return {**self._processes.living(), **self._own_servers.living()}

    def _write_file(self) -> None:
        content = fleet_file.FleetFile(
            fleet=self.topology.fleet,
            topology=self._described,
            profile=self.profile,
            host=fleet_file.this_process(),
            endpoints=fleet_file.endpoints(self.topology, self.servers, embedded_store=self._processes.embedded_store),
            processes=self._living(),
        )
        fleet_file.write(self.folder, content)
