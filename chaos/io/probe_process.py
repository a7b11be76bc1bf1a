"""The process that probes: ``python -m chaos.io.probe_process``, started by the rehearsal.

Beside the load, with a client of its own, so that neither waits for the other's retries.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from itertools import count
from pathlib import Path

from chaos.history import Post
from chaos.io.chatter import Chatter, clock_ns
from chaos.io.child import Fields, serve, tell
from chaos.io.load_process import READY_S, audit, create_tenants
from chaos.io.recorder import Recorder
from chaos.probes import PROBE, PROBE_CHANNEL, PROBE_DEADLINE_S, SAMPLE_PERIOD_S, probe_tenants
from client.io import connect
from core.names import ShardId, TenantName

RETRIES_PER_S = 20_000.0
"""A probe pays for no retry: the budget's pace would be taken for the fleet's."""


NICENESS = 5
"""As much as the nodes': attempts at a dead one, twenty a second for each of its shards, take no time from repair."""


class Prober:
    """Writes to the probe tenants."""

    def __init__(self, chatter: Chatter, tenants: Mapping[ShardId, TenantName]) -> None:
        self._chatter = chatter
        self._tenants = tenants
        self._numbers = count()
        self._samples: dict[ShardId, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def probe(self, fault: int, shards: list[ShardId], injected_ns: int) -> None:
        """Send one write per shard at once; each tells its gap when it is acknowledged."""
        for shard in shards:
            self._own(self._gap(fault, shard, injected_ns))

    async def _gap(self, fault: int, shard: ShardId, injected_ns: int) -> None:
        begun_ns = clock_ns()
        line = await self._post(shard, PROBE_DEADLINE_S)
        acknowledged = line.completed_ns if line.outcome == "ok" else None
        tell(
            gap={
                "fault": fault,
                "shard": shard,
                "begun_s": (begun_ns - injected_ns) / 1e9,
                "gap_s": None if acknowledged is None else (acknowledged - injected_ns) / 1e9,
            }
        )

    def enter(self, shard: ShardId) -> None:
        """Begin to write a shard every 10 ms."""
        if shard not in self._samples:
            self._samples[shard] = asyncio.create_task(self._sample(shard))

    async def leave(self, shard: ShardId) -> None:
        """Stop writing a shard."""
        task = self._samples.pop(shard, None)
        if task is not None:
            task.cancel()

    async def _sample(self, shard: ShardId) -> None:
        due_s = asyncio.get_running_loop().time()
        while True:
            self._own(self._sample_one(shard))
            due_s += SAMPLE_PERIOD_S
            await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))

    async def _sample_one(self, shard: ShardId) -> None:
        line = await self._post(shard, 5.0)
        tell(
            sample={
                "shard": shard,
                "invoked_ns": line.invoked_ns,
                "completed_ns": line.completed_ns,
                "ok": line.outcome == "ok",
            }
        )

    async def _post(self, shard: ShardId, timeout_s: float) -> Post:
        text = f"p{next(self._numbers)}"
        tenant = str(self._tenants[shard])
        return await self._chatter.post(tenant, PROBE_CHANNEL, text, timeout_s=timeout_s, policy=PROBE)

    async def drained(self) -> None:
        """Stop sampling, and wait for the final answers."""
        for shard in list(self._samples):
            await self.leave(shard)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=PROBE_DEADLINE_S + 2)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def work(configuration: Fields, orders: AsyncIterator[Fields]) -> None:
    """Follow the rehearsal's commands: create, probe, enter, leave, stop, audit."""
    with Recorder(Path(configuration["history"])) as recorder:
        async with connect(
            list(configuration["doors"]), actor="probe", seed=int(configuration["seed"]), retries_per_s=RETRIES_PER_S
        ) as client:
            await client.ready(timeout_s=READY_S)
            tenants = probe_tenants(client.map.topology)
            chatter = Chatter(client, recorder, "probe")
            prober = Prober(chatter, tenants)
            async for order in orders:
                match order["do"]:
                    case "create":
                        await create_tenants(client, tenants.values())
                        tell(created=len(tenants))
                    case "probe":
                        prober.probe(order["fault"], order["shards"], order["injected_ns"])
                    case "enter":
                        prober.enter(order["shard"])
                    case "leave":
                        await prober.leave(order["shard"])
                    case "stop":
                        await prober.drained()
                        tell(stopped=True)
                    case "audit":
                        channels = [(tenant, PROBE_CHANNEL) for tenant in tenants.values()]
                        tell(audited=True, failed=await audit(chatter, channels))


if __name__ == "__main__":
    os.nice(NICENESS)
    serve(work)
