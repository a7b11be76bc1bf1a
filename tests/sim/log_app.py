"""A minimal app for simulated worlds: a log of unique texts; the answer is a text's place in it, from 1."""

from collections.abc import Iterable, Iterator

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from nodes.app_port import Asked, Decided


class LogApp:
    """Appends what it is told, whatever it is."""

    name = "log"
    schema_version = 1
    reads_versions = (1, 1)
    command: type[Message] = StringValue
    query: type[Message] = Empty
    event: type[Message] = StringValue
    answer: type[Message] = Int64Value

    def empty(self) -> object:
        """Make an empty log."""
        return []

    def decide(self, state: object, command: Message, asked: Asked) -> Decided:
        """Append the text."""
        assert isinstance(state, list), "a log is a list"
        return Decided((command.SerializeToString(),), Int64Value(value=len(state) + 1))

    def apply(self, state: object, event: bytes, version: int) -> object:
        """Take the text."""
        assert isinstance(state, list), "a log is a list"
        state.append(StringValue.FromString(event).value)
        return state

    def ask(self, state: object, query: Message, asked: Asked) -> Iterator[Message]:
        """List the whole log."""
        assert isinstance(state, list), "a log is a list"
        return iter([StringValue(value="\n".join(state))])

    def export(self, state: object) -> Iterator[bytes]:
        """Write the log."""
        assert isinstance(state, list), "a log is a list"
        return iter([StringValue(value="\n".join(state)).SerializeToString()])

    def load(self, parts: Iterable[bytes], version: int) -> object:
        """Read what ``export`` wrote."""
        text = StringValue.FromString(b"".join(parts)).value
        return text.split("\n") if text else []
