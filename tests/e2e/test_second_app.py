"""An app from another package is replicated and failed over by a real fleet that knows nothing of it."""

from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import Int64Value

from client.io import Client, connect
from core.names import dc_of
from regions.io.fleet import Fleet
from regions.io.load import load
from tests.second_app import install_counter

pytestmark = pytest.mark.e2e
TENANT = "tenants/eu/counting"


async def added(client: Client, number: int) -> int:
    return (await client.submit(TENANT, Int64Value(value=number), Int64Value, timeout_s=15)).answer.value


async def test_a_counter_counts_on_when_its_data_center_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_counter(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    fleet = await Fleet.up(load("small", address_base=166), tmp_path / "fleet", profile="default", seed=1)
    try:
        doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
        async with connect(doors, actor="users/ada", seed=1) as client:
            await client.create_tenant(TENANT, display_name="Counting", timeout_s=10)
            assert [await added(client, number) for number in (1, 2, 3)] == [1, 3, 6]
            await fleet.kill(dc_of(client.locate(TENANT).primary.node))
            assert await added(client, 4) == 10
            assert (await client.query(TENANT, Empty(), Int64Value, timeout_s=15)).answer.value == 10
    finally:
        await fleet.down()
