"""What a command or a read on the wire must be before the node looks at it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from google.protobuf.any_pb2 import Any

from core.errors import MalformedError, OversizedError, TwinholdError
from core.io.dial import MESSAGE_BYTES_MAX
from core.topology import Topology
from nodes.app_table import AppTable, type_url
from nodes.ledger import Submitted
from nodes.views import Outcome, QueryOutcome
from twinhold.v1 import command_service_pb2 as pb

REQUEST_ID_LENGTH_MAX = 64


class Served(Protocol):
    """Whoever runs commands and reads: the node's driver."""

    def submit(self, submitted: Submitted, done: Callable[[Outcome], None]) -> None:
        """Run a command; ``done`` gets the answer once it is committed, or the error."""
        ...

    def read(self, tenant: str, type_url: str, body: bytes, actor: str) -> QueryOutcome | None:
        """Read as ``query`` does, when nothing has to be waited for; None: ask ``query``."""
        ...

    def query(
        self, *, tenant: str, type_url: str, body: bytes, actor: str, done: Callable[[QueryOutcome], None]
    ) -> None:
        """Read, linearizably; ``done`` gets the answer or the error."""
        ...


class Intake:
    """Reads commands; knows which app each kind of message belongs to.

    Args:
        apps: what this node runs.
        topology: where owners are dialled.
    """

    def __init__(self, apps: AppTable, topology: Topology) -> None:
        self._apps = apps
        self._endpoints: Mapping[str, str] = {node.id: node.endpoint for node in topology.nodes}

    def submitted(self, command: pb.Command, actor: str) -> Submitted:
        """Read a command.

        Raises:
            OversizedError: it is larger than the limit.
            MalformedError: it has no body, or no usable request id.
            NotFoundError: no app here takes such a body.
        """
        tenant, request_id, packed = command.tenant, command.request_id, command.body
        url, body = packed.type_url, packed.value
        _check_size("the command", tenant, url, body)
        if not 0 < len(request_id) <= REQUEST_ID_LENGTH_MAX:
            raise MalformedError("request id", request_id, expected=f"1 to {REQUEST_ID_LENGTH_MAX} characters, a UUID")
        return Submitted(tenant, self._apps.of_command(url).name, body, url, actor, request_id, command.epoch)

    def event(self, app: str, body: bytes) -> Any:
        """Pack an app's event for a subscriber."""
        return Any(type_url=type_url(self._apps.named(app).event), value=body)

    def pointed(self, error: TwinholdError) -> TwinholdError:
        """Add to an error that names an owner where that one is dialled."""
        endpoint = self._endpoints.get(error.facts.get("owner", ""))
        if endpoint is not None:
            error.facts["owner_endpoint"] = endpoint
        return error


def asking(
    served: Served, request: pb.QueryRequest, actor: str, done: Callable[[QueryOutcome], None]
) -> Callable[[], None]:
    """Check a read, and return how it begins.

    Raises:
        OversizedError: it is larger than the limit.
    """
    tenant, packed = request.tenant, request.body
    url, body = packed.type_url, packed.value
    _check_size("the query", tenant, url, body)
    return partial(served.query, tenant=tenant, type_url=url, body=body, actor=actor, done=done)


def _check_size(what: str, tenant: str, url: str, body: bytes) -> None:
    """Refuse what is too large by its parts: to say how long a message is, protobuf writes it out."""
    size_bytes = len(tenant) + len(url) + len(body)
    if size_bytes > MESSAGE_BYTES_MAX:
        raise OversizedError(what, size_bytes=size_bytes, limit_bytes=MESSAGE_BYTES_MAX)
