"""A real Consul that wants a token, and one that speaks TLS: settings are passed on, mistakes are one line in time."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from control_plane.io.consul_lock import ConsulLock
from core.discovery import Instance, Part
from core.engines import ConsulEngine, Tls
from core.errors import NotAllowedError, UnavailableError
from core.io.consul_check import check_consul
from core.io.consul_discovery import ConsulDiscovery
from core.io.consul_http import ConsulQuestions
from core.names import ControlPlaneId, DcId
from regions.io.consul_servers import HTTP_PORT, ConsulServers, executable
from tests.contracts.test_lock import FRA, holder, taken
from tests.real_consul import Seen, engine_of, running

pytestmark = pytest.mark.engines

DEADLINE_S = 3.0
MASTER = "0b1a2c3d-0000-4000-8000-000000000001"
HOST = "127.24.0.1"
TLS_HOST = "127.26.0.1"
TLS_PORT = 8501
FLEET = "small"
RULES = (
    'key_prefix "twinhold/" { policy = "write" } session_prefix "" { policy = "write" } '
    'service_prefix "twinhold-" { policy = "write" } node_prefix "" { policy = "read" }'
)
NODE = Instance(FLEET, Part.NODE, "fra1-c1", DcId("fra1"), "127.1.0.1", 7001)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    """A Consul that lets nobody do anything without a token."""
    tokens = {"master": MASTER, "agent": MASTER}
    acl = {"enabled": True, "default_policy": "deny", "tokens": tokens}
    folder = tmp_path_factory.mktemp("consul")
    with running(folder, [HOST], settings={"acl": acl}, token=MASTER) as servers:
        yield servers


@pytest.fixture(scope="module")
def token(guarded: ConsulServers) -> str:
    """A token with the rights that a fleet needs, and no more."""
    _asked("/v1/acl/policy", {"Name": "fleet", "Rules": RULES})
    return str(_asked("/v1/acl/token", {"Policies": [{"Name": "fleet"}]})["SecretID"])


@pytest.fixture(scope="module")
def powerless(guarded: ConsulServers) -> str:
    """A token that exists, and has no rights."""
    return str(_asked("/v1/acl/token", {})["SecretID"])


def _asked(path: str, body: object) -> dict[str, object]:
    line = HTTPConnection(HOST, HTTP_PORT, timeout=DEADLINE_S)
    line.request("PUT", path, json.dumps(body), headers={"X-Consul-Token": MASTER})
    answer: dict[str, object] = json.loads(line.getresponse().read())
    line.close()
    return answer


async def test_the_rights_that_are_documented_are_enough(guarded: ConsulServers, token: str) -> None:
    engine = engine_of(guarded, token=token)
    await check_consul(engine, FLEET, deadline_s=DEADLINE_S)
    discovery, lock = (
        ConsulDiscovery(engine, FLEET, deadline_s=DEADLINE_S),
        ConsulLock(engine, FLEET, FRA, deadline_s=1),
    )
    await taken(lock, FRA)
    await discovery.register(NODE)
    async with Seen(discovery) as seen:
        await seen.shows(NODE)
    assert await discovery.keep(NODE)
    assert ConsulQuestions(engine, deadline_s=DEADLINE_S).only_fleet() == FLEET
    assert ConsulQuestions(engine, deadline_s=DEADLINE_S).living(FLEET) == (NODE,)
    await discovery.deregister(NODE)
    await discovery.close()
    await lock.close()


async def test_the_token_of_the_engine_counts_whatever_the_environment_says(
    guarded: ConsulServers, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "another")
    monkeypatch.setenv("HTTP_PROXY", "http://127.24.9.9:1")
    await check_consul(engine_of(guarded, token=token), FLEET, deadline_s=DEADLINE_S)


@pytest.mark.parametrize("wrong", ["", "powerless", "0b1a2c3d-0000-4000-8000-00000000dead"])
async def test_a_token_without_rights_is_one_clear_line_in_time_that_does_not_hold_it(
    guarded: ConsulServers, powerless: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = powerless if wrong == "powerless" else wrong
    engine = engine_of(guarded, token=secret)
    with pytest.raises(NotAllowedError, match=r"Consul .* token.*key_prefix \"twinhold/\": write") as caught:
        await check_consul(engine, FLEET, deadline_s=DEADLINE_S)
    assert "\n" not in caught.value.message
    discovery = ConsulDiscovery(engine, FLEET, deadline_s=DEADLINE_S)
    with pytest.raises(NotAllowedError):
        await discovery.register(NODE)
    lock = ConsulLock(engine, FLEET, ControlPlaneId("fra1-cp"), deadline_s=DEADLINE_S)
    assert await holder(lock, FRA) is None
    for ask in (ConsulQuestions.only_fleet, partial(ConsulQuestions.living, fleet=FLEET)):
        with pytest.raises(NotAllowedError, match="TWINHOLD_DISCOVERY_TOKEN"):
            ask(ConsulQuestions(engine, deadline_s=DEADLINE_S))
    assert "lock.unanswered" in caplog.messages
    assert not secret or secret not in f"{caught.value!r}{engine!r}{[vars(it) for it in caplog.records]}"
    await discovery.close()
    await lock.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate and a client's, as Consul itself makes them; and another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "other").mkdir()

    def made(*arguments: str, at: Path = folder) -> None:
        subprocess.run([executable(), "tls", *arguments], cwd=at, check=True, capture_output=True)

    made("ca", "create")
    made("ca", "create", at=folder / "other")
    made("cert", "create", "-server", "-dc", "twinhold", "-additional-ipaddress", TLS_HOST)
    made("cert", "create", "-client", "-dc", "twinhold")
    return folder


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[ConsulServers]:
    """A Consul that answers over TLS, and to those only who show a certificate."""
    settings = {
        "ca_file": str(certificates / "consul-agent-ca.pem"),
        "cert_file": str(certificates / "twinhold-server-consul-0.pem"),
        "key_file": str(certificates / "twinhold-server-consul-0-key.pem"),
        "verify_incoming_https": True,
        "ports": {"dns": -1, "grpc": -1, "https": TLS_PORT},
    }
    with running(tmp_path_factory.mktemp("consul"), [TLS_HOST], settings=settings) as servers:
        yield servers


@pytest.fixture
def tls_engine(sealed: ConsulServers, certificates: Path) -> ConsulEngine:
    files = ("consul-agent-ca.pem", "twinhold-client-consul-0.pem", "twinhold-client-consul-0-key.pem")
    return ConsulEngine((f"{TLS_HOST}:{TLS_PORT}",), "", tls=Tls(*(str(certificates / name) for name in files)))


async def test_tls_is_passed_on(tls_engine: ConsulEngine) -> None:
    await check_consul(tls_engine, FLEET, deadline_s=DEADLINE_S)
    discovery = ConsulDiscovery(tls_engine, FLEET, deadline_s=DEADLINE_S)
    await discovery.register(NODE)
    async with Seen(discovery) as seen:
        await seen.shows(NODE)
    living = await asyncio.to_thread(lambda: ConsulQuestions(tls_engine, deadline_s=DEADLINE_S).living(FLEET))
    assert living == (NODE,)
    await discovery.close()


async def test_a_certificate_that_does_not_do_is_one_line(tls_engine: ConsulEngine, certificates: Path) -> None:
    assert tls_engine.tls is not None
    wrong = (
        replace(tls_engine, tls=replace(tls_engine.tls, ca_file=str(certificates / "other" / "consul-agent-ca.pem"))),
        replace(tls_engine, tls=replace(tls_engine.tls, ca_file="/nonexistent.pem")),
        replace(tls_engine, tls=replace(tls_engine.tls, cert_file="", key_file="")),
        replace(tls_engine, tls=None),
    )
    for engine in wrong:
        with pytest.raises(UnavailableError, match=r"127\.26\.0\.1:8501") as caught:
            await check_consul(engine, FLEET, deadline_s=DEADLINE_S)
        assert "\n" not in caught.value.message
        with pytest.raises(UnavailableError, match=r"127\.26\.0\.1:8501|/nonexistent\.pem"):
            await asyncio.to_thread(ConsulQuestions(engine, deadline_s=DEADLINE_S).only_fleet)
