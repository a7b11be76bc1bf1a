"""Starts servers of HashiCorp Consul on addresses of their own: for fleets on one machine, and for tests.

The executable is the one that ``make servers`` has fetched, else the machine's own. Servers keep their data in the
folder that they are given, and end with the process that started them.
"""

import asyncio
import json
import shutil
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from core.errors import UnavailableError
from regions.io.server_process import TOOLS, ServerProcess

FETCHED = TOOLS / "consul" / "consul"
HTTP_PORT = 8500
START_S = 60.0
"""A lone server answers after 1 to 2 s; a machine that compiles something beside it takes its time."""
ASK_S = 1.0
_READY_KEY = "/v1/kv/twinhold/ready"
_USUAL: Mapping[str, object] = {
    "server": True,
    # Elections within 1 to 2 s instead of 5 to 10.
    "performance": {"raft_multiplier": 1},
    # The lock is asked for by the second; Consul's own minimum is 10 s.
    "session_ttl_min": "1s",
    "disable_update_check": True,
    "ports": {"dns": -1, "grpc": -1},
    "retry_interval": "250ms",
    "retry_interval_wan": "250ms",
}


def executable() -> Path:
    """Find Consul.

    Raises:
        UnavailableError: it is not here.
    """
    if FETCHED.exists():
        return FETCHED
    found = shutil.which("consul")
    if found is None:
        raise UnavailableError("Consul is not there, in .tools or on the PATH: run `make servers`")
    return Path(found)


def consul_server(
    name: str,
    host: str,
    folder: Path,
    *,
    datacenter: str,
    peers: Sequence[str],
    wan: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    token: str = "",
) -> ServerProcess:
    """Describe one server; it is ready when there is a leader and a value can be written.

    Args:
        name: of the process, and of the server within its Consul datacenter.
        host: an address of its own.
        folder: its own.
        datacenter: Consul's, to which it belongs.
        peers: the addresses of all servers of its datacenter, its own too.
        wan: the addresses of servers of other datacenters, to be joined with.
        settings: added to its configuration, key by key.
        token: with which it is asked whether it is ready.

    Raises:
        UnavailableError: there is no Consul on this machine.
    """
    told = {
        **_USUAL,
        "node_name": name,
        "datacenter": datacenter,
        "data_dir": str((folder / "data").absolute()),
        "bind_addr": host,
        "client_addr": host,
        "bootstrap_expect": len(peers),
        "retry_join": list(peers),
        "retry_join_wan": list(wan),
        **(settings or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "consul.json"
    configuration.write_text(json.dumps(told, indent=1), encoding="utf-8")
    arguments = [str(executable()), "agent", f"-config-file={configuration.absolute()}"]

    async def answers() -> bool:
        return await asyncio.to_thread(_takes_a_value, host, token)

    return ServerProcess(name, arguments, folder, answers=answers, start_s=START_S)


class ConsulServers:
    """The servers of one Consul datacenter; whoever starts them stops them.

    Args:
        folder: where they keep their data, each in a folder of its own.
        hosts: an address for each; an odd number of them.
        datacenter: its name.
        wan: the addresses of servers of other datacenters, to be joined with.
        settings: added to their configuration, key by key.
        token: with which they are asked whether they are ready.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Sequence[str],
        *,
        datacenter: str = "twinhold",
        wan: Sequence[str] = (),
        settings: Mapping[str, object] | None = None,
        token: str = "",
    ) -> None:
        self.datacenter = datacenter
        self.addresses = tuple(f"{host}:{HTTP_PORT}" for host in hosts)
        names = [f"{datacenter}-{place}" for place, _ in enumerate(hosts, start=1)]
        self.servers = tuple(
            consul_server(
                name,
                host,
                folder / name,
                datacenter=datacenter,
                peers=hosts,
                wan=wan,
                settings=settings,
                token=token,
            )
            for name, host in zip(names, hosts, strict=True)
        )

    async def start(self) -> None:
        """Start those that do not run, and wait until every one is ready.

        Raises:
            UnavailableError: one of them was not; none is left running.
        """
        try:
            self.launch()
            for server in self.servers:
                await server.ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start those that do not run, and don't wait."""
        for server in self.servers:
            if server.pid is None:
                server.launch()

    def kill(self) -> None:
        """End all without warning."""
        for server in self.servers:
            server.kill()


def _takes_a_value(host: str, token: str) -> bool:
    """Write a value, which needs a leader and a majority; raises OSError when nobody answers."""
    line = HTTPConnection(host, HTTP_PORT, timeout=ASK_S)
    try:
        line.request("PUT", _READY_KEY, body=b"", headers={"X-Consul-Token": token} if token else {})
        return line.getresponse().status == 200
    except HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        line.close()
