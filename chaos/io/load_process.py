"""The process that makes the load: ``python -m chaos.io.load_process``, started by the rehearsal.

It has a core's scheduler to itself as far as the machine allows, so that the orchestrator's work delays no send.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from chaos.figures import percentile
from chaos.history import Line, Post, Read
from chaos.io.chatter import Chatter, clock_ns
from chaos.io.child import Fields, serve, tell
from chaos.io.recorder import Recorder
from chaos.load import LATE_S, Intended, channels_of, schedule, tenants_in_use
from chaos.scenario import Load
from client.io import Client, connect
from core.errors import AlreadyExistsError
from core.names import TenantName

OPERATION_S = 5.0
"""An operation's final answer comes within this, retries included."""
READY_S = 30.0
SET_UP_S = 60.0
AUDIT_S = 60.0
AUDIT_LIMIT = 100_000
CREATED_AT_ONCE = 6
"""Fewer than would fill the machine: the fleet must come to rest right after, and not repair what a rush broke."""
READ_AT_ONCE = 12
IN_FLIGHT_MAX = 5_000
"""A bound on memory; what is due beyond it counts as late and is not sent."""
REPORT_S = 0.5
PACE_S = 0.004
"""What is due within so little leaves together: to wake up for each costs more than to send it."""
LATE_NS = int(LATE_S * 1e9)
Item = TypeVar("Item")


async def each(items: Iterable[Item], deed: Callable[[Item], Awaitable[object]], *, at_once: int) -> None:
    """Do something for every item, a bounded number at a time; the first failure ends it."""
    waiting = iter(items)

    async def one_after_the_other() -> None:
        for item in waiting:
            await deed(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_the_other())


async def create_tenants(client: Client, tenants: Iterable[TenantName]) -> None:
    """Create tenants; those of an earlier run on the same fleet are there already."""

    async def create(tenant: TenantName) -> None:
        with suppress(AlreadyExistsError):
            await client.create_tenant(tenant, display_name=tenant.slug, timeout_s=SET_UP_S)

    await each(tenants, create, at_once=CREATED_AT_ONCE)


async def audit(chatter: Chatter, channels: Sequence[tuple[TenantName, str]]) -> int:
    """Read every channel whole; returns how many reads failed."""
    failed = 0

    async def read(channel: tuple[TenantName, str]) -> None:
        nonlocal failed
        tenant, name = channel
        line = await chatter.read(str(tenant), name, AUDIT_LIMIT, timeout_s=AUDIT_S)
        failed += line.outcome != "ok"

    await each(channels, read, at_once=READ_AT_ONCE)
    return failed


class Generator:
    """Sends what is due when it is due, and counts."""

    def __init__(self, chatter: Chatter) -> None:
        self._chatter = chatter
        self._in_flight = 0
        self._drained = asyncio.Event()
        """Set whenever nothing is in flight any more."""
        self.sent = 0
        self.late = 0
        self._failed = 0
        self._write_ms: list[float] = []
        self._read_ms: list[float] = []
        self._all_write_ms: list[float] = []

    async def run(self, operations: Iterable[Intended], begin_ns: int) -> None:
        """Send for ever; cancel to stop."""
        for operation in operations:
            due_ns = begin_ns + int(operation.at_s * 1e9)
            now_ns = clock_ns()
            if now_ns < due_ns:
                await asyncio.sleep(max((due_ns - now_ns) / 1e9, PACE_S))
                now_ns = clock_ns()
            self._send(operation, due_ns, now_ns)

    def _send(self, operation: Intended, due_ns: int, now_ns: int) -> None:
        self.sent += 1
        self.late += now_ns - due_ns > LATE_NS
        if self._in_flight >= IN_FLIGHT_MAX:
            self.late += 1
            return
        self._in_flight += 1
        tenant, channel, limit = operation.tenant, operation.channel, operation.limit
        # Every answer counts from the intended time: a stall must show in every operation that it delayed.
        if limit:
            self._chatter.begin_read(tenant, channel, limit, partial(self._was_read, due_ns), timeout_s=OPERATION_S)
        else:
            done = partial(self._was_posted, due_ns)
            self._chatter.begin_post(tenant, channel, operation.text, done, timeout_s=OPERATION_S)

    def _was_read(self, due_ns: int, line: Read) -> None:
        self._count(line, due_ns, self._read_ms)

    def _was_posted(self, due_ns: int, line: Post) -> None:
        self._count(line, due_ns, self._write_ms)

    def _count(self, line: Line, due_ns: int, into: list[float]) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._drained.set()
        if line.outcome == "ok" and line.completed_ns is not None:
            into.append((line.completed_ns - due_ns) / 1e6)
        else:
            self._failed += 1

    async def drained(self) -> None:
        """Wait for the final answers of whatever was sent."""
        self._drained.clear()
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(OPERATION_S + 2):
                    await self._drained.wait()

    def report(self, at_s: float) -> None:
        """Tell what happened since the last report."""
        tell(
            load={
                "at_s": at_s,
                "writes": len(self._write_ms),
                "reads": len(self._read_ms),
                "failed": self._failed,
                "late": self.late,
                "sent": self.sent,
                "write_p50_ms": percentile(self._write_ms, 0.5),
                "write_p99_ms": percentile(self._write_ms, 0.99),
                "read_p50_ms": percentile(self._read_ms, 0.5),
                "read_p99_ms": percentile(self._read_ms, 0.99),
            }
        )
        self._all_write_ms += self._write_ms
        self._failed = 0
        self._write_ms, self._read_ms = [], []

    def total_p99_ms(self) -> float:
        """Say the p99 of all acknowledged writes."""
        return percentile(self._all_write_ms + self._write_ms, 0.99)


async def work(configuration: Fields, orders: AsyncIterator[Fields]) -> None:
    """Follow the rehearsal's commands: create, start, stop, audit."""
    load = Load(**configuration["load"])
    seed = int(configuration["seed"])
    with Recorder(Path(configuration["history"])) as recorder:
        async with connect(list(configuration["doors"]), actor="load", seed=seed) as client:
            await client.ready(timeout_s=READY_S)
            tenants = tenants_in_use(client.map.topology, count=load.tenants)
            chatter = Chatter(client, recorder, "load")
            generator = Generator(chatter)
            running: list[asyncio.Task[None]] = []
            async for order in orders:
                match order["do"]:
                    case "create":
                        await create_tenants(client, tenants)
                        tell(created=len(tenants))
                    case "start":
                        begin_ns = int(order["begin_ns"])
                        running = [
                            asyncio.create_task(generator.run(schedule(load, tenants, Random(seed)), begin_ns)),
                            asyncio.create_task(_reporting(generator, recorder, begin_ns)),
                        ]
                    case "stop":
                        await _stop(running)
                        await generator.drained()
                        tell(stopped=True, sent=generator.sent, late=generator.late, p99_ms=generator.total_p99_ms())
                    case "audit":
                        tell(audited=True, failed=await audit(chatter, list(channels_of(tenants))))
            await _stop(running)


async def _reporting(generator: Generator, recorder: Recorder, begin_ns: int) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        recorder.flush()
        generator.report((clock_ns() - begin_ns) / 1e9)


async def _stop(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    serve(work)
