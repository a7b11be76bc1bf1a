"""A whole fleet on Ray: it comes up, loses a data center, fails over, takes it back, and leaves nothing behind."""

import asyncio
import os
from pathlib import Path

import pytest

from core.engines import Engines, Launcher
from core.names import DcId
from regions.io.fleet import Fleet
from regions.io.fleet_file import Process, process_of
from regions.io.proc import State
from regions.io.questions import Questions
from tests.engines.ray_orphanage import descendants
from tests.fleets import small_fleet

pytestmark = [pytest.mark.e2e, pytest.mark.engines]
UP_S = 150.0
LOST = DcId("fra1")
"""Where the first leader is, too."""


async def whole(questions: Questions, *, nodes: int) -> None:
    """Wait until so many nodes live, and every shard has two copies in sync."""
    async with asyncio.timeout(UP_S):
        while True:
            status = await questions.status()
            if status is not None and status.nodes_live == nodes and status.shards_sync == 48:
                return
            await asyncio.sleep(0.1)


async def test_a_fleet_on_ray_loses_a_data_center_and_takes_it_back(tmp_path: Path) -> None:
    engines, topology, others = Engines(launcher=Launcher.RAY), small_fleet(51), set(descendants(os.getpid()))
    fleet = await Fleet.up(topology, tmp_path / "fleet", profile="fast", seed=1, engines=engines, timeout_s=UP_S)
    questions = Questions(topology)
    everybody: list[Process] = []
    try:
        before = dict(fleet.pids)
        everybody += [process_of(pid) for pid in descendants(os.getpid()) if pid not in others]
        await fleet.kill(LOST)
        await whole(questions, nodes=2)
        dead = {name for name, state in fleet.state().items() if state is State.DEAD}
        assert dead == {"fra1-cp", "fra1-c1"}, "nothing restarts by itself"
        await fleet.start(LOST)
        await fleet.wait_ready(LOST, timeout_s=UP_S)
        await whole(questions, nodes=3)
        assert {name for name, pid in fleet.pids.items() if before[name] != pid} == dead
        everybody += [process_of(pid) for name, pid in fleet.pids.items() if name in dead]
    finally:
        await questions.close()
        await fleet.down()
    assert [process for process in everybody if process.alive] == []
