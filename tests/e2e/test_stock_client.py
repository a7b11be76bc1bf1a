"""Nothing but stock gRPC is needed: another process without code of ours works through reflection alone."""

import ast
import asyncio
import json
import sys
from pathlib import Path

import pytest

from client.io import connect
from core.names import dc_of
from regions.io.fleet import Fleet
from regions.io.load import load

pytestmark = pytest.mark.e2e
SCRIPT = Path(__file__).with_name("stock_client.py")
TENANT = "tenants/eu/stock"
ACKED_BEFORE, ACKED_AFTER = 20, 60


def test_the_stock_client_imports_nothing_of_ours() -> None:
    tree = ast.parse(SCRIPT.read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert others == {"google", "grpc", "grpc_reflection"}


async def acked(script: asyncio.subprocess.Process, count: int) -> None:
    """Read the script's lines up to the given acknowledgement."""
    assert script.stdout is not None
    while (line := (await script.stdout.readline()).decode().strip()) != f"acked {count}":
        assert line.startswith("acked"), f"the stock client said {line!r}"


async def test_a_stock_client_survives_a_failover(tmp_path: Path) -> None:
    fleet = await Fleet.up(load("small", address_base=158), tmp_path / "fleet", profile="default", seed=1)
    doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
    try:
        async with connect(doors, actor="users/ada") as watcher, asyncio.timeout(60):
            await watcher.ready(timeout_s=10)
            primary = dc_of(watcher.locate(TENANT).primary.node)
            living = [node.endpoint for node in fleet.topology.nodes if node.dc != primary]
            script = await asyncio.create_subprocess_exec(
                sys.executable,
                str(SCRIPT),
                TENANT,
                next(c.endpoint for c in fleet.topology.control_planes if c.dc != primary),
                *living,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            await acked(script, ACKED_BEFORE)
            await fleet.kill(primary)
            await acked(script, ACKED_AFTER)
            told, _ = await script.communicate(b"")  # no input at all would leave its standard input open
            account = json.loads(told.decode().splitlines()[-1])
            assert dc_of(watcher.locate(TENANT).primary.node) != primary
        assert account["wrong"] == {}
        assert account["acked"] >= ACKED_AFTER
        assert account["retries"] > 0
    finally:
        await fleet.down()
