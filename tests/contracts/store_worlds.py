"""The worlds in which an assignment store is put to the test: an adapter, and what can be done to it."""

import asyncio
import resource
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from control_plane.io.sqlite_store import DATABASE
from control_plane.io.store_client import StoreClient
from control_plane.memory_store import Fate, MemoryStore, Vault
from control_plane.ports import AssignmentStore, Partition
from control_plane.store_rules import StoreRules, nearest_majority_s
from core.io.clock import LoopClock
from core.io.dial import channel
from core.names import ControlPlaneId, DcId
from core.processes import StoreConfig
from core.topology import Topology, rtt_table_s
from tests.contracts.cutting_proxy import CuttingProxy
from tests.contracts.store_calls import PATIENCE_S
from tests.fleets import small_fleet
from tests.hosted_process import HostedProcess
from twinhold.v1 import store_service_pb2 as pb
from twinhold.v1 import store_service_pb2_grpc as pb_grpc

FLEET_ON_PAPER = small_fleet(144)
DEADLINE_S = 0.4
ALWAYS = 10**6
PROXY_HOST = "127.144.100.2"


class World(Protocol):
    """An adapter and what can be done to it."""

    notices_restore: bool
    """It finds out by itself that it was put back to a backup. Cassandra can't: nothing lies beside what was put back;
    leaders notice, by the copies' fences and by what is refused."""

    def store(self, caller: ControlPlaneId) -> AssignmentStore:
        """Give a control plane its way to the store."""
        ...

    async def set_living(self, *dcs: str) -> None:
        """Say which data centers live."""
        ...

    async def freeze(self) -> None:
        """Stop the store where it stands."""
        ...

    async def thaw(self) -> None:
        """Let it go on."""
        ...

    async def lose_answers(self) -> None:
        """Let what is asked be done, and nobody hear of it."""
        ...

    async def hear_again(self) -> None:
        """Let answers arrive again."""
        ...

    async def crash_and_restart(self) -> None:
        """Kill the store and start it again on what it kept."""
        ...

    async def keep(self) -> None:
        """Make a backup of what the store holds now."""
        ...

    async def put_back(self) -> None:
        """Put the backup in place of what the store holds."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...


class MemoryWorld:
    """The in-memory adapter."""

    notices_restore = True

    def __init__(self, topology: Topology) -> None:
        self._clock = LoopClock(asyncio.get_running_loop())
        self._vault = Vault(topology, self._clock)
        self._rules = StoreRules(topology)
        self._rtt_s = dict(rtt_table_s(topology))
        self._living = frozenset(dc.id for dc in topology.data_centers)
        self._frozen = self._deaf = False

    def store(self, caller: ControlPlaneId) -> MemoryStore:
        return MemoryStore(self._vault, caller, clock=self._clock, weather=self._weather, deadline_s=DEADLINE_S)

    async def set_living(self, *dcs: str) -> None:
        self._living = frozenset(DcId(dc) for dc in dcs)

    async def freeze(self) -> None:
        self._frozen = True

    async def thaw(self) -> None:
        self._frozen = False

    async def lose_answers(self) -> None:
        self._deaf = True

    async def hear_again(self) -> None:
        self._deaf = False

    async def crash_and_restart(self) -> None:
        """Do nothing: what voting sites hold is durable."""

    async def keep(self) -> None:
        self._kept = self._vault.backup()

    async def put_back(self) -> None:
        self._vault.restore(self._kept, noticed=True)

    async def close(self) -> None:
        """Do nothing."""

    def _weather(self, caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
        home = DcId(caller.removesuffix("-cp"))
        trips = [
            nearest_majority_s(home, self._rules.vote_sites(one), living=self._living, rtt_s=self._rtt_s)
            for one in partitions
        ]
        lost = self._frozen or None in trips
        return Fate(there_s=None) if lost else Fate(back_s=None if self._deaf else 0.0)


class ProcessWorld:
    """The embedded store as a process; its callers reach it through a proxy."""

    notices_restore = True

    def __init__(self, topology: Topology, data_dir: Path) -> None:
        self._topology = topology
        self._data_dir = data_dir / "store"
        self._data_dir.mkdir()
        self._kept = data_dir / "backup"
        self._process = HostedProcess("control_plane.io.store_process", topology.store_endpoint)
        self._proxied = replace(topology, store_host=PROXY_HOST)
        self._proxy = CuttingProxy((PROXY_HOST, topology.store_port), (topology.store_host, topology.store_port))
        self._clients: dict[ControlPlaneId, StoreClient] = {}

    async def start(self) -> None:
        await self._proxy.start()
        await self._started()

    async def _started(self) -> None:
        self._process.start(lambda life_fd: StoreConfig(self._topology, self._data_dir, life_fd))
        await self._process.ready()

    def store(self, caller: ControlPlaneId) -> StoreClient:
        return self._client(caller)

    async def set_living(self, *dcs: str) -> None:
        line = channel(self._topology.store_endpoint)
        stub = pb_grpc.StoreServiceStub(line)
        await stub.SetSites(pb.SetSitesRequest(fleet=self._topology.fleet, living=dcs), timeout=PATIENCE_S)
        await line.close(None)

    async def freeze(self) -> None:
        self._process.freeze()

    async def thaw(self) -> None:
        self._process.thaw()

    async def lose_answers(self) -> None:
        self._proxy.cuts = ALWAYS

    async def hear_again(self) -> None:
        self._proxy.cuts = 0

    async def crash_and_restart(self) -> None:
        self._process.kill()
        await self._started()

    async def keep(self) -> None:
        await self._stopped(lambda: shutil.copytree(self._data_dir, self._kept))

    async def put_back(self) -> None:
        await self.crash_and_restart()  # It notes how far it has come when it starts.

        def put() -> None:
            for name in (DATABASE, f"{DATABASE}-wal"):
                (self._data_dir / name).unlink(missing_ok=True)
                if (self._kept / name).exists():
                    shutil.copy(self._kept / name, self._data_dir)

        await self._stopped(put)

    async def _stopped(self, deed: Callable[[], object]) -> None:
        self._process.kill()
        deed()
        await self._started()

    def limit_files(self, most_bytes: int) -> None:
        """Let no file of the store grow beyond this, as a full disk would."""
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        await self._proxy.close()
        self._process.kill()

    def _client(self, caller: ControlPlaneId) -> StoreClient:
        if caller not in self._clients:
            self._clients[caller] = StoreClient(self._proxied, caller, deadline_s=DEADLINE_S)
        return self._clients[caller]
