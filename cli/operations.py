"""Work that takes longer than a call: shown while it goes on, left alone when the watcher leaves."""

import asyncio

from cli.messages import message_json
from cli.output import Table, bare, moment, note, show_json, show_table
from cli.session import Session
from core.wire import error_of_command
from twinhold.v1.command_service_pb2 import CommandError
from twinhold.v1.operation_pb2 import Operation
from twinhold.v1.operation_service_pb2 import WaitOperationRequest
from twinhold.v1.operation_service_pb2_grpc import OperationServiceStub

LOOK_S = 1.0


def progress(operation: Operation) -> str:
    """Say how far an operation is, on one line."""
    detail = f": {operation.detail}" if operation.detail else ""
    return f"{operation.title} {operation.steps_done}/{operation.steps}{detail}"


def operations_table(operations: list[Operation]) -> Table:
    """List operations."""
    rows = [
        (bare(it.name), it.title, f"{it.steps_done}/{it.steps}", outcome(it), moment(it.started_at_ms))
        for it in operations
    ]
    return Table(("operation", "what", "steps", "state", "since"), rows)


def outcome(operation: Operation) -> str:
    """Say in a word or two how an operation stands."""
    if not operation.done:
        return "running"
    return f"failed: {operation.error.message}" if operation.HasField("error") else "done"


async def follow(session: Session, operation: Operation) -> Operation:
    """Watch an operation to its end, telling each change on stderr.

    Leaving early (Ctrl-C) leaves the operation alone, and says so.
    """
    told = ""
    try:
        while True:
            if (line := progress(operation)) != told:
                note(line)
                told = line
            if operation.done:
                return operation
            answer = await session.ask(
                lambda channel: OperationServiceStub(channel).WaitOperation,
                WaitOperationRequest(name=operation.name, timeout_ms=int(LOOK_S * 1000)),
                server_wait_s=LOOK_S,
            )
            operation = answer.operation
    except asyncio.CancelledError:
        note(f"{operation.name} goes on; see it with: twinhold failover status")
        raise


def conclude(session: Session, operation: Operation) -> None:
    """Show how an operation ended.

    Raises:
        TwinholdError: it failed; of the class that its reason names.
    """
    if operation.HasField("error"):
        error = operation.error
        raise error_of_command(CommandError(reason=error.reason, message=f"{operation.title} failed: {error.message}"))
    if session.as_json:
        show_json(message_json(operation))
    else:
        show_table(operations_table([operation]))


async def carry_out(session: Session, operation: Operation, *, wait: bool) -> None:
    """Follow an operation to its end, or only name it."""
    conclude(session, await follow(session, operation) if wait else operation)
