"""Spreads a task over worker processes: schedules share nothing, so that two cores do twice as many."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
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
    failed: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(_work(task, shared, heard))
    except* UnavailableError as errors:
        failed += errors.exceptions
    if failed:  # outside of the block, which would wrap it in a group again
        raise failed[0]


async def _work(task: str, inputs: Iterator[Input], heard: Heard) -> None:
    worker = await Worker.start("chaos.sim.worker", {"task": task})
    try:
        for one in inputs:
            await worker.send(**one)
            heard(one, await _result(worker, one))
    except BaseException:
        # What it is at is of no use to anybody any more; it need not be waited for.
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        raise
    finally:
        await worker.end()


async def _result(worker: Worker, one: Input) -> Fields:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await worker.next_report()
    except TimeoutError as cause:
        raise UnavailableError(f"{dict(one)} did not end within {WITHIN_S:g} s") from cause
