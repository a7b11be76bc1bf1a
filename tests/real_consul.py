"""A real Consul for tests: started once for a module, gone afterwards; and what watches it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from core.discovery import Discovery, Instance, Listed
from core.engines import ConsulEngine
from regions.io.consul_servers import ConsulServers
from tests.engines.needs import need

PATIENCE_S = 30.0


@contextmanager
def running(
    folder: Path, hosts: Sequence[str], *, settings: Mapping[str, object] | None = None, token: str = ""
) -> Iterator[ConsulServers]:
    """Run the servers of one Consul datacenter."""
    need("consul/consul")
    servers = ConsulServers(folder, hosts, settings=settings, token=token)
    asyncio.run(servers.start())
    try:
        yield servers
    finally:
        servers.kill()


def hosts(octet: int) -> list[str]:
    """Name three addresses."""
    return [f"127.{octet}.0.{place}" for place in (1, 2, 3)]


def engine_of(servers: ConsulServers, *, token: str = "", first: int = 0) -> ConsulEngine:
    """Dial a Consul; ``first``: which of its servers is asked first."""
    addresses = servers.addresses[first:] + servers.addresses[:first]
    return ConsulEngine(addresses, datacenter="", token=token)


class Life:
    """A process's life, ended by hand."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def end(self) -> None:
        """End it."""
        self._over.set()

    async def over(self) -> None:
        """Wait for the end."""
        await self._over.wait()


class Seen:
    """A watch, and everything that it told."""

    def __init__(self, discovery: Discovery) -> None:
        self.all: list[Listed] = []
        self._discovery = discovery
        self._told = asyncio.Event()

    async def __aenter__(self) -> "Seen":
        self._watch = asyncio.create_task(self._discovery.watch(self._tell))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)

    async def shows(self, *wanted: Instance) -> None:
        """Wait until exactly these are what was told last."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.all or self.all[-1] != wanted:
                self._told.clear()
                await self._told.wait()

    def _tell(self, listed: Listed) -> None:
        self.all.append(listed)
        self._told.set()
