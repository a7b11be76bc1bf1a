"""A YAML document whose every value knows the line it stands on, so that a complaint can name the place.

Topologies and scenarios are read through this. A field that nobody asked for is an error, never ignored: a typing
mistake in a fleet's description must not silently mean the default.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias, TypeVar

import yaml

from core.errors import FixRequestError, TwinholdError

Found = TypeVar("Found")
Scalar: TypeAlias = str | int | float | bool | None
Content: TypeAlias = "Scalar | tuple[Entry, ...] | dict[str, Entry]"


class DocumentError(FixRequestError):
    """A document says something that can't be; the message starts with ``file:line:``."""

    def __init__(self, entry: "Entry", complaint: str) -> None:
        super().__init__(f"{entry.file}:{entry.line}: {complaint}", file=entry.file, line=entry.line)


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a document, and where it stands."""

    content: Content
    file: str
    line: int
    path: str
    """Dotted, e.g. ``geographies.eu.shards``; empty for the whole document."""

    @property
    def name(self) -> str:
        """Say what the value is called, for people."""
        return self.path or "the document"


def parsed(text: str, file: str) -> Entry:
    """Parse YAML.

    Args:
        text: the document.
        file: how to call it in complaints.

    Raises:
        DocumentError: it is not YAML, is empty, has a key twice, or a key that is not a string.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError(Entry(None, file, line, ""), f"not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise DocumentError(Entry(None, file, 1, ""), f"not YAML: {error}") from error
    if root is None:
        raise DocumentError(Entry(None, file, 1, ""), "the document is empty")
    return _entry(root, file, "")


def table(entry: Entry, fields: Sequence[str]) -> Mapping[str, Entry]:
    """Take a mapping of which only the given fields are known; all may be missing.

    Raises:
        DocumentError: it is not a mapping, or has another field.
    """
    found = mapping(entry)
    for name, value in found.items():
        if name not in fields:
            close = get_close_matches(name, fields, n=1)
            hint = f": did you mean {close[0]!r}?" if close else ";"
            raise DocumentError(value, f"unknown field {name!r}{hint} allowed: {', '.join(fields)}")
    return found


def mapping(entry: Entry) -> dict[str, Entry]:
    """Take a mapping with keys of the author's choice."""
    if not isinstance(entry.content, dict):
        raise wrong(entry, "a mapping")
    return entry.content


def sequence(entry: Entry) -> tuple[Entry, ...]:
    """Take a list."""
    if not isinstance(entry.content, tuple):
        raise wrong(entry, "a list")
    return entry.content


def required(entry: Entry, field: str) -> Entry:
    """Take a field that a mapping must have."""
    found = mapping(entry).get(field)
    if found is None:
        raise DocumentError(entry, f"{entry.name} lacks the field {field!r}")
    return found


def text(entry: Entry) -> str:
    """Take a string; a bare number is not one."""
    if not isinstance(entry.content, str) or not entry.content:
        raise wrong(entry, "a text")
    return entry.content


def whole(entry: Entry, *, least: int, most: int) -> int:
    """Take a whole number within bounds, both included."""
    if not isinstance(entry.content, int) or isinstance(entry.content, bool) or not least <= entry.content <= most:
        raise wrong(entry, f"a whole number from {least} to {most}")
    return entry.content


def number(entry: Entry, *, least: float, most: float) -> float:
    """Take a number within bounds, both included."""
    content = entry.content
    if not isinstance(content, int | float) or isinstance(content, bool) or not least <= content <= most:
        raise wrong(entry, f"a number from {least:g} to {most:g}")
    return float(content)


def choice(entry: Entry, allowed: Mapping[str, Found]) -> Found:
    """Take one of several words."""
    if not isinstance(entry.content, str) or entry.content not in allowed:
        raise wrong(entry, f"one of {', '.join(allowed)}")
    return allowed[entry.content]


def through(entry: Entry, parse: Callable[[str], Found]) -> Found:
    """Take a string through a parser, and put the place before what the parser complains about."""
    try:
        return parse(text(entry))
    except DocumentError:
        raise
    except TwinholdError as error:
        raise DocumentError(entry, error.message) from error


def key(entry: Entry, parse: Callable[[str], Found]) -> Found:
    """Take the key that an entry stands under through a parser."""
    try:
        return parse(entry.path.rpartition(".")[2])
    except TwinholdError as error:
        raise DocumentError(entry, error.message) from error


def wrong(entry: Entry, expected: str) -> DocumentError:
    """Build the complaint that a value is not what it should be."""
    match entry.content:
        case dict():
            shown = "a mapping"
        case tuple():
            shown = "a list"
        case _:
            shown = repr(entry.content)
    return DocumentError(entry, f"{entry.name} is {shown}: expected {expected}")


def _entry(node: yaml.Node, file: str, path: str) -> Entry:
    line = node.start_mark.line + 1
    match node:
        case yaml.MappingNode():
            return Entry(_members(node, file, path), file, line, path)
        case yaml.SequenceNode():
            items = (_entry(item, file, f"{path}[{n}]") for n, item in enumerate(node.value))
            return Entry(tuple(items), file, line, path)
        case _:
            return Entry(_scalar(node, file, path), file, line, path)


def _members(node: yaml.MappingNode, file: str, path: str) -> dict[str, Entry]:
    members: dict[str, Entry] = {}
    for name, value in node.value:
        here = Entry(None, file, name.start_mark.line + 1, path)
        if not isinstance(name, yaml.ScalarNode):
            raise DocumentError(here, "a key must be a text")
        if name.value in members:
            raise DocumentError(here, f"the field {name.value!r} stands here twice")
        inner = _entry(value, file, f"{path}.{name.value}" if path else name.value)
        members[name.value] = Entry(inner.content, file, here.line, inner.path)
    return members


def _scalar(node: yaml.Node, file: str, path: str) -> Scalar:
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError(
            Entry(None, file, node.start_mark.line + 1, path), f"not a value: {node.value!r}"
        ) from error
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(node.value)
