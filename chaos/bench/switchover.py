"""Group switchover: the longest gap that a writer sees while its shard changes primary by plan."""

import asyncio
from time import perf_counter
from uuid import uuid4

from chaos.bench.failover import PROBE
from chaos.bench.fleets import Bench, fleet_up
from chaos.bench.others import FAILOVER
from chaos.figures import percentile
from chaos.io.operator import Operator
from chaos.probes import longest_gap_s
from core.errors import UnavailableError
from core.names import ShardId
from twinhold.v1 import chat_pb2

SWITCHOVERS = 30
WITHIN_S = 10.0
LOOK_S = 0.02
AROUND_S = 0.3
"""How long it is written before and after."""


async def switchover() -> dict[str, float]:
    """Measure."""
    async with fleet_up(profile="default", seed=1) as bench:
        operator = Operator(bench.fleet.topology)
        try:
            shards = sorted(bench.tenants)[:SWITCHOVERS]
            gaps_ms = [await _gap_s(bench, operator, shard) * 1000 for shard in shards]
        finally:
            await operator.close()
    print(f"switchover gaps, ms: {' '.join(f'{gap:.0f}' for gap in gaps_ms)}\n{FAILOVER}")
    return {"switchover_gap_p50_ms": percentile(gaps_ms, 0.5)}


async def _gap_s(bench: Bench, operator: Operator, shard: ShardId) -> float:
    acknowledged: list[float] = []
    writing = asyncio.create_task(_write(bench, shard, acknowledged))
    try:
        await asyncio.sleep(AROUND_S)
        before = bench.client.map.shard(shard).primary
        await operator.switchover(shard, request_id=str(uuid4()))
        until = perf_counter() + WITHIN_S
        while bench.client.map.shard(shard).primary == before:
            if perf_counter() > until:
                raise UnavailableError(f"shard {shard} was not switched over within {WITHIN_S:g} s")
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(AROUND_S)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    return longest_gap_s(acknowledged)


async def _write(bench: Bench, shard: ShardId, acknowledged: list[float]) -> None:
    """Write one after the other, for ever."""
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="bench", text="probe"))
    while True:
        await bench.client.submit(bench.tenants[shard], command, chat_pb2.ChatAnswer, timeout_s=WITHIN_S, policy=PROBE)
        acknowledged.append(perf_counter())
