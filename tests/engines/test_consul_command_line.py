"""`twinhold --endpoint consul://...`: a fleet is found by asking a real Consul, and what is wrong is one line."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from cli.exits import Exit
from core.discovery import Instance, Part
from core.io.consul_discovery import ConsulDiscovery
from core.names import DcId
from regions.io.consul_servers import ConsulServers
from tests.real_consul import engine_of, running
from tests.unit.cli.conftest import Twinhold, fleet, leader, shell
from tests.unit.cli.small_servers import serve_node

__all__ = ["fleet", "leader", "shell"]
pytestmark = pytest.mark.engines

HOST = "127.27.0.1"
CONSUL = f"consul://{HOST}:8500"
DEADLINE_S = 3.0


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    acl = {"enabled": True, "default_policy": "allow"}
    with running(tmp_path_factory.mktemp("consul"), [HOST], settings={"acl": acl}) as servers:
        yield servers


@pytest.fixture(autouse=True)
def empty(consul: ConsulServers) -> Iterator[None]:
    """Nobody is registered before a test, and after it."""
    yield
    for name in ("small", "other"):
        asyncio.run(entered(consul, name, None, {}))


async def entered(consul: ConsulServers, name: str, part: Part | None, endpoints: dict[str, str]) -> None:
    """Register what stands at these endpoints; part None: take everybody out."""
    discovery = ConsulDiscovery(engine_of(consul), name, deadline_s=DEADLINE_S, ttl_s=300.0)
    for one in await discovery.instances() if part is None else ():
        await discovery.deregister(one)
    for who, endpoint in endpoints.items():
        host, _, port = endpoint.rpartition(":")
        assert part is not None, "everybody is something"
        await discovery.register(Instance(name, part, who, DcId("fra1"), host, int(port)))
    await discovery.close()


def enter(consul: ConsulServers, name: str, part: Part, **endpoints: str) -> None:
    """Register processes."""
    asyncio.run(entered(consul, name, part, {who.replace("_", "-"): it for who, it in endpoints.items()}))


@pytest.mark.parametrize("endpoint", [f"{CONSUL}/small", CONSUL])
def test_a_fleet_is_found_by_its_name_or_because_it_is_the_only_one(
    shell: Twinhold, consul: ConsulServers, leader: tuple[grpc.Server, str], endpoint: str
) -> None:
    enter(consul, "small", Part.CONTROL_PLANE, ams1_cp="127.27.9.9:1", fra1_cp=leader[1])
    told = shell("status", "--endpoint", endpoint)
    assert (told.code, told.err) == (Exit.DONE, "")
    assert told.out.splitlines()[0] == "Nothing is wrong."


def test_where_only_nodes_live_they_answer(shell: Twinhold, consul: ConsulServers) -> None:
    node, endpoint = serve_node()
    enter(consul, "small", Part.NODE, fra1_c1=endpoint)
    told = shell("tenant", "locate", "tenants/eu/acme", "--endpoint", CONSUL)
    unable = shell("failover", "status", "--endpoint", CONSUL)
    node.stop(None).wait()
    assert told.code == Exit.DONE
    assert "fra1-c1" in told.out
    assert unable.code == Exit.UNREACHABLE
    assert "no control plane" in unable.err


def test_where_several_fleets_are_one_has_to_be_named(shell: Twinhold, consul: ConsulServers) -> None:
    for name in ("small", "other"):
        enter(consul, name, Part.NODE, fra1_c1="127.27.9.9:1")
    told = shell("status", "--endpoint", CONSUL)
    assert told.code == Exit.USAGE
    assert "one of other, small" in told.err


@pytest.mark.parametrize(
    ("endpoint", "code", "said"),
    [
        pytest.param(CONSUL, Exit.UNREACHABLE, "knows of no fleet", id="no fleet"),
        pytest.param(f"{CONSUL}/small", Exit.UNREACHABLE, "nobody of the fleet 'small' who lives", id="nobody lives"),
        pytest.param(f"{CONSUL}/Small!", Exit.USAGE, "fleet 'Small!' is malformed", id="no name of a fleet"),
        pytest.param(
            "consul://127.27.0.9:8500", Exit.UNREACHABLE, "127.27.0.9:8500 (Connection refused)", id="refused"
        ),
        pytest.param("consul://127.27.0.1", Exit.USAGE, "HOST:PORT", id="no port"),
        pytest.param("consul://127.27.0.1:8300", Exit.UNREACHABLE, "127.27.0.1:8300", id="not its HTTP address"),
    ],
)
def test_what_is_wrong_is_one_line(shell: Twinhold, endpoint: str, code: Exit, said: str) -> None:
    told = shell("status", "--endpoint", endpoint)
    assert (told.code, told.out) == (code, "")
    assert said in told.err
    assert len(told.err.splitlines()) == 1


def test_an_address_that_never_answers_is_given_up_in_time(shell: Twinhold) -> None:
    deaf = socket.create_server(("127.27.0.8", 8500))
    told = shell("status", "--endpoint", "consul://127.27.0.8:8500")
    deaf.close()
    assert told.code == Exit.UNREACHABLE
    assert "no answer within 4.0 s" in told.err


def test_a_token_that_is_refused_is_not_allowed_and_not_shown(
    shell: Twinhold, monkeypatch: pytest.MonkeyPatch, consul: ConsulServers
) -> None:
    secret = "0b1a2c3d-0000-4000-8000-00000000dead"
    monkeypatch.setenv("TWINHOLD_DISCOVERY_TOKEN", secret)
    told = shell("status", "--endpoint", CONSUL)
    assert told.code == Exit.NOT_ALLOWED
    assert "TWINHOLD_DISCOVERY_TOKEN" in told.err
    assert secret not in told.err
    assert len(told.err.splitlines()) == 1


def test_nobody_who_does_not_ask_consul_pays_for_it() -> None:
    code = "import sys, cli.options, cli.status; sys.exit(any(it in sys.modules for it in ('http.client', 'requests')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
