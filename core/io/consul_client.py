"""Calls to HashiCorp Consul as one thread makes them: py-consul blocks, and ends each call in time only if it is told.

Only who chose Consul imports this. Traps of py-consul 1.8 that are seen to here: the environment's CONSUL_HTTP_TOKEN
beats the token that it is given, it follows the environment's proxies, closing it closes nothing, and it refuses a
session of less than 10 s, whatever the server allows.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from core.engines import ConsulEngine
from core.errors import NotAllowedError, UnavailableError
from core.io.consul_trouble import trouble

try:
    from consul import callback, exceptions, std
except ImportError as missing:
    raise UnavailableError(
        "Consul needs the package py-consul: install it with: pip install 'twinhold[consul]'", reason="ENGINE_MISSING"
    ) from missing

__all__ = ["RIGHTS", "Agents", "Client", "TtlTooShortError", "exceptions", "refused"]

Answer = TypeVar("Answer")
RIGHTS = (
    'key_prefix "twinhold/": write, session_prefix "": write, service_prefix "twinhold-": write, node_prefix "": read'
)
SHORTEST_S = 0.001
"""What a call whose time is up is given: a time-out of 0 would be refused as malformed."""
_TTL_RANGE = re.compile(r"Invalid Session TTL .* between \[([0-9hms.]+)=")
_DURATION = re.compile(r"([0-9.]+)(h|ms|m|s)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class TtlTooShortError(Exception):
    """A session was to run out earlier than this Consul allows; ``shortest_s`` is what its ``session_ttl_min`` says."""

    def __init__(self, shortest_s: float) -> None:
        super().__init__(shortest_s)
        self.shortest_s = shortest_s


class _Http(std.HTTPClient):  # type: ignore[misc]  # py-consul comes without types
    """Gives each call what is left of its time, connecting and answering each."""

    until = 0.0

    def timeout(self, _params: object) -> float:
        """Say how long to wait, in seconds."""
        return max(SHORTEST_S, self.until - time.monotonic())


class Client(std.Consul):  # type: ignore[misc]  # as above
    """py-consul on one address."""

    def __init__(self, address: str, engine: ConsulEngine) -> None:
        host, _, port = address.rpartition(":")
        tls = engine.tls
        super().__init__(
            host=host.strip("[]"),
            port=int(port),
            scheme="http" if tls is None else "https",
            verify=True if tls is None else tls.ca_file,
            cert=(tls.cert_file, tls.key_file) if tls is not None and tls.cert_file else None,
        )
        self.token = engine.token
        self.http.session.trust_env = False

    def http_connect(self, host: str, port: int, scheme: str, verify: object = True, cert: object = None) -> _Http:
        """Make the transport."""
        return _Http(host, port, scheme, verify, cert)

    def node_names(self, *, dc: str | None) -> list[str]:
        """Name the nodes of a Consul datacenter that the token may see; None: of the agent's own."""
        _, nodes = self.catalog.nodes(dc=dc)
        found: list[Any] = nodes or []  # what JSON holds
        return sorted(str(node["Node"]) for node in found)

    def create_session(self, name: str, *, ttl_s: float, dc: str | None) -> str:
        """Open a session without checks and lock delay, which deletes what it holds when it ends; returns its id.

        It is booked on the agent's node; in another Consul datacenter than the agent's, where that is not known, on
        the first one there.

        Raises:
            TtlTooShortError: the server allows no such short one.
        """
        body = {"Name": name, "TTL": f"{round(ttl_s * 1000)}ms", "Checks": [], "LockDelay": "0s", "Behavior": "delete"}
        place = {"Node": node} if dc and (node := next(iter(self.node_names(dc=dc)), "")) else {}
        params = [("dc", dc)] if dc else []
        try:
            made: Any = self.http.put(  # what JSON holds
                callback.CB.json(is_id=True),
                "/v1/session/create",
                params=params,
                headers=self.prepare_headers(),
                data=json.dumps({**body, **place}),
            )
        except exceptions.ConsulException as error:
            if found := _TTL_RANGE.search(str(error)):
                raise TtlTooShortError(_seconds(found[1])) from error
            raise
        return str(made)

    def close(self) -> None:
        """Close the connections."""
        self.http.session.close()


class Agents:
    """A Consul datacenter's agents, asked one after the other until one answers; for one thread.

    Who answered is asked first the next time: a register entry is kept by the agent that it was given to.
    """

    def __init__(self, engine: ConsulEngine) -> None:
        self._engine = engine
        self._order = deque(engine.addresses)
        self._clients: dict[str, Client] = {}

    def ask(self, job: Callable[[Client], Answer], *, until: float, tries: int | None = None) -> Answer:
        """Do a job at the first agent that answers; a job may be begun at several.

        Args:
            job: makes one or more calls.
            until: when it has to end, on the monotonic clock; shared out among the agents still to be tried.
            tries: how many agents are tried; None: all.

        Raises:
            NotAllowedError: an agent refuses the token.
            UnavailableError: none answered, or none knows who leads Consul.
        """
        troubles = []
        for left in range(tries or len(self._order), 0, -1):
            address, now = self._order[0], time.monotonic()
            share_s = max(0.0, until - now) / left
            try:
                return job(self._client(address, now + share_s))
            except exceptions.ACLPermissionDenied as error:
                raise refused(address, error) from error
            except (OSError, exceptions.ConsulException) as error:
                troubles.append(f"{address} ({trouble(error, waited_s=share_s)})")
                self._order.rotate(-1)
        raise UnavailableError(
            f"Consul does not answer at {', '.join(troubles)}: is it running, and are these its HTTP addresses?"
        )

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()

    def _client(self, address: str, until: float) -> Client:
        if address not in self._clients:
            self._clients[address] = Client(address, self._engine)
        client = self._clients[address]
        client.http.until = until
        return client


def refused(address: str, error: Exception) -> NotAllowedError:
    """Say that a token has not the rights that are needed, and which these are."""
    return NotAllowedError(f"Consul at {address} refuses the token ({trouble(error, waited_s=0.0)}): it needs {RIGHTS}")


def _seconds(duration: str) -> float:
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(duration))
