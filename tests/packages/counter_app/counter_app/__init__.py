"""The app "counter": one number per tenant. Commands add an ``Int64Value`` to it; the query is an ``Empty``.

Made of protobuf's well-known types, so that it needs no generated code.
"""

from collections.abc import Iterable, Iterator

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int64Value

from core.errors import RefusedByAppError
from nodes.app_port import Asked, Decided

HIGHEST = 1 << 62


class CounterApp:
    """Counts."""

    name = "counter"
    schema_version = 1
    reads_versions = (1, 1)
    command: type[Message] = Int64Value
    query: type[Message] = Empty
    event: type[Message] = Int64Value
    answer: type[Message] = Int64Value

    def empty(self) -> int:
        """Start at nothing."""
        return 0

    def decide(self, state: int, command: Message, asked: Asked) -> Decided:
        """Add, within bounds; the answer is the sum."""
        assert isinstance(command, Int64Value), "the ledger parses what the app names"
        total = state + command.value
        if abs(total) > HIGHEST:
            raise RefusedByAppError(f"the counter can't hold {total}", app_reason="OUT_OF_RANGE")
        return Decided((Int64Value(value=command.value).SerializeToString(),), Int64Value(value=total))

    def apply(self, state: int, event: bytes, version: int) -> int:
        """Add."""
        return state + Int64Value.FromString(event).value

    def ask(self, state: int, query: Message, asked: Asked) -> Iterator[Message]:
        """Read."""
        return iter((Int64Value(value=state),))

    def export(self, state: int) -> Iterator[bytes]:
        """Write the number."""
        return iter((Int64Value(value=state).SerializeToString(),))

    def load(self, parts: Iterable[bytes], version: int) -> int:
        """Read the number."""
        return Int64Value.FromString(b"".join(parts)).value


app = CounterApp()
