"""Spreads a task over worker processes: schedules share nothing, so that two cores do twice as many."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from chaos.io.child import Fields
from chaos.io.worker import Worker
from core.errors import UnavailableError

Input: TypeAlias = Mapping[str, object]
Heard: TypeAlias = Callable[[Input, Fields], None]
WITHIN_S = 300.0
"""How long one input may take: fifty times what the longest does."""


def cores() -> int:
    """Say how many processes may work at once."""
    return len(os.sched_getaffinity(0))


async def spread(task: str, inputs: Iterable[Input], heard: Heard, *, jobs: int) -> None:
    """Call a task for every input, in as many processes, and hand over each result as it comes.

    Args:
        task: ``module:function``, which takes an input as JSON and returns a result as JSON.
        inputs: taken one by one, as processes become free; may end early, e.g. when a time is over.
        heard: takes an input and its result.
        jobs: how many processes.

    Raises:
        UnavailableError: a process ended by itself, or an input took too long.
    """
    shared = iter(inputs)
    workers: list[Worker] = []
    failed: list[BaseException] = []
    whole = False
    try:
        for _ in range(jobs):
            workers.append(await Worker.start("chaos.sim.worker", {"task": task}))
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(_work(worker, shared, heard))
        whole = True
    except* UnavailableError as errors:
        failed += errors.exceptions
    finally:
        # Here, not in the group's tasks: what cancels those must not cut their processes' end short.
        for worker in workers:
            await (worker.end() if whole else worker.kill())
    if failed:  # outside of the handler, which would wrap it in a group again
        raise failed[0]


async def _work(worker: Worker, inputs: Iterator[Input], heard: Heard) -> None:
    for one in inputs:
        await worker.send(**one)
        heard(one, await _result(worker, one))


async def _result(worker: Worker, one: Input) -> Fields:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await worker.next_report()
    except TimeoutError as cause:
        raise UnavailableError(f"{dict(one)} did not end within {WITHIN_S:g} s") from cause
