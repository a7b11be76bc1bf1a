"""Between a call that awaits and a driver that answers later, by callback."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from control_plane.views import Asked
from core.errors import MalformedError, TwinholdError, UnknownOutcomeError
from core.io.serve import Context, principal_of

Answer = TypeVar("Answer")

REQUEST_ID_LENGTH_MAX = 64
REASON_LENGTH_MAX = 500
CALL_S = 10.0
"""How long the driver may take; its own calls to store and nodes have shorter deadlines."""


async def answered(ask: Callable[[Callable[[Answer | TwinholdError], None]], None]) -> Answer:
    """Ask a driver and wait for its answer.

    Raises:
        TwinholdError: the driver answered with one.
        UnknownOutcomeError: no answer came in time.
    """
    future: asyncio.Future[Answer | TwinholdError] = asyncio.get_running_loop().create_future()

    def done(answer: Answer | TwinholdError) -> None:
        if not future.done():
            future.set_result(answer)

    ask(done)
    try:
        answer = await asyncio.wait_for(future, CALL_S)
    except TimeoutError as cause:
        raise UnknownOutcomeError(f"no answer within {CALL_S:.0f} s: ask again under the same request id") from cause
    if isinstance(answer, TwinholdError):
        raise answer
    return answer


def asked(context: Context, *, reason: str, request_id: str, validate_only: bool = False) -> Asked:
    """Establish who asks for an operation, why, and under which id.

    Raises:
        MalformedError: the reason is too long, or there is no id although something is to be done.
    """
    if len(reason) > REASON_LENGTH_MAX:
        raise MalformedError("reason", reason, expected=f"at most {REASON_LENGTH_MAX} characters")
    known = request_id if validate_only and not request_id else required_request_id(request_id)
    return Asked(principal_of(context).name, reason, known)


def required_request_id(text: str) -> str:
    """Check the id under which a retry is recognised.

    Raises:
        MalformedError: it is missing or longer than 64 characters.
    """
    if not 0 < len(text) <= REQUEST_ID_LENGTH_MAX:
        raise MalformedError("request_id", text, expected="a fresh UUID, at most 64 characters; a retry uses the same")
    return text
