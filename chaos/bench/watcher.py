"""The process that watches: ``python -m chaos.bench.watcher``, many watchers of the map, each with its own stream."""

import asyncio
import time
from collections.abc import AsyncIterator

from chaos.io.child import Fields, serve, tell
from core.io.dial import channel
from twinhold.v1 import assignment_service_pb2 as pb
from twinhold.v1 import assignment_service_pb2_grpc as rpc


async def work(configuration: Fields, orders: AsyncIterator[Fields]) -> None:
    """Watch; tell when each watcher hears of each changed shard, in milliseconds since 1970."""
    doors: list[str] = configuration["doors"]
    heard: list[tuple[int, int, float]] = []
    ready = [asyncio.Event() for _ in range(int(configuration["watchers"]))]

    async def watch(number: int) -> None:
        stub = rpc.AssignmentServiceStub(channel(doors[number % len(doors)]))
        async for step in stub.Watch(pb.WatchRequest()):
            now_ms = time.time_ns() / 1e6
            if step.HasField("snapshot"):
                ready[number].set()
            heard.extend((held.shard, held.epoch, now_ms) for held in step.delta.changed)

    tasks = [asyncio.create_task(watch(number)) for number in range(len(ready))]
    await asyncio.gather(*(event.wait() for event in ready))
    tell(watching=len(tasks))
    async for order in orders:
        if order["do"] == "tell":
            tell(heard=heard)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    serve(work)
