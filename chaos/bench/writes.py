"""Groups session, session64 and submit: 200-byte values, both copies synced, 64 closed-loop writers."""

from chaos.bench.fleets import Bench, fleet_up
from chaos.bench.others import WRITES
from chaos.io.worker import Worker
from core.errors import UnavailableError

WRITERS = 64
STREAMS = 4
TENANTS = 6
"""How many busy tenants the writers share; those that we compare with keep one log for everybody."""
LENGTH_S = 12.0
WITHIN_S = 60.0


async def session() -> dict[str, float]:
    """Measure 64 writers over 4 streams of one process."""
    return await _measured("session", streams=STREAMS, unary=False)


async def session64() -> dict[str, float]:
    """Measure 64 writers with a stream each."""
    return await _measured("session64", streams=WRITERS, unary=False)


async def submit() -> dict[str, float]:
    """Measure 64 writers with a channel each, over unary calls."""
    return await _measured("submit", streams=STREAMS, unary=True)


async def _measured(name: str, *, streams: int, unary: bool) -> dict[str, float]:
    async with fleet_up(profile="default", seed=1) as bench:
        configuration = {"groups": _groups(bench, streams), "unary": unary, "length_s": LENGTH_S, "seed": 1}
        worker = await Worker.start("chaos.bench.writer", configuration)
        try:
            await worker.until("begun", within_s=WITHIN_S)
            before = sum(bench.fleet.cpu_s().values())
            await worker.until("ended", within_s=WITHIN_S)
            server_s = sum(bench.fleet.cpu_s().values()) - before
            told = await worker.until("writes", within_s=WITHIN_S)
        finally:
            await worker.end()
    writes = int(told["writes"])
    if not writes:
        raise UnavailableError(f"{name}: no write was acknowledged: {told['errors']}")
    print(
        f"{name}: {writes} writes in {LENGTH_S:g} s, errors {told['errors'] or 'none'}; "
        f"{WRITERS} writers, {TENANTS} tenants, three data centers of one city\n{WRITES}"
    )
    return {
        f"{name}_writes_per_s": writes / LENGTH_S,
        f"{name}_p50_ms": told["p50_ms"],
        f"{name}_p99_ms": told["p99_ms"],
        f"{name}_server_cpu_us_per_write": server_s / writes * 1e6,
        f"{name}_client_cpu_us_per_write": told["cpu_s"] / writes * 1e6,
    }


def _groups(bench: Bench, streams: int) -> list[dict[str, object]]:
    """Give each stream a node and its share of the writers; all writers together write to a few busy tenants."""
    served = sorted(bench.by_primary().items())
    groups: list[dict[str, object]] = []
    for stream in range(streams):
        node, shards = served[stream % len(served)]
        busy = [str(bench.tenants[shard]) for shard in shards[: -(-TENANTS // len(served))]]
        tenants = [busy[writer // len(served) % len(busy)] for writer in range(stream, WRITERS, streams)]
        groups.append({"endpoint": bench.client.endpoint(node), "tenants": tenants})
    return groups
