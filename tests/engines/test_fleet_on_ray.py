"""A small fleet as actors of Ray: it fails over like any other, and leaves nothing behind."""

from pathlib import Path

import pytest

from core.engines import Engines, Launcher
from core.names import dc_of
from regions.io.fleet import Fleet
from regions.io.load import load
from regions.io.proc import State
from tests.engines.fleets import TENANT, connected, post, texts

pytestmark = pytest.mark.engines


async def test_a_lost_data_center_costs_no_acknowledged_post(tmp_path: Path) -> None:
    engines = Engines(launcher=Launcher.RAY)
    fleet = await Fleet.up(load("small", address_base=186), tmp_path, profile="default", seed=1, engines=engines)
    try:
        pids = dict(fleet.pids)
        async with connected(fleet) as client:
            await client.create_tenant(TENANT, display_name="Acme", timeout_s=10)
            assert await post(client, "before") == 1
            lost = dc_of(client.locate(TENANT).primary.node)
            await fleet.kill(lost)
            assert await post(client, "after") == 2
            assert {fleet.state()[node.id] for node in fleet.topology.nodes_in(lost)} == {State.DEAD}
            await fleet.start(lost)
            await fleet.wait_ready(lost, timeout_s=30)
            assert await texts(client) == ["before", "after"]
        pids |= fleet.pids
    finally:
        await fleet.down()
    assert [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []
