"""Errors on the wire: ``google.rpc.Status`` with ErrorInfo, RetryInfo, QuotaFailure and PreconditionFailure."""

from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from core.errors import RefusedBySafetyError, TwinholdError, revived
from core.wire import CODE_NUMBERS

DOMAIN = "twinhold"


def status_of(error: TwinholdError) -> status_pb2.Status:
    """Write an error as a rich status."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts)]
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(max(1, round(error.retry_after_s * 1000)))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.reason == "QUOTA":
        subject = error.facts.get("tenant", "")
        violation = error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if isinstance(error, RefusedBySafetyError):
        details.append(_precondition(error))
    return status_pb2.Status(code=CODE_NUMBERS[error.code], message=error.message, details=[_any(d) for d in details])


async def abort(context: Any, error: TwinholdError) -> NoReturn:
    """End a call with an error; the type stubs of ``ServicerContext`` lack ``abort_with_status``, hence Any."""
    await context.abort_with_status(rpc_status.to_status(status_of(error)))
    raise AssertionError("abort_with_status returned")


def error_of(call_error: grpc.RpcError) -> TwinholdError:
    """Read the error of a failed call; a bare status becomes the class of its code."""
    assert isinstance(call_error, aio.AioRpcError), f"not the error of a call of grpc.aio: {call_error!r}"
    code, text = call_error.code().name, call_error.details() or call_error.code().name
    status = rpc_status.from_call(call_error)  # type: ignore[arg-type]  # the stub knows sync calls only
    if status is None:
        return revived(code=code, reason=code, message=text, facts={})
    return _from_status(code, status)


def _from_status(code: str, status: status_pb2.Status) -> TwinholdError:
    told = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    failure = error_details_pb2.PreconditionFailure()
    has_retry = False
    for detail in status.details:
        detail.Unpack(told)
        has_retry = detail.Unpack(retry) or has_retry
        detail.Unpack(failure)
    return revived(
        code=code,
        reason=told.reason or code,
        message=status.message,
        facts=dict(told.metadata),
        retry_after_s=retry.retry_delay.ToMilliseconds() / 1000 if has_retry else None,
        violations=[violation.description for violation in failure.violations],
    )


def _precondition(error: RefusedBySafetyError) -> error_details_pb2.PreconditionFailure:
    kind = error_details_pb2.PreconditionFailure.Violation
    lines = error.violations or (error.message,)
    return error_details_pb2.PreconditionFailure(
        violations=[kind(type=error.reason, description=line) for line in lines]
    )


def _any(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
