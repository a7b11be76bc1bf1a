"""The servers of engines that a fleet has started itself: up together, each killed, frozen and started like a node."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import UnavailableError
from regions.io.cassandra_servers import CassandraServers
from regions.io.consul_servers import consul_server
from regions.io.fleet_file import Process, process_of
from regions.io.proc import State, seen
from regions.io.server_process import ServerProcess
from regions.servers import Server, Service

LOOK_S = 0.02
FOLDER = "servers"
"""Below the fleet's."""
CONSUL_DATACENTER = "twinhold"


class OwnServers:
    """A fleet's own servers; none is started before ``up``.

    Args:
        servers: which.
        folder: the fleet's; each has a folder below it.
    """

    def __init__(self, servers: Sequence[Server], folder: Path) -> None:
        self.all = tuple(servers)
        self._folder = folder
        self._processes: dict[str, ServerProcess] = {}
        self._cpu_s: dict[int, float] = {}
        """By pid, as last seen."""
        self._pids: dict[str, list[int]] = {server.name: [] for server in servers}

    async def up(self) -> None:
        """Start all of them, and wait until they are ready.

        Raises:
            UnavailableError: a program is not on this machine, or a server does not come up; ``end`` ends the others.
        """
        cassandra, consul = ([one for one in self.all if one.service is service] for service in Service)
        starts = []
        if cassandra:
            cluster = CassandraServers({one.site: one.host for one in cassandra}, self._folder / FOLDER)
            self._processes |= {one.name: cluster.servers[one.site] for one in cassandra}
            starts.append(cluster.start())
        if consul:
            peers = [one.host for one in consul]
            made = {one.name: self._consul(one, peers) for one in consul}
            self._processes |= made
            starts.append(_started(list(made.values())))
        await asyncio.gather(*starts)
        for name, process in self._processes.items():
            self._note(name, process)

    async def start(self, who: Sequence[Server]) -> None:
        """Start what is dead of these, and don't wait until it is ready.

        Raises:
            UnavailableError: one was killed, and is not gone after all this time.
        """
        for server in who:
            process = self._processes[server.name]
            if process.state is State.DEAD:
                await process.gone()
                process.launch()
                self._note(server.name, process)

    async def ready(self, who: Sequence[Server], *, timeout_s: float) -> None:
        """Wait until all of these answer.

        Raises:
            UnavailableError: one did not in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(self._processes[server.name].ready() for server in who))
        except TimeoutError as cause:
            names = ", ".join(server.name for server in who)
            raise UnavailableError(f"{names} did not answer within {timeout_s:g} s") from cause

    def signal(self, who: Sequence[Server], number: signal.Signals) -> None:
        """Kill or freeze these, without waiting: a Java machine takes its time to be gone."""
        for server in who:
            pid = self._processes[server.name].pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, number)

    def resume(self, who: Sequence[Server]) -> None:
        """Let these go on where they were frozen."""
        for server in who:
            self._processes[server.name].resume()

    async def reached(self, who: Sequence[Server], state: State) -> None:
        """Wait until all of these are in a state, or dead: nothing comes back from there by itself."""
        for server in who:
            while self._processes[server.name].state not in (state, State.DEAD):  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(LOOK_S)

    def states(self) -> Mapping[str, State]:
        """Say what each does, as the kernel sees it now."""
        return {name: process.state for name, process in self._processes.items()}

    def living(self) -> Mapping[str, Process]:
        """List every server that is there, frozen or not."""
        pids = {name: process.pid for name, process in self._processes.items()}
        return {name: process_of(pid) for name, pid in pids.items() if pid is not None}

    def cpu_s(self) -> Mapping[str, float]:
        """Say how much processor time each has used so far, those before a restart included."""
        for process in self._processes.values():
            if process.pid is not None and (found := seen(process.pid)) is not None:
                self._cpu_s[process.pid] = found.cpu_s
        return {name: sum(self._cpu_s.get(pid, 0.0) for pid in pids) for name, pids in self._pids.items()}

    async def end(self) -> None:
        """End all of them: what they hold is on disk, and they need no farewell."""
        for process in self._processes.values():
            process.kill()

    def _consul(self, server: Server, peers: Sequence[str]) -> ServerProcess:
        folder = self._folder / FOLDER / server.name
        return consul_server(server.name, server.host, folder, datacenter=CONSUL_DATACENTER, peers=peers)

    def _note(self, name: str, process: ServerProcess) -> None:
        pid = process.pid
        if pid is not None:
            self._pids[name].append(pid)


async def _started(processes: Sequence[ServerProcess]) -> None:
    """Start servers that become ready together only."""
    for process in processes:
        process.launch()
    for process in processes:
        await process.ready()
