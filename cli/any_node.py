"""What any node can answer from its last good map, while no control plane lives."""

import asyncio

from cli.output import note
from cli.session import Session
from core.errors import UnavailableError
from twinhold.v1.assignment_service_pb2 import MapAge, ResolveRequest, ResolveResponse
from twinhold.v1.assignment_service_pb2_grpc import AssignmentServiceStub

NODES_ASKED = 3
ANSWER_S = 1.0


async def resolved(session: Session, request: ResolveRequest) -> ResolveResponse | None:
    """Ask a few nodes who holds a tenant or a shard; None when none of them answers."""
    asked = [
        session.ask_at(endpoint, lambda channel: AssignmentServiceStub(channel).Resolve, request, timeout_s=ANSWER_S)
        for endpoint in list(session.doors.nodes.values())[:NODES_ASKED]
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return next((answer for answer in answers if isinstance(answer, ResolveResponse)), None)


async def resolved_instead(session: Session, request: ResolveRequest, cause: UnavailableError) -> ResolveResponse:
    """Let nodes answer what no control plane did, and say so on stderr.

    Raises:
        UnavailableError: the cause; no node answers either.
    """
    answer = await resolved(session, request)
    if answer is None:
        raise cause
    note(f"twinhold: no control plane answers; {age_text(answer.age)}. Start a control plane again.")
    return answer


def age_text(age: MapAge) -> str:
    """Say which map the nodes go on from."""
    revision = f"{age.revision.term}.{age.revision.n}"
    return f"nodes go on serving from the map of revision {revision}, {age.age_ms / 1000:.0f} s old"
