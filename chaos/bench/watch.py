"""Group watch: how long a change of the map takes to 200 watchers, from the leader's decision."""

import asyncio
from collections import defaultdict
from uuid import uuid4

from chaos.bench.fleets import doors, fleet_up
from chaos.figures import percentile
from chaos.io.operator import Operator
from chaos.io.worker import Worker

WATCHERS = 200
CHANGES = 20
BETWEEN_S = 0.5
WITHIN_S = 60.0


async def watch() -> dict[str, float]:
    """Measure."""
    async with fleet_up(profile="default", seed=1) as bench:
        where = doors(bench.fleet.topology)
        worker = await Worker.start("chaos.bench.watcher", {"doors": where, "watchers": WATCHERS})
        operator = Operator(bench.fleet.topology)
        try:
            await worker.until("watching", within_s=WITHIN_S)
            for shard in sorted(bench.tenants)[:CHANGES]:
                await operator.switchover(shard, request_id=str(uuid4()))
                await asyncio.sleep(BETWEEN_S)
            await worker.send(do="tell")
            told = await worker.until("heard", within_s=WITHIN_S)
            decided = {
                event.subject: event.at_ms for event in await operator.events() if event.type == "shard.switched"
            }
        finally:
            await operator.close()
            await worker.end()
    changes: dict[tuple[int, int], list[float]] = defaultdict(list)
    for shard, epoch, at_ms in told["heard"]:
        changes[shard, epoch].append(at_ms)
    took_s = [
        max(0.0, at_ms - min(decided.get(f"shards/{shard}", min(heard)), min(heard))) / 1000
        for (shard, _), heard in changes.items()
        for at_ms in heard
    ]
    print(f"watch: {len(changes)} changes, heard {len(took_s)} times by {WATCHERS} watchers")
    return {"watch_propagation_p99_s": percentile(took_s, 0.99)}
