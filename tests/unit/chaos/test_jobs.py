"""Tasks spread over processes: every input once, bounded, and nobody left behind."""

import gc
import os
from collections.abc import Iterator, Mapping

import pytest

from chaos.io.child import Fields
from chaos.sim.jobs import Input, spread
from core.errors import UnavailableError

SQUARE = "tests.unit.chaos.test_jobs:square"
VANISH = "tests.unit.chaos.test_jobs:vanish"


def square(job: Fields) -> Mapping[str, object]:
    return {"square": job["n"] ** 2, "pid": os.getpid()}


def vanish(job: Fields) -> Mapping[str, object]:
    os._exit(3)


async def test_every_input_is_done_once_by_all_processes() -> None:
    found: dict[int, int] = {}
    pids: set[int] = set()

    def take(one: Input, fields: Fields) -> None:
        number = one["n"]
        assert isinstance(number, int)
        found[number] = fields["square"]
        pids.add(fields["pid"])

    await spread(SQUARE, ({"n": n} for n in range(40)), take, jobs=2)
    assert found == {n: n * n for n in range(40)}
    assert len(pids) == 2
    assert all(_gone(pid) for pid in pids)


async def test_inputs_are_taken_one_by_one_so_that_their_source_can_end_it() -> None:
    results: list[Fields] = []

    def inputs() -> Iterator[Input]:
        while len(results) < 3:
            yield {"n": len(results)}

    await spread(SQUARE, inputs(), lambda one, fields: results.append(fields), jobs=1)
    assert len(results) == 3


async def test_a_process_that_ends_by_itself_ends_it_all_with_one_error() -> None:
    for _ in range(5):  # they end together, in either order
        with pytest.raises(UnavailableError, match="ended by itself"):
            await spread(VANISH, [{"n": 1}, {"n": 2}], lambda one, fields: None, jobs=2)
    gc.collect()  # a process that nobody waited for fails this test, not its neighbour


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
