"""The built-in app "restore": the state of a tenant as of an earlier time takes the place of the present one.

Only the node that serves the tenant submits its steps: no client can, for no message type leads here. A state that is
too large for one entry is laid ready in parts first; what a tenant's members see changes with the one entry after them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.message import Message

from core.errors import ConflictError, MalformedError, OversizedError
from nodes.app_port import Asked, Decided
from nodes.apps.wire import AppPiece
from twinhold.v1 import journal_pb2 as pb

NAME = "restore"
STATE_BYTES_MAX = 64 << 20
"""Of a state that is laid ready: every copy of the shard loads it in one turn of its loop."""


@dataclass(frozen=True, slots=True)
class RestoreState:
    """What is laid ready for a tenant, and what the last entry put in place."""

    attempt: str = ""
    parts: tuple[bytes, ...] = ()
    """Serialized ``StagedPieces``."""
    size_bytes: int = 0
    ready: tuple[AppPiece, ...] | None = None
    """The tenant's new state; whoever applies the entry takes it from here. None: nothing changes."""


class RestoreApp:
    """Keeps what is laid ready."""

    name = NAME
    schema_version = 1
    reads_versions = (1, 1)
    command: type[Message] = pb.RestoreStep
    query: type[Message] = pb.RestoreStep
    event: type[Message] = pb.RestoreStep
    answer: type[Message] = pb.RestoreAnswer

    def empty(self) -> object:
        """Make the state of a tenant for which nothing is laid ready."""
        return RestoreState()

    def decide(self, state: object, command: Message, asked: Asked) -> Decided:
        """Judge a step.

        Raises:
            ConflictError: another attempt came between.
            OversizedError: too much is laid ready.
            MalformedError: it is no step.
        """
        assert isinstance(command, pb.RestoreStep), "the ledger parses what the app names"
        assert isinstance(state, RestoreState), "the app's own state"
        event = command.SerializeToString()
        match command.WhichOneof("step"):
            case "staged":
                _check_staged(state, command.staged, len(event))
                return Decided((event,), pb.RestoreAnswer())
            case "restored":
                it = command.restored
                if it.attempt and (it.attempt, it.parts) != (state.attempt, len(state.parts)):
                    raise _overtaken(asked.tenant)
                return Decided((event,), pb.RestoreAnswer(at_ms=it.at_ms, as_of_lsn=it.as_of_lsn, counts=it.counts))
            case _:
                raise MalformedError("restore step", "", expected="staged or restored")

    def apply(self, state: object, event: bytes, version: int) -> object:
        """Take a step."""
        assert isinstance(state, RestoreState), "the app's own state"
        step = pb.RestoreStep.FromString(event)
        if step.WhichOneof("step") == "staged":
            part = step.staged.SerializeToString()
            first = step.staged.number == 0
            before, size = ((), 0) if first else (state.parts, state.size_bytes)
            return RestoreState(step.staged.attempt, (*before, part), size + len(event))
        parts = [pb.StagedPieces.FromString(part).pieces for part in state.parts] if step.restored.attempt else []
        return RestoreState(
            ready=tuple(map(_piece, (piece for some in (*parts, step.restored.pieces) for piece in some)))
        )

    def ask(self, state: object, query: Message, asked: Asked) -> Iterator[Message]:
        """Refuse: there is nothing to ask."""
        raise MalformedError("restore query", "", expected="none: nothing is asked of this app")

    def export(self, state: object) -> Iterator[bytes]:
        """Write what is laid ready."""
        assert isinstance(state, RestoreState), "the app's own state"
        return iter(state.parts)

    def load(self, parts: Iterable[bytes], version: int) -> object:
        """Read what is laid ready."""
        found = tuple(parts)
        attempt = pb.StagedPieces.FromString(found[0]).attempt if found else ""
        return RestoreState(attempt, found, sum(map(len, found)))


def staged_step(attempt: str, number: int, pieces: Iterable[AppPiece]) -> bytes:
    """Write the command that lays a part ready."""
    return pb.RestoreStep(
        staged=pb.StagedPieces(attempt=attempt, number=number, pieces=map(_message, pieces))
    ).SerializeToString()


def restored_step(restored: pb.RestoredTenant, pieces: Iterable[AppPiece]) -> bytes:
    """Write the command that puts a state in place: what was laid ready, then ``pieces``."""
    step = pb.RestoreStep(restored=restored)
    step.restored.pieces.extend(map(_message, pieces))
    return step.SerializeToString()


def _check_staged(state: RestoreState, part: pb.StagedPieces, size_bytes: int) -> None:
    if not part.attempt:
        raise MalformedError("attempt", "", expected="a name")
    if part.number == 0:
        return
    if (part.attempt, part.number) != (state.attempt, len(state.parts)):
        raise _overtaken("the tenant")
    if state.size_bytes + size_bytes > STATE_BYTES_MAX:
        raise OversizedError(
            "the restored state", size_bytes=state.size_bytes + size_bytes, limit_bytes=STATE_BYTES_MAX
        )


def _overtaken(tenant: str) -> ConflictError:
    return ConflictError(f"another restore of {tenant} came between: look what it did, and ask again")


def _piece(message: pb.AppPiece) -> AppPiece:
    return AppPiece(message.app, message.schema_version, message.body, message.last)


def _message(piece: AppPiece) -> pb.AppPiece:
    return pb.AppPiece(app=piece.app, schema_version=piece.schema_version, body=piece.body, last=piece.last)
