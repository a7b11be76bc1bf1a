"""One question to Consul over plain HTTP, for commands: who of a fleet lives.

A command asks once and ends. It needs no library for that: py-consul is an extra that the machine of whoever looks
after a fleet need not have, and importing it takes longer than asking.
"""

import json
import ssl
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from core.discovery import Listed, listed
from core.engines import ConsulEngine, Tls
from core.errors import MalformedError, NotAllowedError, TwinholdError, UnavailableError
from core.io.consul_entries import fleets_of, instances_from, service_name
from core.io.consul_trouble import trouble

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Ten times what 600 nodes take."""
_REMEDY = "give one that may read services and nodes, in TWINHOLD_DISCOVERY_TOKEN or discovery.token_file"


class ConsulQuestions:
    """Asks one Consul agent; answers of any server will do, of one without a leader too.

    Args:
        engine: of whose addresses the first is asked.
        deadline_s: for all questions together.
    """

    def __init__(self, engine: ConsulEngine, *, deadline_s: float) -> None:
        self._address = engine.addresses[0]
        self._token = engine.token
        self._tls = engine.tls
        self._until = time.monotonic() + deadline_s
        self._deadline_s = deadline_s

    def only_fleet(self) -> str:
        """Name the one fleet that is registered.

        Raises:
            UnavailableError: none is, or Consul does not answer.
            MalformedError: several are; names them.
            NotAllowedError: the token may see nothing.
        """
        services = self._get("/v1/catalog/services?stale")
        fleets = fleets_of(services) if isinstance(services, dict) else []
        if not fleets:
            raise self._nothing("no fleet")
        if len(fleets) > 1:
            names = ", ".join(fleets)
            raise MalformedError("endpoint", f"consul://{self._address}", expected=f"/FLEET behind it, one of {names}")
        return fleets[0]

    def living(self, fleet: str) -> Listed:
        """List a fleet's processes that live, in every Consul datacenter that can be reached.

        Raises:
            UnavailableError: none does, or Consul does not answer.
            NotAllowedError: the token may see nothing.
        """
        near, *far = self._datacenters()
        found = [*self._living_in(fleet, near)]
        for dc in far:
            try:
                found += self._living_in(fleet, dc)
            except UnavailableError:
                continue  # it is out of reach of the near one: what lives there is not known
        if not found:
            raise self._nothing(f"nobody of the fleet {fleet!r} who lives")
        return listed(found)

    def _nothing(self, what: str) -> TwinholdError:
        """Tell a register without entries from one that shows us none: every Consul has a node."""
        if not self._get("/v1/catalog/nodes?stale"):
            return NotAllowedError(f"Consul at {self._address} shows this token nothing: {_REMEDY}")
        return UnavailableError(f"Consul at {self._address} knows of {what}: is it up, with --discovery consul?")

    def _datacenters(self) -> Sequence[str]:
        found = self._get("/v1/catalog/datacenters")
        if not isinstance(found, list) or not found:
            raise UnavailableError(f"{self._address} names no Consul datacenter: is it Consul's HTTP address?")
        return [str(dc) for dc in found]

    def _living_in(self, fleet: str, dc: str) -> Listed:
        answer = self._get(f"/v1/health/service/{service_name(fleet)}?passing&stale&dc={dc}")
        return instances_from(answer, fleet)

    def _get(self, path: str) -> object:
        try:
            status, body = self._answer(path)
            answer = json.loads(body) if status == 200 else None
        except (OSError, HTTPException, ValueError) as error:
            raise self._unanswered(error) from error
        if status == 403:
            raise NotAllowedError(f"Consul at {self._address} refuses the token: {_REMEDY}")
        if status != 200:
            said = " ".join(body.decode(errors="replace").split())[:160]
            raise UnavailableError(f"Consul at {self._address} answers {status}: {said}")
        return answer

    def _answer(self, path: str) -> tuple[int, bytes]:
        line = self._line(max(0.001, self._until - time.monotonic()))
        try:
            line.request("GET", path, headers={"X-Consul-Token": self._token} if self._token else {})
            answer = line.getresponse()
            return answer.status, answer.read(ANSWER_BYTES_MAX)
        finally:
            line.close()

    def _line(self, timeout_s: float) -> HTTPConnection:
        host, _, port = self._address.rpartition(":")
        if self._tls is None:
            return HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
        return HTTPSConnection(host.strip("[]"), int(port), timeout=timeout_s, context=_context(self._tls))

    def _unanswered(self, error: Exception) -> TwinholdError:
        cause = trouble(error, waited_s=self._deadline_s)
        return UnavailableError(f"Consul does not answer at {self._address} ({cause}): is it running there?")


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        files = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise UnavailableError(f"the files of discovery.tls can't be used ({files}): {error.strerror}") from error
    return context
