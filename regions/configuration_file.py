"""The configuration file: TOML, and where each of its keys stands, so that a complaint can name the line."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from core.errors import FixRequestError
from regions.configuration_keys import KEYS

NAME = "twinhold.toml"
_HEADER = re.compile(r"\[\s*([A-Za-z0-9_.-]+)\s*\]\s*(#.*)?")
_ENTRY = re.compile(r"([A-Za-z0-9_.-]+)\s*=")
_AT_LINE = re.compile(r"(.*) \(at line (\d+), column \d+\)")


class ConfigurationError(FixRequestError):
    """The configuration says something that can't be; names the key, where it stands, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it came."""

    value: object = field(repr=False)
    origin: str
    """``twinhold.toml:7``, an environment variable, or an option."""


def read_toml(text: str, file: str) -> Mapping[str, Given]:
    """Read the configuration file; values are not judged yet.

    Args:
        text: its content.
        file: how to call it in complaints.

    Raises:
        ConfigurationError: it is not TOML, or has a key that nobody knows.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _AT_LINE.fullmatch(str(error))
        said = f"{file}:{place[2]}: not TOML: {place[1]}" if place else f"{file}: not TOML: {error}"
        raise ConfigurationError(said, file=file) from error
    lines = _lines(text)

    def origin(key: str) -> str:
        return f"{file}:{lines[key]}" if key in lines else file

    return {key: Given(value, origin(key)) for key, value in _flat(document, "", origin)}


def unknown(key: str, origin: str) -> ConfigurationError:
    """Complain about a key that nobody knows."""
    close = get_close_matches(key, KEYS, n=1, cutoff=0.7)
    section = f"{key.partition('.')[0]}."
    sections = sorted({f"{name.partition('.')[0]}.*" for name in KEYS})
    beside = [name for name in KEYS if name.startswith(section)] or sections
    hint = f": did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(beside)}"
    return ConfigurationError(f"{origin}: unknown key {key!r}{hint}", key=key)


def _flat(table: Mapping[str, object], path: str, origin: Callable[[str], str]) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        key = f"{path}.{name}" if path else name
        if key in KEYS:
            yield key, value
        elif not any(known.startswith(f"{key}.") for known in KEYS):
            raise unknown(key, origin(key))
        elif isinstance(value, dict):
            yield from _flat(value, key, origin)
        else:
            raise ConfigurationError(f"{origin(key)}: {key} is {value!r}: expected a section [{key}]", key=key)


def _lines(text: str) -> Mapping[str, int]:
    """Find the line of each key that is written plainly; of none where a text spans lines, rather than a wrong one."""
    found: dict[str, int] = {}
    if '"""' in text or "'''" in text:
        return found
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line.strip()):
            section = header[1]
            found.setdefault(section, number)
        elif entry := _ENTRY.match(line.strip()):
            found.setdefault(f"{section}.{entry[1]}" if section else entry[1], number)
    return found
