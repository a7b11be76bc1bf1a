"""The processes of a fleet on a host: how each is started, whether it serves, and its last words if it does not."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.engines import Engines
from core.errors import UnavailableError
from core.io.hosted import READY
from core.names import ControlPlaneId, NodeId
from core.processes import ControlPlaneConfig, NodeConfig, StoreConfig
from core.sharding import rendezvous_score
from core.topology import Topology
from regions.fleet import Member, Part, members
from regions.io.fleet_file import Process
from regions.io.last_words import OUTPUT, last_words
from regions.io.proc import State
from regions.io.process_host import ProcessHost

ENTRIES: Mapping[Part, str] = {
    Part.STORE: "control_plane.io.store_process:main",
    Part.CONTROL_PLANE: "control_plane.io.process:main",
    Part.NODE: "nodes.io.process:main",
}
NODE_NICENESS = 5
"""Store and control planes would have machines of their own, where they never wait behind what nodes do."""
ADAPTERS = (
    "control_plane.io.cassandra_store",
    "nodes.io.cassandra_archive",
    "control_plane.io.consul_lock",
    "core.io.consul_discovery",
)


def modules(engines: Engines) -> tuple[str, ...]:
    """List what a forkserver imports before it forks: no adapter of an engine that was not chosen."""
    stored, found = engines.store is not None, engines.discovery is not None
    chosen = (stored, stored and not engines.archive_dir, found, found)
    adapters = tuple(adapter for adapter, is_chosen in zip(ADAPTERS, chosen, strict=True) if is_chosen)
    return (*(entry.partition(":")[0] for entry in ENTRIES.values()), *adapters)


class Processes:
    """One fleet's processes.

    Args:
        topology: the fleet on paper.
        folder: its own; every process has a folder below it.
        profile: of the timers.
        seed: every process gets a seed of its own, made from this one and its name.
        host: starts them.
        engines: what they stand on.
    """

    def __init__(
        self, topology: Topology, folder: Path, *, profile: str, seed: int, host: ProcessHost, engines: Engines
    ) -> None:
        self.host = host
        self.all = members(topology, engines)
        self.embedded_store = engines.store is None
        self._engines = engines
        self._topology = topology
        self._folder = folder
        self._profile = profile
        self._seed = seed

    async def start(self, who: Iterable[Member]) -> None:
        """Start processes that are dead, all at once, on the folders that they had.

        Raises:
            UnavailableError: one can't be started.
        """
        try:
            async with asyncio.TaskGroup() as births:
                for member in who:
                    births.create_task(self._start(member))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    def in_state(self, state: State, who: Iterable[Member]) -> list[Member]:
        """List those that are in a state now."""
        return [member for member in who if self.host.state(member.name) is state]

    def living(self) -> Mapping[str, Process]:
        """List every process that is there, frozen or not."""
        pids = {member.name: self.host.pid(member.name) for member in self.all}
        return {name: Process(pid, self.host.started_ticks(name)) for name, pid in pids.items() if pid is not None}

    def late(self, who: Iterable[Member]) -> list[Member]:
        """List those that do not serve yet.

        Raises:
            UnavailableError: one has ended; says its last words.
        """
        return [member for member in who if not self._serves(member)]

    def last_words(self, member: Member) -> str:
        """Find the line of a process that says best what went wrong."""
        return last_words(self._folder / member.folder)

    async def _start(self, member: Member) -> None:
        folder = self._folder / member.folder
        folder.mkdir(parents=True, exist_ok=True)
        await self.host.start(
            member.name,
            ENTRIES[member.part],
            self._config(member, folder),
            group=member.group,
            niceness=NODE_NICENESS if member.part is Part.NODE else 0,
            output=folder / OUTPUT,
        )

    def _serves(self, member: Member) -> bool:
        if self.host.state(member.name) is State.DEAD:
            raise UnavailableError(f"{member.name} ended while starting: {self.last_words(member)}")
        try:
            ready = (self._folder / member.folder / READY).read_text()
        except OSError:
            return False
        return ready.strip() == str(self.host.pid(member.name))  # one that was killed left its file behind

    def _config(self, member: Member, folder: Path) -> StoreConfig | ControlPlaneConfig | NodeConfig:
        life_fd, seed = self.host.life_fd, rendezvous_score(str(self._seed), member.name)
        topology, profile, engines = self._topology, self._profile, self._engines
        match member.part:
            case Part.STORE:
                return StoreConfig(topology, folder, life_fd)
            case Part.CONTROL_PLANE:
                return ControlPlaneConfig(
                    topology, ControlPlaneId(member.name), profile, folder, seed, life_fd, engines
                )
            case Part.NODE:
                return NodeConfig(topology, NodeId(member.name), profile, folder, seed, life_fd, engines)
