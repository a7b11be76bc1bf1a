"""Starts real Cassandra data centers of one small node each, on addresses of this machine."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from core.errors import UnavailableError
from regions.cassandra_settings import CQL_PORT, LOGBACK, cassandra_yaml, java_arguments, rackdc_properties
from regions.io.cql_probe import serves
from regions.io.server_process import TOOLS, ServerProcess

START_S = 120.0
"""Three at once on two busy cores; 10 s on two idle ones."""
_RING = 2**64


class CassandraServers:
    """Some data centers of one cluster; each server lives in ``{folder}/cassandra-{data center}``.

    Args:
        hosts: each data center's address, by Cassandra's name for it; the keys are fixed for the life of the folder.
        folder: for all that they keep; made if it is not there.
        with_passwords: clients have to log in.
        advertised: other addresses that clients are told, by data center: of proxies that stand before the nodes.
    """

    def __init__(
        self,
        hosts: Mapping[str, str],
        folder: Path,
        *,
        with_passwords: bool = False,
        advertised: Mapping[str, str] | None = None,
    ) -> None:
        self._hosts = dict(hosts)
        self._advertised = {**hosts, **(advertised or {})}
        self._with_passwords = with_passwords
        self.servers = {dc: self._server(dc, folder / f"cassandra-{dc}") for dc in hosts}
        """Each data center's, by its name."""

    @property
    def contact_points(self) -> tuple[str, ...]:
        """Where clients dial."""
        return tuple(f"{host}:{CQL_PORT}" for host in self._hosts.values())

    async def start(self) -> None:
        """Start all that do not run, and wait until each answers and knows all the others.

        Raises:
            UnavailableError: one could not be started; none is left behind.
        """
        resting = [dc for dc, server in self.servers.items() if server.pid is None]
        for dc in resting:
            self._configure(dc)
        try:
            for dc in resting:
                self.servers[dc].launch()
            await asyncio.gather(*(self.servers[dc].ready() for dc in resting))
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End all of them without warning."""
        for server in self.servers.values():
            server.kill()

    def _server(self, dc: str, folder: Path) -> ServerProcess:
        jars = sorted((TOOLS / "cassandra" / "lib").glob("*.jar"))
        if not jars:
            raise UnavailableError("Cassandra is not there: run `make servers`")
        return ServerProcess(
            f"cassandra-{dc}",
            java_arguments(jars=jars, configuration=folder / "conf", folder=folder),
            folder,
            answers=partial(serves, self._hosts[dc], CQL_PORT, others=len(self._hosts) - 1),
            start_s=START_S,
        )

    def _configure(self, dc: str) -> None:
        place = list(self._hosts).index(dc)
        folder = self.servers[dc].folder
        configuration = folder / "conf"
        configuration.mkdir(parents=True, exist_ok=True)
        yaml = cassandra_yaml(
            host=self._hosts[dc],
            advertised=self._advertised[dc],
            seeds=list(self._hosts.values()),
            token=-(_RING // 2) + place * (_RING // len(self._hosts)) + 1,
            folder=folder,
            with_passwords=self._with_passwords,
        )
        (configuration / "cassandra.yaml").write_text(yaml)
        (configuration / "cassandra-rackdc.properties").write_text(rackdc_properties(dc))
        (configuration / "logback.xml").write_text(LOGBACK)
