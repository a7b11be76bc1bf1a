"""Group failover: killed to writable, over trials on fresh fleets, the leader killed in half of them."""

import asyncio
from random import Random
from time import perf_counter

from chaos.bench.fleets import Bench, fleet_up
from chaos.bench.others import FAILOVER
from chaos.figures import percentile
from chaos.io.operator import Operator
from client.call import Policy
from core.names import ControlPlaneId, DcId, ShardId, dc_of
from twinhold.v1 import chat_pb2

TRIALS = 20
PROBE = Policy(backoff_first_s=0.01, backoff_max_s=0.01, attempt_s=1.0, jitter=False)
"""As the issue of probes says, but repeated every 10 ms."""
DEADLINE_S = 30.0


async def failover() -> dict[str, float]:
    """Measure both profiles."""
    found: dict[str, float] = {}
    for profile, prefix in (("default", ""), ("fast", "fast_")):
        gaps = [await _trial(profile, number) for number in range(TRIALS)]
        print(f"{profile}: killed -> writable s: {' '.join(f'{gap:.2f}' for gap in gaps)}")
        found[f"{prefix}killed_to_writable_p50_s"] = percentile(gaps, 0.5)
        found[f"{prefix}killed_to_writable_max_s"] = max(gaps)
    print(FAILOVER)
    return found


async def _trial(profile: str, number: int) -> float:
    """Kill a data center of a fresh fleet, the leader's in every second trial, and write to one of its shards."""
    dice = Random(number)
    async with fleet_up(profile=profile, seed=number) as bench:
        leader = await _leader(bench)
        others = [dc.id for dc in bench.fleet.topology.data_centers if dc.id != leader]
        victim = leader if number % 2 == 0 else dice.choice(others)
        shards = [shard for node, held in bench.by_primary().items() if dc_of(node) == victim for shard in held]
        shard = dice.choice(shards)
        await _write(bench, shard)
        begun = perf_counter()
        killing = asyncio.create_task(bench.fleet.kill(victim))
        await asyncio.sleep(0)
        await _write(bench, shard)
        gap_s = perf_counter() - begun
        await killing
        return gap_s


async def _leader(bench: Bench) -> DcId:
    operator = Operator(bench.fleet.topology)
    try:
        return dc_of(ControlPlaneId((await operator.status()).leader))
    finally:
        await operator.close()


async def _write(bench: Bench, shard: ShardId) -> None:
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="bench", text="probe"))
    await bench.client.submit(bench.tenants[shard], command, chat_pb2.ChatAnswer, timeout_s=DEADLINE_S, policy=PROBE)
