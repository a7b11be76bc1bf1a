"""A whole small fleet of real processes: up, written to, one data center lost, and nothing left behind."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from client.io import Client, connect
from core.errors import UnavailableError
from core.names import DcId, dc_of
from regions.io import fleet_file
from regions.io.fleet import Fleet
from regions.io.load import load
from regions.io.proc import State
from regions.io.up import down
from twinhold.v1 import chat_pb2

pytestmark = pytest.mark.e2e
TENANT = "tenants/eu/acme"


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    running = await Fleet.up(load("small", address_base=60), tmp_path / "fleet", profile="default", seed=1)
    yield running
    await running.down()


@pytest_asyncio.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
    async with connect(doors, actor="users/ada", seed=1) as opened:
        await opened.create_tenant(TENANT, display_name="Acme", timeout_s=10)
        yield opened


async def post(client: Client, text: str) -> int:
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text=text))
    return (await client.submit(TENANT, command, chat_pb2.ChatAnswer, timeout_s=15)).answer.seq


async def texts(client: Client) -> list[str]:
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general", limit=1000))
    answered = await client.query(TENANT, query, chat_pb2.ChatQueryAnswer, timeout_s=15)
    return [post.text for post in answered.answer.posts]


def free(fleet: Fleet) -> bool:
    """Say whether every port of a fleet can be listened on."""
    places = [(node.host, node.port) for node in fleet.topology.nodes]
    places += [(control_plane.host, control_plane.port) for control_plane in fleet.topology.control_planes]
    for place in places:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    return True


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_lost_data_center_costs_no_acknowledged_post(fleet: Fleet, client: Client, how: str) -> None:
    assert [await post(client, f"before {n}") for n in range(5)] == [1, 2, 3, 4, 5]
    lost: DcId = dc_of(client.locate(TENANT).primary.node)
    await (fleet.kill(lost) if how == "kill" else fleet.pause(lost))
    assert await post(client, "after") == 6
    assert await texts(client) == [*(f"before {n}" for n in range(5)), "after"]
    assert {fleet.state()[node.id] for node in fleet.topology.nodes_in(lost)} == {
        State.DEAD if how == "kill" else State.FROZEN
    }


async def test_tenants_go_on_with_every_control_plane_dead(fleet: Fleet, client: Client) -> None:
    for control_plane in fleet.topology.control_planes:
        await fleet.kill(control_plane.id)
    assert await post(client, "alone") == 1
    async with connect([fleet.topology.nodes[0].endpoint], actor="users/bob") as newcomer:
        assert await texts(newcomer) == ["alone"]
        await newcomer.create_tenant("tenants/eu/late", display_name="Late", timeout_s=5)


async def test_a_killed_data_center_comes_back_on_its_own_disks(fleet: Fleet, client: Client) -> None:
    await post(client, "before")
    lost = dc_of(client.locate(TENANT).primary.node)
    await fleet.kill(lost)
    await post(client, "meanwhile")
    await fleet.start(lost)
    await fleet.wait_ready(lost, timeout_s=15)
    assert await texts(client) == ["before", "meanwhile"]


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    topology = load("small", address_base=150)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((topology.nodes[0].host, topology.nodes[0].port))
        taken.listen()
        with pytest.raises(UnavailableError, match=f"{topology.nodes[0].endpoint} is in use"):
            await Fleet.up(topology, tmp_path, profile="default", seed=1)
    assert not (tmp_path / fleet_file.NAME).exists()


async def test_one_folder_holds_one_fleet(fleet: Fleet) -> None:
    with pytest.raises(UnavailableError, match="a fleet runs in"):
        await Fleet.up(fleet.topology, fleet.folder, profile="default", seed=1)


async def test_down_leaves_nothing(tmp_path: Path) -> None:
    fleet = await Fleet.up(load("small", address_base=60), tmp_path, profile="default", seed=1)
    pids = list(fleet.pids.values())
    await fleet.down()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not (tmp_path / fleet_file.NAME).exists()
    assert free(fleet)


def begun(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start ``twinhold up`` as a process."""
    twinhold = str(Path(sys.executable).with_name("twinhold"))
    command = [twinhold, "up", "small", "--address-base", "154", "--fleet", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_detached_fleet_is_found_by_its_file_and_ended(tmp_path: Path) -> None:
    up = begun(tmp_path, "--detach")
    output, _ = up.communicate(timeout=60)
    assert up.returncode == 0, output
    recorded = fleet_file.read(tmp_path)
    assert recorded is not None
    everybody = [recorded.host, *recorded.processes.values()]
    assert all(process.alive for process in everybody)
    down(tmp_path, say=lambda line: None)
    assert not any(process.alive for process in everybody)
    assert not (tmp_path / fleet_file.NAME).exists()


@pytest.mark.parametrize("moment", ["round-trip times", "processes ready", "waiting for a leader", "leads", "^ready$"])
def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """A fleet may pass over a moment that is short, e.g. lead before it is looked at: then it is interrupted whole."""
    up = begun(tmp_path)
    assert up.stdout is not None
    with up.stdout as lines:
        found = any(re.search(f"{moment}|^ready$", line) for line in iter(lines.readline, ""))
        assert found, "it ended before that moment"
        recorded = fleet_file.read(tmp_path)
        up.send_signal(signal.SIGINT)
        rest = lines.read()
    assert up.wait(timeout=20) in {0, 130}
    assert "Traceback" not in rest
    assert not (tmp_path / fleet_file.NAME).exists()
    assert recorded is None or not any(process.alive for process in recorded.processes.values())
